package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// Config is what a runner is made of.
type Config struct {
	Boot  link.Boot
	Agent Agent

	// Models starts the model port and returns its base URL and the key it takes. It serves until ctx, the runner's life, ends.
	// Nil: the agent gets no models.
	Models func(ctx context.Context, bot *Bot) (url, token string, err error)

	// InFlight counts the model calls under way. Nil: there are none.
	InFlight func() int

	// Program is the absolute path of the executable that has the commands "runner mcp" and "runner git-credential".
	// Empty: this one.
	Program string

	// Reap makes this process the parent of every orphan below it and ends all of them before Run returns. It is for a process that is the
	// runner's own; without a pid namespace of its own nothing else would end them. With one (Boot.Alone) nobody else need.
	Reap bool

	Clock session.Clock // nil: the computer's
}

// ReadBoot reads what the runner is told at its start: one JSON object, at most 8 MiB, the catalogue included.
func ReadBoot(in io.Reader) (link.Boot, error) {
	var b link.Boot
	if err := json.NewDecoder(io.LimitReader(in, 8<<20)).Decode(&b); err != nil {
		return b, &session.Error{Code: session.Invalid, Op: "runner.ReadBoot", Message: "The runner's standard input is not a boot order.", Err: err}
	}
	return b, nil
}

// check fills the defaults in and refuses what cannot be run.
func (c *Config) check() error {
	invalid := func(format string, args ...any) error {
		return &session.Error{Code: session.Invalid, Op: "runner.Run", Message: fmt.Sprintf(format, args...)}
	}
	b := c.Boot
	if b.Start == "" || strings.Trim(strings.ToLower(b.Start), "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return invalid("The start id %q cannot be part of a file's name.", b.Start)
	}
	if !filepath.IsAbs(b.Dir) {
		return invalid("The sandbox's directory %q is not an absolute path.", b.Dir)
	}
	if b.Socket == "" && b.Listen == "" {
		return invalid("There is neither a socket nor an address to listen on.")
	}
	switch b.Mode {
	case session.BootBuild, session.BootFresh, session.BootImage, session.BootSnapshot:
	default:
		return invalid("There is no boot mode %q.", b.Mode)
	}
	if b.Repo != (session.Repo{}) && b.CloneURL == "" {
		return invalid("There is no address to clone %s from.", b.Repo)
	}
	if c.Agent == nil {
		return invalid("There is no agent.")
	}
	if c.Clock == nil {
		c.Clock = session.SystemClock{}
	}
	if c.InFlight == nil {
		c.InFlight = func() int { return 0 }
	}
	if c.Program == "" {
		program, err := os.Executable()
		if err != nil {
			return session.Wrap("runner.Run", err)
		}
		c.Program = program
	}
	return nil
}

// runner is the process inside a sandbox.
type runner struct {
	cfg      Config
	paths    paths
	env      []string // of what starts: see environ
	git      git
	journal  *journal
	journals *journalDir
	bot      *Bot
	models   *Bot            // the agent's way to its models: as bot, but for a rehearsal
	life     context.Context // ends when the runner does

	repo sync.Mutex // held by who changes the checkout's refs: a turn's end, a bundle

	mu       sync.Mutex
	phaseNow session.Phase
	ready    bool            // prompts are accepted
	version  string          // the agent's, once it has started
	running  *turn           // nil between turns
	accepted map[string]bool // ids of prompts
	current  *link.Link
	turns    sync.WaitGroup

	// Of a sandbox that was nobody's at first.
	claimed     link.Claim // whose it is; no Session: nobody's
	claimedAt   time.Time
	claimedLate bool          // its sync was over by then
	taken       chan struct{} // closed when it is claimed
	waits       bool          // the boot waits for that
	rehearsing  bool

	hide atomic.Pointer[session.Redactor] // knows the repository's variables; nil: there are none

	dispersing sync.Mutex   // held while all processes are being ended, because there were too many
	dispersed  atomic.Int32 // how often they were
}

// Times that an orderly end may take.
const (
	turnGrace = 15 * time.Second // for the turn to let go of the agent
	linkGrace = 2 * time.Second
	killGrace = 2 * time.Second // between SIGTERM and SIGKILL
	killLimit = 10 * time.Second
)

