package local

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/proxy"
	"openinspect/session"
)

// beDialler is the test binary as a program that makes connections. listen NETWORK ADDRESS … accepts at all of them and says hello, for ever.
// dial NETWORK ADDRESS TEXT … tries one after the other and prints a line for each: what was answered, or why there was no answer.
func beDialler(args []string) error {
	if args[0] == "listen" {
		for at := args[1:]; len(at) > 1; at = at[2:] {
			ln, err := net.Listen(at[0], at[1])
			if err != nil {
				return err
			}
			go func() {
				for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
					_, _ = io.WriteString(c, "hello") // whoever asked may be gone
					_ = c.Close()
				}
			}()
		}
		select {}
	}
	for at := args[1:]; len(at) > 2; at = at[3:] {
		answer, err := talk(at[0], at[1], strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(at[2]))
		if err != nil {
			answer = "no: " + err.Error()
		}
		fmt.Printf("%q\n", answer)
	}
	return nil
}

// talk says text, and nothing more unless it ends with "stay", and returns the answer.
func talk(network, address, text string) (string, error) {
	c, err := net.DialTimeout(network, address, time.Minute)
	if err != nil {
		return "", err
	}
	defer c.Close()
	text, stay := strings.CutSuffix(text, "stay")
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	if !stay {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute)) // for what is reached and should not be
	}
	if h, ok := c.(interface{ CloseWrite() error }); ok && !stay {
		_ = h.CloseWrite() // it may be closed
	}
	b, err := io.ReadAll(c)
	return "yes: " + string(b), err
}

// service is a service on this computer: it says hello when nothing more comes.
func service(t *testing.T, network, address string) (at string, begun, ended chan struct{}) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	begun, ended = make(chan struct{}, 9), make(chan struct{}, 9)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			begun <- struct{}{}
			go func() {
				defer func() { ended <- struct{}{} }()
				defer c.Close()
				_, _ = io.Copy(io.Discard, c)
				_, _ = io.WriteString(c, "hello")
			}()
		}
	}()
	return ln.Addr().String(), begun, ended
}

// networked is a configuration whose sandboxes may reach one service on this computer.
func networked(t *testing.T, service string) Config {
	t.Helper()
	c := config(t, Bubblewrap)
	p, err := proxy.New(proxy.Config{Except: []string{service}})
	if err != nil {
		t.Fatal(err)
	}
	c.Network = p
	return c
}

// dial tries connections from inside: NETWORK ADDRESS TEXT, … It returns what each came to.
func (h *home) dial(args ...string) []string {
	h.t.Helper()
	var all []string
	for line := range strings.Lines(h.sh("GORACE=atexit_sleep_ms=0 /opt/openinspect dial '" + strings.Join(args, "' '") + "'")) {
		answer, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			h.t.Fatalf("%s: %v", line, err)
		}
		all = append(all, answer)
	}
	if len(all) != len(args)/3 {
		h.t.Fatalf("%d answers to %q", len(all), args)
	}
	return all
}

// door are the arguments of a dial to a target through the sandbox's door.
func toDoor(target string) []string {
	return []string{"unix", insideDoor + "/" + doorFile, `CONNECT ` + target + ` HTTP/1.1\r\n\r\n`}
}

// through connects to a target through the door, and returns what came of it.
func (h *home) through(target string) string { return h.dial(toDoor(target)...)[0] }

const throughTheDoor = "yes: HTTP/1.1 200 Connection established\r\n\r\nhello"

// A sandbox has a network of its own. What is on this computer, in other sandboxes and in the world cannot be reached from it but by its door.
func TestNetwork(t *testing.T) {
	tcp, _, _ := service(t, "tcp", "127.0.0.1:0")
	all, _, _ := service(t, "tcp", "0.0.0.0:0")
	allPort := all[strings.LastIndexByte(all, ':'):]
	abstract := "@openinspect-test-" + strconv.Itoa(os.Getpid())
	service(t, "unix", abstract)
	allowed, _, _ := service(t, "tcp", "127.0.0.1:0")
	c := networked(t, allowed)
	h := started(t, c)
	other, err := h.Create(t.Context(), sandbox.Spec{Name: "two", Boot: link.Boot{Start: "s2", TokenHash: link.HashToken(token), Mode: session.BootFresh}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Destroy(context.Background(), other); err != nil {
			t.Error(err)
		}
	})
	two := &home{t, h.Provider, other}
	two.sh(`(/opt/openinspect listen tcp 127.0.0.1:4711 unix @two &) >/dev/null 2>&1`)
	until(t, "the other sandbox's services stand", func() bool {
		return slices.Equal(two.dial("tcp", "127.0.0.1:4711", "", "unix", "@two", ""), []string{"yes: hello", "yes: hello"})
	})
	unreachable := map[string]string{
		"a loopback service":                   "tcp " + tcp,
		"a service on all addresses":           "tcp 127.0.0.1" + allPort,
		"an abstract socket":                   "unix " + abstract,
		"another sandbox's service":            "tcp 127.0.0.1:4711",
		"another sandbox's abstract socket":    "unix @two",
		"the excepted service without a proxy": "tcp " + allowed,
		"a cloud's metadata":                   "tcp 169.254.169.254:80",
		"a private address":                    "tcp 10.0.0.1:80",
		"a public address":                     "tcp 1.1.1.1:443",
		"a link-local address":                 "tcp [fe80::1%lo]:80",
		"a name":                               "tcp example.com:80",
		"a name server":                        "udp 1.1.1.1:53",
	}
	names := slices.Sorted(maps.Keys(unreachable))
	var args []string
	for _, what := range names {
		network, address, _ := strings.Cut(unreachable[what], " ")
		args = append(args, network, address, "")
	}
	for i, got := range h.dial(args...) {
		if !strings.HasPrefix(got, "no:") {
			t.Errorf("%s was reached: %s", names[i], got)
		}
	}
	if got := h.sh("ls /sys 2>/dev/null | wc -l; grep -vc 'lo:' /proc/net/dev; ls /run"); got != "0\n2\nopeninspect" { // two lines of headings
		t.Errorf("it sees %q", got)
	}
	if got := h.through(allowed); got != throughTheDoor {
		t.Errorf("through the door: %q", got)
	}
	refused := []string{tcp, "127.0.0.1:4711", "localhost" + allPort, "[::1]" + allPort, "169.254.169.254:80", "10.0.0.1:443"}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs { // and by none of this computer's own addresses
		if ip := a.(*net.IPNet).IP; ip.To4() != nil {
			refused = append(refused, ip.String()+allPort)
		}
	}
	args = nil
	for _, target := range refused {
		args = append(args, toDoor(target)...)
	}
	for i, got := range h.dial(args...) {
		if !strings.HasPrefix(got, "yes: HTTP/1.1 403 a sandbox may not reach ") {
			t.Errorf("%s through the door: %q", refused[i], got)
		}
	}
}

