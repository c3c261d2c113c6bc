package sandboxtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// Script is a runner that does what a test says. The zero value is ready; one Script serves one sandbox, whose runner may be started again; it hands out
// what is left of earlier starts' journals first, as the real one does.
//
// A prompt's text is kept in the file note of the checkout, which GET /status shows as Head; a prompt "exit" ends the
// runner. The boot's mode is shown as Branch, and the journal's id is new with each start of the process.
type Script struct {
	// What is called, each in a goroutine of its own, when the runner has started, has taken a prompt, and was told to stop one. Nil: nothing.
	Started  func()
	Prompted func(session.Delivery)
	Stopped  func(promptID string)

	mu       sync.Mutex
	boot     link.Boot
	journal  string
	lines    []string // of the journal, without line ends
	older    []older  // journals of earlier starts, oldest first
	n        int64    // newest number that Tell gave
	passing  []string // lines that are not in the journal, for whoever listens now
	changed  chan struct{}
	cur      *link.Link
	mute     bool
	prompts  []session.Delivery
	stops    []string
	refusals map[string]link.Problem
	answers  map[string]http.HandlerFunc
	bundle   io.Reader
	dials    int
	asked    int
	claim    func(*link.Status)
	owner    link.Claim // of a warm one; of another nobody
	life     context.Context
	exit     context.CancelFunc
}

// Run listens where b says and serves links until ctx ends or a prompt says exit.
func (s *Script) Run(ctx context.Context, b link.Boot) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, d := range []string{"checkout", "home", "run"} {
		if err := os.MkdirAll(filepath.Join(b.Dir, d), 0o700); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if s.journal != "" {
		s.older = append(s.older, older{s.journal, s.lines})
	}
	s.boot, s.journal, s.lines, s.n, s.life, s.exit = b, b.Start+"-"+rand.Text(), nil, 0, ctx, cancel
	s.wake()
	s.mu.Unlock()
	if s.Started != nil {
		go s.Started()
	}
	mux := http.NewServeMux()
	mux.Handle("GET /link", link.Authenticate(b.TokenHash, http.HandlerFunc(s.accept)))
	defer s.Drop()
	return Serve(ctx, b, mux)
}

// older is the journal of an earlier start.
type older struct {
	journal string
	lines   []string
}

// rest returns the earlier journal that follows a cursor, and from which of its lines on; false when that is the newest journal. The lock is held.
func (s *Script) rest(journal string, after int) (older, int, bool) {
	for i, o := range s.older {
		if o.journal != journal {
			continue
		}
		if after < len(o.lines) {
			return o, after, true
		}
		for _, o := range s.older[i+1:] {
			if len(o.lines) > 0 {
				return o, 0, true
			}
		}
	}
	return older{}, 0, false
}

// Serve serves HTTP where b says, until ctx ends.
func Serve(ctx context.Context, b link.Boot, h http.Handler) error {
	if err := os.MkdirAll(filepath.Dir(b.Socket), 0o700); err != nil {
		return err
	}
	ln, err := listen(b)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Client returns a client that calls whoever listens on a socket.
func Client(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return link.DialUnix(ctx, socket, os.Getuid())
	}}}
}

// listen names the socket through its directory, whose path may be longer than a socket's may be.
func listen(b link.Boot) (net.Listener, error) {
	if b.Socket == "" {
		return net.Listen("tcp", b.Listen)
	}
	if err := os.Remove(b.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(b.Socket))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(b.Socket))})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	return ln, nil
}