// Run is the runner: it accepts the bot's link at once, boots, takes prompts, and returns when ctx ends or when it cannot go on.
// It ends the turn and the agent before it returns; a turn that was broken off like that has no answer in the journal.
func Run(ctx context.Context, cfg Config) error {
	const op = "runner.Run"
	if err := cfg.check(); err != nil {
		return err
	}
	if cfg.Reap && !cfg.Boot.Alone {
		if err := becomeReaper(); err != nil {
			return session.Wrap(op, err)
		}
		defer endDescendants(killGrace, killLimit)
	}
	r, err := open(ctx, cfg)
	if err != nil {
		return session.Wrap(op, err)
	}
	defer r.journal.close() // a second time, as a rule
	ln, err := listen(cfg.Boot)
	if err != nil {
		return session.Wrap(op, err)
	}
	inside, err := link.ListenUnix(r.paths.inside)
	if err != nil {
		_ = ln.Close() // the error to tell is err
		return session.Wrap(op, err)
	}
	return session.Wrap(op, r.run(ctx, ln, inside))
}

// open makes a runner of a checked configuration.
func open(ctx context.Context, cfg Config) (*runner, error) {
	p := pathsOf(cfg.Boot)
	if err := p.make(); err != nil {
		return nil, err
	}
	kernel, err := kernelBootID()
	if err != nil {
		return nil, err
	}
	id := cfg.Boot.Start + "-" + kernel
	s, err := openJournalDir(p.journals, id)
	if err != nil {
		return nil, err
	}
	j, err := openJournal(s.path(s.own), id, cfg.Clock)
	if err != nil {
		return nil, err
	}
	env := environment(cfg.Boot, p)
	if cfg.Boot.Proxy != "" {
		port, err := openProxyPort(ctx, cfg.Boot.Proxy, cfg.Boot.CloneURL, cfg.Clock)
		if err != nil {
			return nil, err
		}
		env = append(env, port.environment()...)
	}
	r := &runner{cfg: cfg, paths: p, env: env, git: newGit(p.checkout, env, cfg.Clock), journal: j, journals: s, bot: &Bot{}, models: &Bot{}, accepted: j.seen, phaseNow: session.PhaseSync, life: ctx, taken: make(chan struct{})}
	return r, nil
}

func listen(b link.Boot) (net.Listener, error) {
	if b.Socket != "" {
		return link.ListenUnix(b.Socket)
	}
	return net.Listen("tcp", b.Listen)
}

// run serves until the life of the runner ends, and ends what it started.
func (r *runner) run(ctx context.Context, ln, inside net.Listener) error {
	life, end := context.WithCancelCause(ctx)
	r.life = life
	// Where a sandbox's address is public, this is what anybody can talk to: without the token they get an answer, and are let go.
	outer := &http.Server{Handler: r.outer(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	inner := &http.Server{Handler: r.insideHandler(), ReadHeaderTimeout: 10 * time.Second}
	for _, s := range []struct {
		*http.Server
		ln net.Listener
	}{{outer, ln}, {inner, inside}} {
		go func() {
			if err := s.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
				end(err)
			}
		}()
	}
	r.guard(life)
	booted := make(chan struct{})
	go func() { defer close(booted); r.boot(life) }()
	select {
	case <-life.Done():
	case <-r.journal.broken:
		end(r.journal.err)
	}
	end(nil)

	// What follows is best effort: the process ends, and whatever is left ends with its descendants.
	<-booted
	r.mu.Lock()
	r.ready = false
	r.mu.Unlock()
	quiet := make(chan struct{})
	go func() { r.turns.Wait(); close(quiet) }()
	select {
	case <-quiet:
	case <-time.After(turnGrace):
	}
	_ = r.cfg.Agent.Close()
	_ = r.journal.close() // its readers get what they have not read, and an end
	r.mu.Lock()
	l := r.current
	r.mu.Unlock()
	if l != nil {
		grace, cancel := context.WithTimeout(context.Background(), linkGrace)
		_ = l.Shutdown(grace)
		cancel()
	}
	_ = outer.Close()
	_ = inner.Close()
	if cause := context.Cause(life); ctx.Err() == nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// tell writes an event to the journal, which is on the sandbox's disk and in its images, so without the repository's secrets. An error ends the runner, by
// way of the journal's broken channel.
func (r *runner) tell(e session.Event) {
	if hide := r.hide.Load(); hide != nil {
		e = without(hide, e)
	}
	_ = r.journal.append(e)
}