// The agent cannot put anything into its door's place, nor take it away.
func TestDoorIsTheBots(t *testing.T) {
	allowed, _, _ := service(t, "tcp", "127.0.0.1:0")
	h := started(t, networked(t, allowed))
	for i, s := range strings.Fields(h.sh(`for s in 'rm -f /run/openinspect/proxy.sock' 'mv /run/openinspect /run/x' 'rmdir /run/openinspect' 'ln -sf /tmp/x /run/openinspect/proxy.sock' \
		'touch /run/openinspect/x' 'mkdir /run/openinspect/x' 'chmod 777 /run/openinspect' 'chmod 777 /run/openinspect/proxy.sock' 'umount /run/openinspect' \
		'mount -o remount,rw,bind /run/openinspect' 'unshare -Urm sh -c "mount -o remount,rw,bind /run/openinspect && touch /run/openinspect/x"' \
		'unshare -Urm sh -c "umount /run/openinspect && rm -r /run/openinspect"' 'ln -s /run/openinspect /sandbox/run/door && rm /sandbox/run/door/proxy.sock' \
		'ls /run/openinspect/../../sandbox.net'; do
			(eval "$s") >/dev/null 2>&1 && echo done || echo refused
		done`)) {
		if s != "refused" {
			t.Errorf("attempt %d: %s", i+1, s)
		}
	}
	if got := h.sh("ls -A /run/openinspect"); got != doorFile {
		t.Errorf("there is %q", got)
	}
	if got := h.through(allowed); got != throughTheDoor {
		t.Errorf("through the door: %q", got)
	}
}

// Sandboxes outlive their bot; the next one opens their doors again. A crash leaves the socket behind, as Close does.
func TestDoorComesBack(t *testing.T) {
	allowed, _, _ := service(t, "tcp", "127.0.0.1:0")
	c := networked(t, allowed)
	h := started(t, c)
	h.Close()
	if got := h.through(allowed); !strings.HasPrefix(got, "no:") {
		t.Errorf("while the bot is away: %q", got)
	}
	again := provider(t, c)
	defer again.Close()
	if err := again.Open(); err != nil {
		t.Fatal(err)
	}
	if got := h.through(allowed); got != throughTheDoor {
		t.Errorf("when it is back: %q", got)
	}
	// A door that was lost comes back with the next dial.
	again.shut("one")
	if _, err := again.Dial(t.Context(), h.h); err != nil {
		t.Fatal(err)
	}
	if got := h.through(allowed); got != throughTheDoor {
		t.Errorf("after a dial: %q", got)
	}
}

// With a sandbox its connections end, and its door is gone.
func TestDestroyEndsConnections(t *testing.T) {
	allowed, begun, ended := service(t, "tcp", "127.0.0.1:0")
	c := networked(t, allowed)
	h := started(t, c)
	args := toDoor(allowed)
	args[2] += "stay" // it does not end by itself
	h.sh("(/opt/openinspect dial '" + strings.Join(args, "' '") + "' >/sandbox/out 2>&1 &)")
	<-begun
	select {
	case <-ended:
		t.Fatal("it ended by itself")
	default:
	}
	if err := h.Destroy(t.Context(), h.h); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the connection stands")
	}
	if left, err := filepath.Glob(h.path("*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Without isolation there is no door, and with it and no network none either.
func TestNoDoor(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		if c.Isolation == Bubblewrap {
			c.Network = nil
		}
		h := started(t, c)
		h.sh("true")
		if doors, err := filepath.Glob(h.path("*" + doorSuffix)); err != nil || len(doors) > 0 {
			t.Errorf("doors: %v, %v", doors, err)
		}
	})
}