func (s *Script) accept(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("POST /prompts", s.prompted)
	mux.HandleFunc("POST /stop", s.stopped)
	mux.HandleFunc("GET /bundle", s.bundled)
	mux.HandleFunc("POST /claim", s.claimed)
	known := make(chan struct{}) // closed once Drop knows of the link: nothing is answered before
	defer close(known)
	l, err := link.Accept(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-known
		s.mu.Lock()
		mute, problem, answer := s.mute, s.refusals[r.Method+" "+r.URL.Path], s.answers[r.Method+" "+r.URL.Path]
		s.mu.Unlock()
		switch {
		case answer != nil:
			answer(w, r)
		case mute:
			<-r.Context().Done()
		case problem.Code != "":
			w.WriteHeader(link.StatusOf(problem.Code))
			_ = json.NewEncoder(w).Encode(problem)
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	if err != nil {
		return
	}
	s.mu.Lock()
	old, life := s.cur, s.life
	s.cur = l
	s.dials++
	s.wake()
	s.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	if life.Err() != nil { // it ended meanwhile, and did not know of this link
		_ = l.Close()
	}
}

// wake tells whoever waits that something has changed. The lock is held.
func (s *Script) wake() {
	if s.changed != nil {
		close(s.changed)
	}
	s.changed = make(chan struct{})
}

// change does something under the lock, and wakes.
func (s *Script) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.wake()
}

// Tell adds an event to the journal.
func (s *Script) Tell(e session.Event) {
	s.change(func() {
		s.n++
		b, err := json.Marshal(link.Line{N: s.n, Event: &e})
		if err != nil {
			panic(err) // an event that the test made up
		}
		s.lines = append(s.lines, string(b))
	})
}

// Raw adds lines to the journal as they are, all at once. Each takes the place of a number.
func (s *Script) Raw(lines ...string) {
	s.change(func() { s.n += int64(len(lines)); s.lines = append(s.lines, lines...) })
}

// Forget takes the last line out of the journal again.
func (s *Script) Forget() {
	s.change(func() { s.n--; s.lines = s.lines[:len(s.lines)-1] })
}

// Delta shows a delta to whoever listens now.
func (s *Script) Delta(d session.Delta) {
	b, err := json.Marshal(link.Line{Delta: &d})
	if err != nil {
		panic(err) // a delta that the test made up
	}
	s.change(func() { s.passing = append(s.passing, string(b)) })
}

// Mute makes the runner take calls and answer none, or answer again. Answers that are under way end.
func (s *Script) Mute(mute bool) {
	s.change(func() { s.mute = mute })
}

// Refuse answers calls such as "POST /prompts" with a problem; one without a code takes that back.
func (s *Script) Refuse(call string, p link.Problem) {
	s.change(func() {
		if s.refusals == nil {
			s.refusals = map[string]link.Problem{}
		}
		s.refusals[call] = p
	})
}

// Answer makes h answer calls such as "GET /status", whatever it may be; nil takes that back.
func (s *Script) Answer(call string, h http.HandlerFunc) {
	s.change(func() {
		if s.answers == nil {
			s.answers = map[string]http.HandlerFunc{}
		}
		s.answers[call] = h
	})
}

// Status returns what GET /status answers.
func (s *Script) Status() link.Status {
	s.mu.Lock()
	st := link.Status{Version: link.Version, Start: s.boot.Start, Journal: s.journal, N: s.n, Phase: session.PhaseReady, Agent: "script", Branch: string(s.boot.Mode), Claimed: s.owner.Session}
	dir := s.boot.Dir
	s.mu.Unlock()
	if note, err := os.ReadFile(filepath.Join(dir, "checkout", "note")); err == nil {
		st.Head = string(note)
	}
	return st
}

// Hand makes the next GET /bundle answer with r; nil is nothing new.
func (s *Script) Hand(r io.Reader) { s.change(func() { s.bundle = r }) }

// Drop cuts the link.
func (s *Script) Drop() {
	s.mu.Lock()
	l := s.cur
	s.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
}

// Boot returns what the runner was told at its newest start.
func (s *Script) Boot() link.Boot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boot
}

// Dials returns how many links there were.
func (s *Script) Dials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dials
}

// Prompts returns the prompts that were taken, Stops the ids of those that were stopped.
func (s *Script) Prompts() []session.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]session.Delivery(nil), s.prompts...)
}

// Stops returns the ids of the prompts that were to be stopped.
func (s *Script) Stops() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.stops...)
}

