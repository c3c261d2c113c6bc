package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"openinspect/session"
)

// echo tells what came to it.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body) // what came of it
	var names []string
	for name, v := range r.Header {
		names = append(names, name+"="+strings.Join(v, ","))
	}
	slices.Sort(names)
	fmt.Fprintf(w, "%s %s %s %q %s", r.Method, r.Host, r.RequestURI, b, strings.Join(names, " "))
})

func TestPlain(t *testing.T) {
	w := newWorld()
	w.names["one.test"] = []string{"1.1.1.1"}
	w.server(t, "1.1.1.1:80", echo)
	p := serve(t, w.config())
	if got := p.get("http://one.test/a?b=c"); got != `200 GET one.test /a?b=c "" User-Agent=Go-http-client/1.1` {
		t.Errorf("answered %s", got)
	}
	if got := w.took(); got != "1.1.1.1:80" {
		t.Errorf("dialled %s", got)
	}
}

// Headers that are for proxies, or for one connection, do not go on, nor does a Host that is not the address's, nor an upgrade.
func TestHeaders(t *testing.T) {
	w := newWorld()
	w.names["one.test"] = []string{"1.1.1.1"}
	w.server(t, "1.1.1.1:80", echo)
	c := serve(t, w.config()).raw("GET http://one.test/ HTTP/1.1\r\nHost: inner.test\r\nProxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n" +
		"Connection: X-Mine, Upgrade\r\nX-Mine: 1\r\nUpgrade: websocket\r\nKeep-Alive: 5\r\nTE: gzip\r\nX-Forwarded-For: 10.0.0.1\r\nX-Kept: yes\r\n\r\n")
	if status, body := c.answer("GET"); status != "200 OK" || body != `GET one.test / "" X-Kept=yes` {
		t.Errorf("answered %s %s", status, body)
	}
}

// A connection may go from host to host; each request is judged on its own.
func TestKeepAliveWithChangingHosts(t *testing.T) {
	w := newWorld()
	w.names["one.test"], w.names["two.test"], w.names["in.test"] = []string{"1.1.1.1"}, []string{"2.2.2.2"}, []string{"10.0.0.1"}
	w.server(t, "1.1.1.1:80", echo)
	w.server(t, "2.2.2.2:80", echo)
	get := func(host string) string { return "GET http://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }
	c := serve(t, w.config()).raw(get("one.test") + get("in.test") + get("two.test") + get("169.254.169.254"))
	for i, want := range []string{"GET one.test / ", "it leads to a private address", "GET two.test / ", "169.254.169.254: it is a link-local address"} {
		if _, body := c.answer("GET"); !strings.Contains(body, want) {
			t.Errorf("answer %d is %q, want %q", i+1, body, want)
		}
	}
	if got := w.took(); got != "1.1.1.1:80 2.2.2.2:80" {
		t.Errorf("dialled %s", got)
	}
}

// What two parsers could read as one request or as two reaches the server as one, or not at all.
func TestSmuggling(t *testing.T) {
	const inner = "GET http://two.test/inner HTTP/1.1\r\nHost: two.test\r\n\r\n"
	for name, request := range map[string]string{
		"length and chunks":  "POST http://one.test/ HTTP/1.1\r\nHost: one.test\r\nContent-Length: " + fmt.Sprint(len("0\r\n\r\n"+inner)) + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"two lengths":        "POST http://one.test/ HTTP/1.1\r\nHost: one.test\r\nContent-Length: 0\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"odd chunks":         "POST http://one.test/ HTTP/1.1\r\nHost: one.test\r\nTransfer-Encoding: xchunked\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"space before colon": "POST http://one.test/ HTTP/1.1\r\nHost: one.test\r\nContent-Length : " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"line in header":     "GET http://one.test/ HTTP/1.1\r\nHost: one.test\r\nX-A: b\rX-C: d\r\n\r\n",
		"line in address":    "GET http://one.test/\nX:y HTTP/1.1\r\nHost: one.test\r\n\r\n",
		"signed length":      "POST http://one.test/ HTTP/1.1\r\nHost: one.test\r\nContent-Length: +5\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.names["one.test"], w.names["two.test"] = []string{"1.1.1.1"}, []string{"2.2.2.2"}
			seen := make(chan string, 9)
			s := w.server(t, "1.1.1.1:80", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				seen <- r.RequestURI
			}))
			w.server(t, "2.2.2.2:80", echo)
			p := serve(t, w.config())
			c := p.raw(request)
			_ = c.CloseWrite() // the proxy may have closed it
			_, _ = io.Copy(io.Discard, c.in)
			p.stop()
			s.Close() // waits for its handlers
			close(seen)
			for uri := range seen {
				if uri != "/" {
					t.Errorf("the server saw %s", uri)
				}
			}
		})
	}
}

