package weblite

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"openinspect/session"
)

// LinkFor is how long a link opens its session, unless the configuration says otherwise.
const LinkFor = 30 * 24 * time.Hour

// Sessions is what the page reads.
type Sessions interface {
	// Feed subscribes to a session's log after a number; NotFound for an unknown session.
	Feed(ctx context.Context, id session.ID, after int64) (*session.Feed, error)
	// Load returns what is stored of a session; NotFound for an unknown one.
	Load(ctx context.Context, id session.ID) (session.State, error)
}

var _ Sessions = (*session.Hub)(nil)

// Config is what a Server works with. Sessions and Key are required.
type Config struct {
	Sessions  Sessions
	Key       []byte        // 32 bytes, derived for signing links and nothing else
	PublicURL string        // scheme and host people reach the server at; empty: no links are made
	LinkFor   time.Duration // default: the constant of this name
	Clock     session.Clock // default: the computer's
	Logger    *slog.Logger  // default: none
}

// Server serves the read-only pages.
type Server struct {
	sessions Sessions
	key      []byte
	public   *url.URL // nil: none
	linkFor  time.Duration
	clock    session.Clock
	log      *slog.Logger
	page     *page
}

// New checks the configuration. Invalid when the key is not 32 bytes long or the public URL is not a scheme and a host.
func New(c Config) (*Server, error) {
	if c.Sessions == nil {
		return nil, session.Errorf(session.Internal, "the web view needs sessions to show")
	}
	if len(c.Key) != 32 {
		return nil, session.Errorf(session.Invalid, "the web view's key has %d bytes; it must have 32", len(c.Key))
	}
	s := &Server{sessions: c.Sessions, key: c.Key, linkFor: c.LinkFor, clock: c.Clock, log: c.Logger}
	if s.linkFor <= 0 {
		s.linkFor = LinkFor
	}
	if s.clock == nil {
		s.clock = session.SystemClock{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if c.PublicURL != "" {
		u, err := url.Parse(strings.TrimRight(c.PublicURL, "/"))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, session.Errorf(session.Invalid, "the public URL must be a scheme and a host, such as https://inspect.example.com")
		}
		s.public = u
	}
	var err error
	if s.page, err = loadPage(); err != nil {
		return nil, session.Wrap("weblite.New", err)
	}
	return s, nil
}

// Handler returns the pages: GET /s/{id} and below it live and log.txt, the assets, and GET /healthz. Timeouts are the http.Server's.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /s/{id}", s.servePage)
	mux.HandleFunc("GET /s/{id}/live", s.serveLive)
	mux.HandleFunc("GET /s/{id}/log.txt", s.serveText)
	mux.HandleFunc("GET /assets/{name}", s.serveAsset)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("/", s.nothingHere)
	return s.guard(mux)
}

// contentPolicy lets the page load its own script, style and socket, and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard sets the headers that every answer has and refuses what no page of ours would ask.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			s.refuse(w, http.StatusMethodNotAllowed, "This page is read-only", "It answers GET and HEAD requests only.")
		case r.URL.Path != "/healthz" && !s.ours(r.Host):
			// A name that somebody else points at this address (DNS rebinding). Health checks come by address and learn nothing.
			s.refuse(w, http.StatusMisdirectedRequest, "Not the address of this server", "Open the log by the link in the Slack thread.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// ours reports whether host, of a request, is the public URL's or this computer's own.
func (s *Server) ours(host string) bool {
	if s.public == nil {
		return true
	}
	name, port := splitHost(host)
	if name == "localhost" {
		return true
	}
	if ip := net.ParseIP(name); ip != nil && ip.IsLoopback() {
		return true
	}
	ordinary := map[string]string{"http": "80", "https": "443"}[s.public.Scheme]
	wantName, wantPort := splitHost(s.public.Host)
	if port == "" {
		port = ordinary
	}
	if wantPort == "" {
		wantPort = ordinary
	}
	return name == wantName && port == wantPort
}

// splitHost takes host or host:port apart, in lower case and without brackets.
func splitHost(host string) (name, port string) {
	u := url.URL{Host: strings.ToLower(host)}
	return strings.TrimSuffix(u.Hostname(), "."), u.Port()
}

func (s *Server) nothingHere(w http.ResponseWriter, _ *http.Request) {
	s.refuse(w, http.StatusNotFound, "Nothing here", "Open a session's log by the link in its Slack thread.")
}

// fail answers with an error of the sessions. The operator's log has the chain; the address, which may carry a token, is not in it.
func (s *Server) fail(w http.ResponseWriter, op string, id session.ID, err error) {
	if gone, ok := errors.AsType[*session.Removed](err); ok {
		s.refuse(w, http.StatusGone, "Removed", gone.Error())
		return
	}
	switch session.CodeOf(err) {
	case session.NotFound:
		s.refuse(w, http.StatusNotFound, "No such session", "The link is right, but its session is not kept here any more. Ask in the Slack thread.")
	case session.Unavailable:
		s.log.Warn("web request failed", "op", op, "session", id, "err", err)
		s.refuse(w, http.StatusServiceUnavailable, "The log cannot be read just now", session.Sentence(err))
	case session.Invalid, session.Conflict, session.Forbidden, session.Internal:
		s.log.Error("web request failed", "op", op, "session", id, "err", err)
		s.refuse(w, http.StatusInternalServerError, "Something went wrong", session.Sentence(err))
	}
}
