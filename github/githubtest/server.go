package githubtest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Config describes a Server. The zero value is useful.
type Config struct {
	App          App
	Users        []User
	Repositories []Repository

	// Now is the clock by which tokens and device codes expire and answers are dated; nil means time.Now.
	Now func() time.Time
	// JWTNow is the clock App JWTs are judged by; nil means time.Now. It is apart from Now because common clients
	// sign with the wall clock whatever clock their program otherwise uses.
	JWTNow func() time.Time

	// DeviceInterval is the least time between two polls of a device code, in whole seconds; 0 means 5 s.
	DeviceInterval time.Duration
	// DeviceFlowDisabled makes the App one whose owner has not ticked "Enable Device Flow".
	DeviceFlowDisabled bool
	// RateLimit is the number of REST calls each installation and each user has per hour; 0 means 5000.
	RateLimit int
	// NoLastModified leaves the header out, so that only ETags help.
	NoLastModified bool

	// Fault, if set, is consulted before and after the work of every call. See Call and Response.
	Fault func(Call) *Response
	// Validate, if set, is given every REST request with its body and the status, header and body of the answer.
	// Answers made by Fault are not shown to it. It may be called from several goroutines.
	Validate func(r *http.Request, body []byte, status int, header http.Header, answer []byte)
	// OnEvent, if set, is told of every change, one at a time and in order, with no lock held.
	OnEvent func(Event)
}

// Server is the GitHub. Make it with New; its methods may be called from any goroutine, those that touch
// repositories only between Start and Close.
type Server struct {
	cfg Config
	key func() *rsa.PrivateKey

	root string // directory of the bare repositories, root/owner/name.git
	home string // an empty HOME for git
	base string // http://127.0.0.1:port
	http *http.Server
	done chan struct{}
	rest http.Handler

	mu            sync.Mutex
	seq           int64
	accounts      map[string]*account      // by lower-case login
	repos         map[string]*repository   // by lower-case owner/name
	moved         map[string]*repository   // by the lower-case name they had
	installations map[string]*installation // by lower-case account login
	tokens        map[string]*token        // by value, dead ones included
	minted        []*token                 // in order
	refreshes     map[string]*refresh
	devices       map[string]*device // by device code
	limits        map[string]*limit  // by principal, as Usage names them
	calls         map[string]int
	fault         func(Call) *Response
	failures      []*failure
	closing       chan struct{} // closed by Close
	deviceOff     bool
	changed       chan struct{}
	events        []Event
	telling       bool
	hook          webhook
	deliveries    []*Delivery
	outgoing      []*Delivery // those of deliveries that are still to be sent
	delivering    bool
	senders       sync.WaitGroup
}

// New returns a Server for cfg. It touches neither disk nor network; Start does.
func New(cfg Config) *Server {
	cfg.App.fill()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.JWTNow == nil {
		cfg.JWTNow = time.Now
	}
	if cfg.DeviceInterval == 0 {
		cfg.DeviceInterval = 5 * time.Second
	}
	if cfg.RateLimit == 0 {
		cfg.RateLimit = 5000
	}
	s := &Server{
		cfg:           cfg,
		key:           sync.OnceValue(newKey),
		seq:           1000,
		accounts:      map[string]*account{},
		repos:         map[string]*repository{},
		moved:         map[string]*repository{},
		installations: map[string]*installation{},
		tokens:        map[string]*token{},
		refreshes:     map[string]*refresh{},
		devices:       map[string]*device{},
		limits:        map[string]*limit{},
		calls:         map[string]int{},
		fault:         cfg.Fault,
		deviceOff:     cfg.DeviceFlowDisabled,
		changed:       make(chan struct{}),
		closing:       make(chan struct{}),
	}
	s.rest = s.routes()
	s.account("github", "Organization")
	bot := s.account(cfg.App.bot(), "Bot")
	if cfg.App.BotID != 0 {
		bot.id = cfg.App.BotID
	}
	for _, u := range cfg.Users {
		s.AddUser(u)
	}
	return s
}

// newKey makes the App's key. Reading from the system's random source does not fail.
func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// Start makes the repositories of the Config in a new temporary directory and listens on 127.0.0.1 at a free port.
func (s *Server) Start() (err error) {
	if s.http != nil {
		return errors.New("start GitHub: already started")
	}
	if s.root, err = os.MkdirTemp("", "githubtest-"); err != nil {
		return fmt.Errorf("start GitHub: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.root))
			s.root = ""
		}
	}()
	if s.home, err = os.MkdirTemp(s.root, ".home-"); err != nil {
		return fmt.Errorf("start GitHub: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start GitHub: %w", err)
	}
	s.base = "http://" + listener.Addr().String()
	for _, r := range s.cfg.Repositories {
		if err := s.AddRepository(r); err != nil {
			return errors.Join(fmt.Errorf("start GitHub: %w", err), listener.Close())
		}
	}
	s.http = &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // always ErrServerClosed: only Close ends it
	}()
	return nil
}

// Close stops listening, waits up to five seconds for calls under way, and removes the repositories. A second
// Close does nothing.
func (s *Server) Close() error {
	if s.http == nil || s.root == "" {
		return nil
	}
	close(s.closing)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	s.senders.Wait()
	err = errors.Join(err, os.RemoveAll(s.root))
	s.root = ""
	return err
}

func (s *Server) handler() http.Handler {
	web := http.NewServeMux()
	web.HandleFunc("POST /login/device/code", s.oauth("POST /login/device/code", s.deviceCode))
	web.HandleFunc("POST /login/oauth/access_token", s.oauth("POST /login/oauth/access_token", s.accessToken))
	web.HandleFunc("GET /login/device", s.devicePage)
	web.HandleFunc("GET /{owner}/{repo}/pull/{number}", s.pullPage)
	web.HandleFunc("/", s.smart)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/v3/repositories/") {
			s.byID(w, r)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/api/v3/") {
			s.rest.ServeHTTP(w, r)
			return
		}
		web.ServeHTTP(w, r)
	})
}

// URL is the server's base, "http://127.0.0.1:port", without a trailing slash.
func (s *Server) URL() string { return s.base }

// CloneURL is the address git uses for the repository "owner/name". It holds no credential.
func (s *Server) CloneURL(repo string) string { return s.base + "/" + repo + ".git" }

// PrivateKeyPEM is the App's private key in PKCS #1 PEM, as GitHub hands it out.
func (s *Server) PrivateKeyPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(s.key())})
}

// App describes the server's App, with what New filled in.
func (s *Server) App() App {
	a := s.cfg.App
	s.mu.Lock()
	defer s.mu.Unlock()
	a.BotID = s.accounts[lower(a.bot())].id
	return a
}

// id returns the next number of the one sequence all ids come from. The caller holds mu, or is New.
func (s *Server) id() int64 {
	s.seq++
	return s.seq
}

// now is the server's time in UTC.
func (s *Server) now() time.Time { return s.cfg.Now().UTC() }