func TestConnect(t *testing.T) {
	w := newWorld()
	w.names["one.test"] = []string{"1.1.1.1"}
	s := httptest.NewTLSServer(echo)
	defer s.Close()
	w.places["1.1.1.1:443"] = s.Listener.Addr().String()
	p := serve(t, w.config())
	client := p.client()
	tls := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	tls.ServerName = "example.com" // what its certificate is for
	client.Transport.(*http.Transport).TLSClientConfig = tls
	resp, err := client.Post("https://one.test/x", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(string(b), `POST one.test /x "body"`) {
		t.Errorf("answered %s, %v", b, err)
	}
}

// talker is a server that is no web server: it says what it got once nothing more comes, and then says more.
func talker(t *testing.T, w *world, at string, talk func(c *net.TCPConn)) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	w.places[at] = ln.Addr().String()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go talk(c.(*net.TCPConn))
		}
	}()
}

func TestHalfClose(t *testing.T) {
	w := newWorld()
	talker(t, w, "1.1.1.1:9418", func(c *net.TCPConn) {
		defer c.Close()
		b, _ := io.ReadAll(c) // up to the half close
		fmt.Fprintf(c, "got %s", b)
	})
	// The first bytes come together with the request.
	p := serve(t, w.config())
	c := p.raw("CONNECT 1.1.1.1:9418 HTTP/1.1\r\nHost: 1.1.1.1:9418\r\n\r\nhel")
	if status, _ := c.answer("CONNECT"); status != "200 Connection established" {
		t.Fatal(status)
	}
	if _, err := io.WriteString(c, "lo"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c.in); err != nil || string(b) != "got hello" {
		t.Errorf("%q, %v", b, err)
	}
	// And all of them, before there is an answer.
	c = p.raw("CONNECT 1.1.1.1:9418 HTTP/1.1\r\nHost: 1.1.1.1:9418\r\n\r\nhello")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, _ = c.answer("CONNECT")
	if b, err := io.ReadAll(c.in); err != nil || string(b) != "got hello" {
		t.Errorf("%q, %v", b, err)
	}
}

// A server that ends first, and one that is reset.
func TestServerEnds(t *testing.T) {
	w := newWorld()
	talker(t, w, "1.1.1.1:1111", func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "bye")
		_ = c.CloseWrite()
		b, _ := io.ReadAll(c)
		_ = c.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.looked = append(w.looked, string(b))
	})
	p := serve(t, w.config())
	c := p.raw("CONNECT 1.1.1.1:1111 HTTP/1.1\r\n\r\n")
	_, _ = c.answer("CONNECT")
	if b, err := io.ReadAll(c.in); err != nil || string(b) != "bye" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := io.WriteString(c, "still here"); err != nil {
		t.Error(err)
	}
}

