package slacktest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DefaultEvents are the bot events an app is subscribed to unless
// [Config.Events] says otherwise.
var DefaultEvents = []string{
	"app_mention", "app_home_opened", "channel_left", "group_left",
	"message.channels", "message.groups", "message.im", "message.mpim",
	"reaction_added", "reaction_removed", "member_joined_channel",
	"app_uninstalled", "tokens_revoked",
	"agent_session_stopped", "agent_session_title_changed",
}

// Config describes a workspace and the one app installed in it. The zero value
// is a workspace named Acme with the people alice and bob, the channel #general
// with everybody in it, and an app named inspect.
type Config struct {
	// Addr is the loopback address to listen on; default 127.0.0.1:0.
	Addr string

	// BotToken (xoxb-…) is accepted by Web API methods, AppToken (xapp-…) by
	// apps.connections.open. The defaults are fixed.
	BotToken, AppToken string

	TeamID   string // default T0ACME0001
	TeamName string // default Acme; in lower case also the workspace's domain
	AppID    string // default A0INSPECT1
	BotName  string // the bot user's name; default inspect
	Command  string // the app's slash command; default /inspect

	// Events are the subscribed bot events; nil means DefaultEvents.
	Events []string
	// Users are the people; nil means alice and bob.
	Users []User
	// Channels are the conversations; nil means one public channel, general.
	Channels []Channel

	// MentionsOmitFiles leaves the files of a message out of its app_mention,
	// as Slack sometimes does; the message event still has them.
	MentionsOmitFiles bool

	// Now is the workspace's clock, from which ts values and the times of calls
	// are taken; default time.Now.
	Now func() time.Time
	// TriggerLife is how long a trigger_id opens a modal, on that clock; default
	// 3 s, as at Slack. On a clock that leaps, that may pass while the app runs.
	TriggerLife time.Duration
	// PingEvery is the interval of WebSocket pings; default 5 s. Clients give up
	// on a socket that is silent for 30 s.
	PingEvery time.Duration

	// Spread sends payloads to an app's connections in turn, so that two of them may arrive in another order. Without it one gets all: which
	// one is Slack's choice.
	Spread bool

	// Forgetful keeps nothing of calls but their number, and nothing of payloads
	// that were acknowledged: for runs that are too long to remember.
	Forgetful bool

	Faults Faults
}

// Server is a running workspace. Its methods may be called from any goroutine,
// also before Start: what happens then waits for the app to connect.
type Server struct {
	cfg  Config
	http *http.Server
	base string // http://127.0.0.1:port

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	faults  Faults
	lastTS  int64 // microseconds
	counter uint64

	users      map[string]*User
	userOrder  []string
	bot        *User
	channels   map[string]*Channel
	chanOrder  []string
	logs       map[string][]*Message
	gone       map[string]bool // channel+ts of deleted messages
	ephemerals []*Message
	files      map[string]*File
	uploads    map[string]string // upload ticket to file id
	views      map[string]*View
	viewOrder  []string
	homes      map[string]*View
	triggers   map[string]*trigger
	responses  map[string]*responseURL
	statuses   map[string]Status // by channel + thread
	calls      map[string][]Call
	counts     map[string]int
	meter      meter

	injected         []*Fault
	deadBot, deadApp string // what calls with a token are refused with
	split            bool   // frames are sent in pieces

	tickets    map[string]bool
	sockets    []*socket
	nextSocket int
	deliveries map[string]*Delivery
	delivOrder []*Delivery
	settled    int // of them, since the last were forgotten
	outgoing   []Envelope
	post       chan struct{} // the post office has something to do

	version    uint64
	snapshot   *Snapshot
	snapshotAt uint64
	changed    chan struct{} // closed and replaced by every change
	hooks      []func(Change)
	changes    []Change
	notify     chan struct{}
}

