package link

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"openinspect/session"
)

// Link is one live connection. As a RoundTripper it calls the other end; the other end's calls reach the handler given to Dial or Accept.
type Link struct {
	http.RoundTripper
	open     func() (net.Conn, error) // a stream
	done     <-chan struct{}
	close    func() error
	shutdown func(context.Context) error
}

// Client returns a client that calls the other end and nothing else: no proxy, no redirects. URLs have any host, such as http://runner/status.
func (l *Link) Client() *http.Client {
	return &http.Client{Transport: l, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Done is closed as soon as the link is known to be lost.
func (l *Link) Done() <-chan struct{} { return l.done }

// Close ends the link at once.
func (l *Link) Close() error { return l.close() }

// Shutdown ends the link in good order: the other end's new requests fail at once, those under way are answered first, until ctx ends.
func (l *Link) Shutdown(ctx context.Context) error { return l.shutdown(ctx) }

// DialOptions say whom to dial.
type DialOptions struct {
	URL     string // of the runner's GET /link, http or https
	Token   string
	Dial    func(ctx context.Context) (net.Conn, error) // nil: TCP to URL's host
	Handler http.Handler                                // serves the runner's calls
}

// Dial opens a link. ctx bounds the dialling alone. Forbidden when the token is refused, Unavailable when nobody answers.
func Dial(ctx context.Context, o DialOptions) (*Link, error) {
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true, ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10} // for one small request
	if o.Dial != nil {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return o.Dial(ctx) }
		transport.DialTLSContext = nil
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ws, resp, err := websocket.Dial(ctx, o.URL, &websocket.DialOptions{
		HTTPClient: client, HTTPHeader: http.Header{"Authorization": {"Bearer " + o.Token}}, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		code := session.Unavailable
		if resp != nil && resp.StatusCode == http.StatusUnauthorized {
			code = session.Forbidden
		}
		return nil, &session.Error{Code: code, Op: "link.Dial", Message: "The sandbox could not be reached.", Err: err}
	}
	return carry(stream(ws), true, o.Handler)
}

// Accept takes a link in the handler of GET /link; h serves the bot's calls. It returns when the link stands.
func Accept(w http.ResponseWriter, r *http.Request, h http.Handler) (*Link, error) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil, session.Wrap("link.Accept", err)
	}
	return carry(stream(ws), false, h)
}

// Authenticate lets requests with a bearer token through whose SHA-256 is hash (hex), compared in constant time; others get 401.
func Authenticate(hash string, next http.Handler) http.Handler {
	want, err := hex.DecodeString(hash)
	if err != nil || len(want) != sha256.Size {
		want = nil // nobody passes
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(token))
		if !bearer || want == nil || subtle.ConstantTimeCompare(got[:], want) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "wrong token", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// HashToken returns what Authenticate wants to know of a token.
func HashToken(token string) string {
	h := sha256.Sum256([]byte(token))
	return hex.EncodeToString(h[:])
}

// stream makes a byte stream of binary messages; its read limit is off, yamux bounds what is taken. Its life is not a request's: the context of
// the handler that accepted it ends when the handler returns, and would take the link with it.
func stream(ws *websocket.Conn) net.Conn {
	return &conn{Conn: websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws: ws}
}

// conn closes without the WebSocket's closing handshake, which waits for an answer that cannot come on a dead network. An orderly end is
// said one layer above, by GoAway.
type conn struct {
	net.Conn
	ws *websocket.Conn
}

func (c *conn) Close() error { return c.ws.CloseNow() }

// Limits of what either end takes from the other.
const (
	maxStreams = 64             // requests under way
	maxLong    = 3              // of them by Stream, one of which may be about to end
	maxHeader  = 64 << 10       // bytes of a request's or an answer's
	maxKept    = 4 * maxStreams // streams that hold memory: those under way in both directions, and closed ones the other end has not closed yet

	// A caller gives an idle stream up before the end that serves it would: a request must not meet the closing of its stream.
	callerIdleTimeout = 30 * time.Second
	headerTimeout     = 45 * time.Second
	idleTimeout       = 2 * time.Minute
)
