package runner

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"openinspect/sandbox/link"
	"openinspect/session/sessiontest"
)

// doorman is the bot's end of the socket: it takes one connection after the other.
func doorman(t *testing.T, socket string, serve func(c *net.UnixConn)) {
	t.Helper()
	ln, err := link.ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.UnixConn))
			}()
		}
	}()
}

func openPort(t *testing.T, socket, github string, clock *sessiontest.Clock) *proxyPort {
	t.Helper()
	p, err := openProxyPort(t.Context(), socket, github, clock)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func dialTCP(t *testing.T, at string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// say writes all, says that nothing more comes, and returns the answer.
func say(t *testing.T, c *net.TCPConn, text string) string {
	t.Helper()
	_, err := io.WriteString(c, text)
	if err := errors.Join(err, c.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Bytes go through as they are, and an end of one direction is that direction's alone.
func TestProxyPort(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	doorman(t, socket, func(c *net.UnixConn) {
		b, _ := io.ReadAll(c) // up to the half close
		fmt.Fprintf(c, "got %q", b)
	})
	p := openPort(t, socket, "https://github.com/acme/web.git", &sessiontest.Clock{})
	for range 3 {
		if got := say(t, dialTCP(t, strings.TrimPrefix(p.url, "http://")), "CONNECT \x00\xff anything\r\n\r\n"); got != `got "CONNECT \x00\xff anything\r\n\r\n"` {
			t.Error(got)
		}
	}
}

// When the bot ends a connection, it ends for whoever has it open.
func TestProxyPortIsCut(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	doorman(t, socket, func(c *net.UnixConn) { _, _ = c.Read(make([]byte, 1)) })
	p := openPort(t, socket, "", &sessiontest.Clock{})
	c := dialTCP(t, strings.TrimPrefix(p.url, "http://"))
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("it stands")
	}
}

// A bot that is away is waited for a little; then whoever asks is told.
func TestProxyPortWhileTheBotIsAway(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	clock := &sessiontest.Clock{}
	p := openPort(t, socket, "", clock)
	ask := func() chan string {
		answer := make(chan string, 1)
		c := dialTCP(t, strings.TrimPrefix(p.url, "http://"))
		go func() {
			_, _ = fmt.Fprintf(c, "CONNECT example.com:443 HTTP/1.1\r\n\r\n") // the answer tells
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				answer <- err.Error()
				return
			}
			b, err := io.ReadAll(resp.Body)
			answer <- fmt.Sprintf("%s: %s %v", resp.Status, b, err)
		}()
		return answer
	}
	// late asks, and steps the clock to the end of the port's patience.
	late := func() string {
		answer := ask()
		for range proxyHold / proxyAgain {
			clock.Wait(2) // it has tried, and will try again or give up
			clock.Advance(proxyAgain)
		}
		return <-answer
	}
	if got, want := late(), "503 the bot is away, try again in a minute: openinspect: the bot that lets this sandbox out to the network is not running right now; try again in a minute\n <nil>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	answer := ask()
	clock.Wait(2)
	doorman(t, socket, func(c *net.UnixConn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil { // one that is closed with something unread takes its answer back
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 back\r\nContent-Length: 0\r\n\r\n")
	})
	clock.Advance(proxyAgain)
	if got := <-answer; !strings.HasPrefix(got, "200 back") {
		t.Error(got)
	}
	// A socket that a dead bot left is as good as none.
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	dead, err := link.ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	if got := late(); !strings.HasPrefix(got, "503 ") {
		t.Error(got)
	}
}

// A GitHub on the loopback of the bot's computer is at the same address inside, also where the kernel would give that port to whoever asks for any: both are
// of the few that it gives.
func TestLoopbackGitHub(t *testing.T) {
	free, err := net.Listen("tcp", "127.9.8.7:0") // where nobody else is who could take the port meanwhile
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	_ = free.Close()
	socket := filepath.Join(t.TempDir(), "s")
	doorman(t, socket, func(c *net.UnixConn) {
		in := bufio.NewReader(c)
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if r.Method != "CONNECT" || r.RequestURI != at {
			fmt.Fprintf(c, "HTTP/1.1 403 no\r\n\r\n")
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 yes\r\n\r\nhello ")
		b, _ := io.ReadAll(in)
		_, _ = c.Write(b)
	})
	p := &proxyPort{socket: socket, clock: &sessiontest.Clock{}, places: make(chan struct{}, proxyOpen), listen: func(network, address string) (net.Listener, error) {
		if address == "127.0.0.1:0" {
			if ln, err := net.Listen(network, at); err == nil {
				return ln, nil
			}
		}
		return net.Listen(network, address)
	}}
	if err := p.open(t.Context(), "http://"+at+"/acme/web.git"); err != nil {
		t.Fatal(err)
	}
	if got := say(t, dialTCP(t, at), "there"); got != "hello there" {
		t.Error(got)
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:3000/a/b.git": "127.0.0.1:3000 at 127.0.0.1:3000", "http://localhost/a": "localhost:80 at 127.0.0.1:80 [::1]:80", "https://[::1]:8443/a": "[::1]:8443 at [::1]:8443",
		"https://127.0.0.1/":         "127.0.0.1:443 at 127.0.0.1:443",
		"https://github.com/a/b.git": " at", "https://10.0.0.1/a": " at", "": " at", "/a/b": " at", "https://localhost.example.com/": " at",
	} {
		target, listen := loopback(address)
		if got := strings.TrimRight(target+" at "+strings.Join(listen, " "), " "); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func TestProxyEnvironment(t *testing.T) {
	env := (&proxyPort{url: "http://127.0.0.1:1"}).environment()
	for _, v := range []string{"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		if !slices.Contains(env, v+"=http://127.0.0.1:1") {
			t.Errorf("%s is not set", v)
		}
	}
	for _, v := range []string{"no_proxy", "NO_PROXY"} {
		if !slices.ContainsFunc(env, func(kv string) bool {
			return strings.HasPrefix(kv, v+"=localhost,127.0.0.1,") && strings.Contains(kv, ",::1,")
		}) {
			t.Errorf("%s is not set", v)
		}
	}
}