// New makes a workspace that is not listening yet.
func New(cfg Config) *Server {
	setDefault(&cfg.Addr, "127.0.0.1:0")
	setDefault(&cfg.BotToken, "xoxb-0000000001-slacktest")
	setDefault(&cfg.AppToken, "xapp-1-A0INSPECT1-slacktest")
	setDefault(&cfg.TeamID, "T0ACME0001")
	setDefault(&cfg.TeamName, "Acme")
	setDefault(&cfg.AppID, "A0INSPECT1")
	setDefault(&cfg.BotName, "inspect")
	setDefault(&cfg.Command, "/inspect")
	if cfg.Events == nil {
		cfg.Events = DefaultEvents
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.TriggerLife <= 0 {
		cfg.TriggerLife = triggerLife
	}
	if cfg.PingEvery <= 0 {
		cfg.PingEvery = 5 * time.Second
	}
	if cfg.Users == nil {
		cfg.Users = []User{
			{Name: "alice", RealName: "Alice Adams", Email: "alice@acme.test"},
			{Name: "bob", RealName: "Bob Brown", Email: "bob@acme.test"},
		}
	}
	if cfg.Channels == nil {
		cfg.Channels = []Channel{{Name: "general"}}
	}
	s := &Server{
		cfg: cfg, faults: cfg.Faults,
		users: map[string]*User{}, channels: map[string]*Channel{},
		logs: map[string][]*Message{}, gone: map[string]bool{},
		files: map[string]*File{}, uploads: map[string]string{},
		views: map[string]*View{}, homes: map[string]*View{},
		triggers: map[string]*trigger{}, responses: map[string]*responseURL{},
		statuses: map[string]Status{}, calls: map[string][]Call{}, counts: map[string]int{},
		tickets: map[string]bool{}, deliveries: map[string]*Delivery{}, meter: meter{recent: map[string][]time.Time{}},
		post: make(chan struct{}, 1), notify: make(chan struct{}, 1),
		changed: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.bot = s.addUser(User{
		ID: "U0" + strings.ToUpper(cfg.BotName) + "BOT", Name: cfg.BotName, RealName: cfg.BotName,
		IsBot: true, BotID: "B0" + strings.ToUpper(cfg.BotName),
	})
	for _, u := range cfg.Users {
		s.addUser(u)
	}
	for _, c := range cfg.Channels {
		s.addChannel(c)
	}
	return s
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// Start listens and serves until Close.
func (s *Server) Start() error {
	s.mu.Lock()
	again := s.base != "" || s.closed
	s.mu.Unlock()
	if again {
		return errors.New("slacktest: started before")
	}
	ln, err := net.Listen("tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("slacktest: listen: %w", err)
	}
	if ip := ln.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		_ = ln.Close()
		return fmt.Errorf("slacktest: %s is not a loopback address", s.cfg.Addr)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/{method}", s.serveMethod)
	mux.HandleFunc("/link/", s.serveSocket)
	mux.HandleFunc("POST /upload/v1/{ticket}", s.counted(UploadCall, s.serveUpload))
	mux.HandleFunc("GET /files-pri/{id}/{name}", s.counted(DownloadCall, s.serveDownload))
	mux.HandleFunc("GET /signin", s.serveSignIn)
	mux.HandleFunc("POST /response/{id}", s.counted(ResponseCall, s.serveResponseURL))
	s.mu.Lock()
	s.base = "http://" + ln.Addr().String()
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	srv := s.http
	s.mu.Unlock()
	s.wg.Go(func() {
		if err := srv.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.cancel()
		}
	})
	s.wg.Go(s.runPostOffice)
	s.wg.Go(s.runHooks)
	return nil
}

// Close cuts every connection, calls the outstanding change hooks and waits for
// the server's goroutines. Closing twice, or before Start, is allowed.
func (s *Server) Close() {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	srv := s.http
	s.mu.Unlock()
	if first {
		s.cancel()
		if srv != nil {
			_ = srv.Close()
		}
	}
	s.wg.Wait()
}

// URL is the base of the Web API, ending in /api/. It is empty before Start.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base == "" {
		return ""
	}
	return s.base + "/api/"
}

// BotToken is the token the app uses for Web API methods.
func (s *Server) BotToken() string { return s.cfg.BotToken }

// AppToken is the app-level token, good for apps.connections.open only.
func (s *Server) AppToken() string { return s.cfg.AppToken }

// TeamID is the workspace's id.
func (s *Server) TeamID() string { return s.cfg.TeamID }

// Bot is the app's bot user.
func (s *Server) Bot() User { return *s.bot }

// SetFaults replaces the fault hooks.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

func (s *Server) domain() string {
	return strings.ToLower(strings.ReplaceAll(s.cfg.TeamName, " ", "-"))
}

// nextTS returns a ts later than every one before it: the clock's second and a
// count within it, unless the clock stands still or goes back. Callers hold s.mu.
func (s *Server) nextTS() string {
	t := s.cfg.Now().Unix() * 1e6
	s.lastTS = max(t, s.lastTS) + 100
	return fmt.Sprintf("%d.%06d", s.lastTS/1e6, s.lastTS%1e6)
}

// nextID returns an id of Slack's look that no other object has. Callers hold s.mu.
func (s *Server) nextID(prefix string) string {
	s.counter++
	return fmt.Sprintf("%s0%08s", prefix, strings.ToUpper(strconv.FormatUint(s.counter+36*36*36, 36)))
}
