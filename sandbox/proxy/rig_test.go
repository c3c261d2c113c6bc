package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// world is an internet for tests: names with the answers to each lookup in turn, and addresses at which servers on loopback stand.
type world struct {
	mu     sync.Mutex
	names  map[string][]string // answers in turn, the last one for ever; each a list with commas
	places map[string]string   // host:port → where it really is
	dialed []string
	looked []string
}

func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = append(w.looked, host)
	answers := w.names[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		w.names[host] = answers[1:]
	}
	if answers[0] == "broken" {
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, Server: "10.0.0.53:53"}
	}
	var list []netip.Addr
	for s := range strings.SplitSeq(answers[0], ",") {
		list = append(list, netip.MustParseAddr(s))
	}
	return list, nil
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, address)
	to := w.places[address]
	w.mu.Unlock()
	if to == "" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connect: connection refused")}
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

// took returns what was dialled since the last call.
func (w *world) took() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.dialed = nil }()
	return strings.Join(w.dialed, " ")
}

// server puts a server into the world.
func (w *world) server(t *testing.T, at string, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.places[at] = s.Listener.Addr().String()
	return s
}

func newWorld() *world { return &world{names: map[string][]string{}, places: map[string]string{}} }

func (w *world) config() Config { return Config{Resolver: w, Dial: w.dial} }

// served is a proxy that serves.
type served struct {
	t    *testing.T
	at   string
	stop func() // and waits
}

func serve(t *testing.T, c Config) *served {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, "one", ln) }()
	var once sync.Once
	s := &served{t, ln.Addr().String(), func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}}
	t.Cleanup(s.stop)
	return s
}

// client is an HTTP client that goes through the proxy.
func (s *served) client() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: s.at}), DisableCompression: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// get gets an address and returns status and body.
func (s *served) get(address string) string {
	s.t.Helper()
	resp, err := s.client().Get(address)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, b)
}

// raw is a connection to the proxy on which bytes are written as they are.
type raw struct {
	t *testing.T
	*net.TCPConn
	in *bufio.Reader
}

func (s *served) raw(bytes string) *raw {
	s.t.Helper()
	c, err := net.Dial("tcp", s.at)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, bytes); err != nil {
		s.t.Fatal(err)
	}
	return &raw{s.t, c.(*net.TCPConn), bufio.NewReader(c)}
}

// answer reads one answer: its status line's status and words, and its body.
func (r *raw) answer(method string) (status, body string) {
	r.t.Helper()
	resp, err := http.ReadResponse(r.in, &http.Request{Method: method})
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if method == http.MethodConnect && resp.StatusCode == 200 {
		return resp.Status, ""
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.Status, string(b)
}