// A name is looked up once for a connection: one that means a public address at first and a private one a moment later is dialled at the first.
func TestRebinding(t *testing.T) {
	w := newWorld()
	w.names["turn.test"] = []string{"1.1.1.1", "10.0.0.1", "127.0.0.1", "1.1.1.1,169.254.169.254"}
	w.server(t, "1.1.1.1:80", echo)
	for _, in := range []string{"10.0.0.1:80", "127.0.0.1:80", "169.254.169.254:80"} {
		w.server(t, in, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a private server was reached") }))
	}
	p := serve(t, w.config())
	if got := p.get("http://turn.test/"); !strings.HasPrefix(got, "200 ") {
		t.Error(got)
	}
	if got := w.took(); got != "1.1.1.1:80" || len(w.looked) != 1 {
		t.Errorf("dialled %s, looked up %v", got, w.looked)
	}
	p.stop() // and with it the connection that is kept
	p = serve(t, w.config())
	for _, want := range []string{"a private address", "a loopback address"} {
		if got := p.get("http://turn.test/"); got != "403 openinspect: a sandbox may not reach turn.test: it leads to "+want+"\n" {
			t.Error(got)
		}
	}
	if got := p.get("http://turn.test/"); !strings.HasPrefix(got, "200 ") {
		t.Error(got)
	}
	if got := w.took(); got != "1.1.1.1:80" {
		t.Errorf("dialled %s", got)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld()
	w.names["in.test"], w.names["odd.test"], w.names["broken.test"], w.names["shut.test"], w.names["me.test"] = []string{"192.168.1.5"}, []string{"::ffff:127.0.0.1"}, []string{"broken"}, []string{"1.1.1.1"}, []string{"5.5.5.5"}
	c := w.config()
	var told []string
	c.Refused = func(sandbox, target string, why error) {
		told = append(told, sandbox+" "+target+" "+session.Sentence(why))
	}
	p := serve(t, c)
	for target, want := range map[string]string{
		"in.test:443":           "403 a sandbox may not reach in.test: it leads to a private address",
		"odd.test:443":          "403 a sandbox may not reach odd.test: it leads to a loopback address",
		"10.1.2.3:443":          "403 a sandbox may not reach 10.1.2.3: it is a private address",
		"[::1]:8787":            "403 a sandbox may not reach ::1: it is a loopback address",
		"[::ffff:7f00:1]:443":   "403 a sandbox may not reach ::ffff:127.0.0.1: it is a loopback address",
		"169.254.169.254:80":    "403 a sandbox may not reach 169.254.169.254: it is a link-local address",
		"shut.test:22":          "403 a sandbox may not reach port 22: 80, 443 and those from 1024 up are open",
		"shut.test:25":          "403 a sandbox may not reach port 25: 80, 443 and those from 1024 up are open",
		"shut.test:443":         "502 shut.test:443 could not be reached: connect: connection refused",
		"nowhere.test:443":      "502 there is no host nowhere.test",
		"broken.test:443":       "502 the name broken.test could not be looked up",
		"one.test":              `400 "one.test" is no host and port`,
		"[fe80::1%25lo]:443":    "403 a sandbox may not reach fe80::1%25lo: it is a link-local address",
		"2130706433:443":        "502 there is no host 2130706433",
		"0x7f.1:443":            "502 there is no host 0x7f.1",
		"in.test.:443":          "403 a sandbox may not reach in.test: it leads to a private address",
		"IN.test:443":           "403 a sandbox may not reach in.test: it leads to a private address",
		"[64:ff9b::a00:1]:443":  "403 a sandbox may not reach 64:ff9b::a00:1: it is a private address",
		"[2002:7f00:1::]:443":   "403 a sandbox may not reach 2002:7f00:1::: it is a reserved address",
		"0.0.0.0:443":           "403 a sandbox may not reach 0.0.0.0: it is an unspecified address",
		"100.100.100.200:1024":  "403 a sandbox may not reach 100.100.100.200: it is a private address",
		"255.255.255.255:1024":  "403 a sandbox may not reach 255.255.255.255: it is a reserved address",
		"[ff02::1]:1024":        "403 a sandbox may not reach ff02::1: it is a multicast address",
		"168.63.129.16:80":      "403 a sandbox may not reach 168.63.129.16: it is a cloud's own address",
		"[fd00:ec2::254]:80":    "403 a sandbox may not reach fd00:ec2::254: it is a private address",
		"[2001:db8::a00:1]:443": "403 a sandbox may not reach 2001:db8::a00:1: it is a reserved address",
	} {
		status, body := p.raw("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n").answer("CONNECT")
		_, words, _ := strings.Cut(want, " ")
		if status != want || body != "openinspect: "+words+"\n" {
			t.Errorf("%s: status %q, body %q, want %s", target, status, body, want)
		}
	}
	if got := w.took(); got != "1.1.1.1:443" {
		t.Errorf("dialled %q", got)
	}
	if len(told) == 0 || len(told) > maxRefusals || !strings.HasPrefix(told[0], "one ") {
		t.Errorf("the operator was told %q", told)
	}
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                                   "this is the proxy that lets the sandbox out",
		"GET https://one.test/ HTTP/1.1\r\nHost: x\r\n\r\n":                   "begin with http://",
		"GET ftp://one.test/ HTTP/1.1\r\nHost: x\r\n\r\n":                     "begin with http://",
		"GET http://one.test:x/ HTTP/1.1\r\nHost: x\r\n\r\n":                  "400 Bad Request",
		"CONNECT user@in.test:443 HTTP/1.1\r\nHost: user@in.test:443\r\n\r\n": "400 Bad Request",
		"CONNECT exa%0d%0aX:y:443 HTTP/1.1\r\nHost: x\r\n\r\n":                "400 Bad Request",
		"GET http://10.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n":                    "10.0.0.1: it is a private address",
		"GET http://shut.test:23/ HTTP/1.1\r\nHost: x\r\n\r\n":                "may not reach port 23",
		"CONNECT shut.test:443 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc":      "CONNECT has no body",
	} {
		method, _, _ := strings.Cut(request, " ")
		if status, body := p.raw(request).answer(method); !strings.Contains(status+body, want) || status[0] != '4' {
			t.Errorf("%q: %s %q", request, status, body)
		}
	}
}

// The bot's computer has public addresses, too; its services there are no business of a sandbox's.
func TestOwnAddress(t *testing.T) {
	w := newWorld()
	w.names["me.test"] = []string{"5.5.5.5"}
	p, err := New(w.config())
	if err != nil {
		t.Fatal(err)
	}
	p.own = func(a netip.Addr) bool { return a == netip.MustParseAddr("5.5.5.5") }
	if _, err := p.dial(t.Context(), target{"me.test", 443}); session.CodeOf(err) != session.Forbidden || !strings.Contains(err.Error(), "an address of the bot's computer or of its neighbours") {
		t.Error(err)
	}
}

// What is excepted is a host and a port: neither its other ports nor another name of the same address.
func TestExcepted(t *testing.T) {
	w := newWorld()
	w.names["git.in.test"], w.names["other.in.test"] = []string{"10.0.0.7"}, []string{"10.0.0.7"}
	w.server(t, "10.0.0.7:8443", echo)
	w.server(t, "127.0.0.1:22", echo)
	c := w.config()
	c.Except = []string{"Git.in.test:8443", "127.0.0.1:22"}
	p := serve(t, c)
	for address, ok := range map[string]bool{
		"http://git.in.test:8443/": true, "http://GIT.in.test.:8443/": true, "http://127.0.0.1:22/": true,
		"http://git.in.test/": false, "http://git.in.test:8444/": false, "http://other.in.test:8443/": false, "http://10.0.0.7:8443/": false, "http://127.0.0.1:23/": false,
		"http://127.0.0.1:8022/": false, "http://127.0.0.2:22/": false,
	} {
		if got := p.get(address); strings.HasPrefix(got, "200 ") != ok || !ok && !strings.HasPrefix(got, "403 ") {
			t.Errorf("%s: %s", address, got)
		}
	}
	if _, err := New(Config{Except: []string{"github.com"}}); session.CodeOf(err) != session.Invalid {
		t.Error(err)
	}
}

// Of several addresses the next is tried when one does not take the connection.
func TestSeveralAddresses(t *testing.T) {
	w := newWorld()
	w.names["many.test"] = []string{"2606:4700::1,10.0.0.1,1.1.1.1"}
	w.server(t, "1.1.1.1:80", echo)
	if got := serve(t, w.config()).get("http://many.test/"); !strings.HasPrefix(got, "200 ") {
		t.Error(got)
	}
	if got := w.took(); got != "[2606:4700::1]:80 1.1.1.1:80" {
		t.Errorf("dialled %s", got)
	}
}

// Where the bot itself gets out by a proxy only, sandboxes do too: it is asked for the address that was checked, with the bot's credentials for it.
func TestUpstream(t *testing.T) {
	w := newWorld()
	w.names["one.test"], w.names["in.test"], w.names["socks.test"] = []string{"1.1.1.1"}, []string{"10.0.0.1"}, []string{"2.2.2.2"}
	asked := make(chan string, 9)
	talker(t, w, "proxy.corp:3128", func(c *net.TCPConn) {
		defer c.Close()
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil {
			return
		}
		asked <- string(b[:n])
		if strings.Contains(string(b[:n]), ":8444 ") {
			_, _ = io.WriteString(c, "HTTP/1.1 407 no\r\n\r\n")
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nfrom afar")
	})
	c := w.config()
	c.Upstream = func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "socks.test" {
			return url.Parse("socks5://proxy.corp:1080")
		}
		return url.Parse("http://bot:pw@proxy.corp:3128")
	}
	p := serve(t, c)
	conn := p.raw("CONNECT one.test:443 HTTP/1.1\r\nProxy-Authorization: Basic eA==\r\n\r\n")
	if status, _ := conn.answer("CONNECT"); status != "200 Connection established" {
		t.Fatal(status)
	}
	if b, err := io.ReadAll(conn.in); err != nil || string(b) != "from afar" {
		t.Errorf("%q, %v", b, err)
	}
	if got := <-asked; !strings.HasPrefix(got, "CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\n") || !strings.Contains(got, "Proxy-Authorization: Basic Ym90OnB3\r\n") || strings.Contains(got, "eA==") || strings.Contains(got, "\nAuthorization") {
		t.Errorf("the bot's proxy was asked %q", got)
	}
	for target, want := range map[string]string{"one.test:8444": "the bot's own proxy refused with status 407", "socks.test:443": "the bot's own proxy is socks5:, and only http: can be passed through"} {
		if status, _ := p.raw("CONNECT " + target + " HTTP/1.1\r\n\r\n").answer("CONNECT"); status != "502 "+target+" could not be reached: "+want {
			t.Error(status)
		}
	}
	<-asked
	if status, _ := p.raw("CONNECT in.test:443 HTTP/1.1\r\n\r\n").answer("CONNECT"); !strings.HasPrefix(status, "403 ") {
		t.Error(status)
	}
	if len(asked) > 0 {
		t.Errorf("the bot's proxy was asked %q", <-asked)
	}
}

// The end of a sandbox is the end of its connections, whatever the other end thinks of it.
func TestServeEnds(t *testing.T) {
	w := newWorld()
	ended := make(chan error, 2)
	talker(t, w, "1.1.1.1:2222", func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "hello")
		_, err := io.Copy(io.Discard, c)
		ended <- err
	})
	begun := make(chan struct{})
	w.server(t, "1.1.1.1:80", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		ended <- nil
	}))
	p := serve(t, w.config())
	tunnel := p.raw("CONNECT 1.1.1.1:2222 HTTP/1.1\r\n\r\n")
	_, _ = tunnel.answer("CONNECT")
	if _, err := io.ReadFull(tunnel.in, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	p.raw("GET http://1.1.1.1/ HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	p.stop()
	<-ended
	<-ended
	if _, err := tunnel.in.ReadByte(); err == nil {
		t.Error("the tunnel stands")
	}
	if _, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.at); err == nil || errors.Is(err, context.Canceled) {
		t.Error("it still listens")
	}
}