// Call calls the bot over the link and returns the status and the body of its answer. It waits for a link until ctx ends.
func (s *Script) Call(ctx context.Context, path string, body any) (status int, answer string, err error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, "", err
	}
	for {
		s.mu.Lock()
		if s.changed == nil { // it has not begun
			s.changed = make(chan struct{})
		}
		l, changed := s.cur, s.changed
		s.mu.Unlock()
		if l != nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://bot"+path, strings.NewReader(string(b)))
			if err != nil {
				return 0, "", err
			}
			resp, err := l.Client().Do(req)
			if err != nil {
				return 0, "", err
			}
			defer resp.Body.Close()
			a, err := io.ReadAll(resp.Body)
			return resp.StatusCode, string(a), err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, "", ctx.Err()
		}
	}
}

func (s *Script) status(w http.ResponseWriter, _ *http.Request) {
	st := s.Status()
	s.mu.Lock()
	s.asked++
	if s.claim != nil {
		s.claim(&st)
	}
	s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(st) // the bot may be gone
}

// Claim changes what the runner says of itself, from now on.
func (s *Script) Claim(change func(*link.Status)) { s.change(func() { s.claim = change }) }

// Asked returns how often the bot asked for the status.
func (s *Script) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// chunkSize is from how many bytes on lines are written together, as the real runner does.
const chunkSize = 62 << 10

func (s *Script) events(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.Atoi(r.FormValue("after"))
	s.mu.Lock()
	if o, from, ok := s.rest(r.FormValue("journal"), after); ok && err == nil {
		s.mu.Unlock()
		w.Header().Set(link.HeaderJournal, o.journal)
		w.Header().Set(link.HeaderAfter, strconv.Itoa(from))
		_, _ = io.WriteString(w, strings.Join(append(o.lines[from:len(o.lines):len(o.lines)], `{"over":true}`), "\n")+"\n") // the bot may be gone
		return
	}
	if r.FormValue("journal") != s.journal || err != nil {
		after = 0
	}
	w.Header().Set(link.HeaderJournal, s.journal)
	w.Header().Set(link.HeaderAfter, strconv.Itoa(after))
	passed := len(s.passing)
	s.mu.Unlock()
	flush := http.NewResponseController(w).Flush
	var chunk []byte
	for {
		s.mu.Lock()
		mute, changed := s.mute, s.changed
		var out []string
		if !mute {
			after = min(after, len(s.lines))
			out = append(append(out, s.lines[after:]...), s.passing[passed:]...)
			after, passed = len(s.lines), len(s.passing)
		}
		s.mu.Unlock()
		for i, line := range out {
			if chunk = append(append(chunk, line...), '\n'); len(chunk) < chunkSize && i < len(out)-1 {
				continue
			}
			if _, err := w.Write(chunk); err != nil {
				return
			}
			chunk = chunk[:0]
		}
		if flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (s *Script) prompted(w http.ResponseWriter, r *http.Request) {
	var d session.Delivery
	if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.prompts = append(s.prompts, d)
	note, exit := filepath.Join(s.boot.Dir, "checkout", "note"), s.exit
	s.mu.Unlock()
	if d.Text == "exit" {
		defer exit()
	} else if err := os.WriteFile(note, []byte(d.Text), 0o600); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	if s.Prompted != nil {
		go s.Prompted(d)
	}
}

func (s *Script) stopped(w http.ResponseWriter, r *http.Request) {
	var stop link.Stop
	if err := json.NewDecoder(r.Body).Decode(&stop); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.change(func() { s.stops = append(s.stops, stop.PromptID) })
	if s.Stopped != nil {
		go s.Stopped(stop.PromptID)
	}
}

func (s *Script) claimed(w http.ResponseWriter, r *http.Request) {
	var c link.Claim
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.change(func() {
		if !s.boot.Warm || s.owner.Session != "" && s.owner.Session != c.Session {
			w.WriteHeader(http.StatusConflict)
			return
		}
		s.owner = c
		w.WriteHeader(http.StatusAccepted)
	})
}

// Own makes the runner a session's, as if that had claimed it.
func (s *Script) Own(id session.ID) { s.change(func() { s.owner.Session = id }) }

// Owner returns who claimed the runner.
func (s *Script) Owner() link.Claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner
}

func (s *Script) bundled(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	b := s.bundle
	s.mu.Unlock()
	if b == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_, _ = io.Copy(w, b) // the bot may have had enough
}
