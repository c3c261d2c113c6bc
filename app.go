//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"openinspect/bot"
	"openinspect/github"
	"openinspect/sandbox"
	"openinspect/sandbox/gateway"
	"openinspect/sandbox/local"
	"openinspect/sandbox/modal"
	"openinspect/sandbox/proxy"
	"openinspect/session"
	"openinspect/session/boltdb"
	weblite "openinspect/web-lite"
)

// Options are what a program decides for an App and an operator does not.
type Options struct {
	Logger   *slog.Logger
	Redactor *session.Redactor // takes secrets out of all that is stored and shown, and of what Logger writes; nil: a new one
	Clock    session.Clock     // nil: the computer's
	Agent    string            // path of the agent's binary, or local.ScriptAgent; "": found or fetched
	Progress io.Writer         // takes what fetching the agent says; nil: nobody
	Starts   int               // of one session's sandbox in an hour; 0: session.DefaultStarts
	Patient  time.Duration     // with warm sandboxes: see sandbox.Config
	Ready    func()            // called once everything runs
	Listener net.Listener      // for the log pages; nil: Config.HTTPAddr is listened on

	// Secrets has what people entered for repositories; nil: nobody entered any.
	Secrets sandbox.Secrets

	// What tests replace.
	Provider sandbox.Provider                  // where sandboxes run; nil: as Config says
	Listen   func() (string, error)            // where a runner on Modal listens; nil: the same port in each sandbox
	World    func(*proxy.Config)               // changes what sandboxes on this computer may reach; nil: the public world and GitHub
	Forge    func(session.Forge) session.Forge // wraps what is asked of GitHub; nil: nothing does
	Witness  func(n uint64, durable bool)      // boltdb.Options.Witness
}

// drainFor is how long an orderly stop waits for model answers that are being streamed.
const drainFor = 20 * time.Second

// lookFor is how long after a restore messages are looked up before they are posted: what a backup leaves to be done again is done by then.
const lookFor = 24 * time.Hour

// App is the bot with everything it works with.
type App struct {
	c   Config
	o   Options
	log *slog.Logger

	redactor *session.Redactor // of all that is stored, shown and logged

	db      *boltdb.DB
	github  *github.GitHub
	gateway *gateway.Gateway
	manager *sandbox.Manager
	builder *sandbox.Builder
	local   *local.Provider
	modal   *modal.Provider
	hub     *session.Hub
	bot     *bot.Bot
	web     *weblite.Server

	background sync.WaitGroup // what goes on beside the sessions; it ends soon after their context does
}

// NewApp makes an App of a checked configuration; Run brings it to life.
func NewApp(c Config, o Options) (*App, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = session.SystemClock{}
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Ready == nil {
		o.Ready = func() {}
	}
	if o.Redactor == nil {
		o.Redactor = c.Secrets.redactor()
	}
	return &App{c: c, o: o, log: slog.New(quiet{o.Logger.Handler()}), redactor: o.Redactor}, nil
}

// Run runs the bot until ctx ends, and then stops in good order: no new events, model answers that stream may finish, links say good-bye.
// Sandboxes live on; the next run finds them.
func (a *App) Run(ctx context.Context) (err error) {
	defer keepSmall()()
	defer spareThread()()
	if a.db, err = boltdb.Open(filepath.Join(a.c.DataDir, storeName), boltdb.Options{
		MasterKey: a.c.Secrets.MasterKey, Clock: a.o.Clock, Report: a.diskChanged, Witness: a.o.Witness,
	}); err != nil {
		return unusable(a.c.DataDir, err)
	}
	defer func() { err = errors.Join(err, a.db.Close()) }()
	defer func() {
		if a.local != nil {
			a.local.Close()
		}
		if a.modal != nil {
			err = errors.Join(err, a.modal.Close())
		}
	}()
	if err := a.build(ctx); err != nil {
		return err
	}
	listener, err := a.listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	stopControl, err := serveControl(ctx, a.c.DataDir, a.db, a.db.Backup)
	if err != nil {
		return session.Wrap("control socket", err)
	}
	defer stopControl()
	server := &http.Server{Handler: a.pages(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10}

	// What works for sessions outlives ctx by the time that draining takes.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	if err := a.startWork(work); err != nil {
		return err
	}
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	fronts := []func() error{
		func() error { return wrapEnd("github", a.github.Run(front)) },
		func() error { return wrapEnd("slack", a.bot.Run(front)) },
		func() error { return serve(server, listener) },
	}
	ended := make(chan error, len(fronts))
	for _, run := range fronts {
		go func() { ended <- run() }()
	}
	a.log.Info("running", "version", version(), "model", a.c.Model, "web", listener.Addr().String())
	a.o.Ready()

	var cause error
	waiting := len(fronts)
	select {
	case <-ctx.Done():
	case cause = <-ended:
		waiting--
	}
	a.log.Info("stopping")
	stopFront()
	a.drain()
	stopWork()
	a.hub.Wait()
	a.background.Wait()
	a.builder.Wait()
	_ = server.Close() // pages resume by themselves
	for range waiting {
		if err := <-ended; cause == nil {
			cause = err
		}
	}
	return cause
}

// listen listens for readers of the log pages.
func (a *App) listen() (net.Listener, error) {
	if a.o.Listener != nil {
		return a.o.Listener, nil
	}
	l, err := net.Listen("tcp", a.c.HTTPAddr)
	if err != nil {
		return nil, &ConfigError{"INSPECT_HTTP_ADDR", "cannot be listened on: " + err.Error()}
	}
	return l, nil
}

// startWork takes up the sessions, and then what is done beside them, until ctx ends.
func (a *App) startWork(ctx context.Context) error {
	if err := a.hub.Start(ctx); err != nil {
		return err
	}
	if err := a.manager.OpenPool(ctx); err != nil {
		return err
	}
	a.tidy(ctx)
	a.prepareBase(ctx)
	a.builder.Start(ctx)
	return nil
}

// drain lets model answers that are being streamed finish, and ends the links, within drainFor.
func (a *App) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainFor)
	defer cancel()
	if err := a.gateway.Drain(ctx); err != nil {
		a.log.Warn("model answers were cut short by the stop", "error", err)
	}
	if err := a.manager.Close(ctx); err != nil {
		a.log.Warn("links were cut by the stop", "error", err)
	}
}

// serve serves until the server is closed.
func serve(server *http.Server, listener net.Listener) error {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("web: %w", err)
	}
	return nil
}

func wrapEnd(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return session.Wrap(what, err)
}

// pages are what is served: the log pages, and GitHub's webhooks where there is a secret. These come with another host's name and are no page's.
func (a *App) pages() http.Handler {
	pages := a.web.Handler()
	if a.c.Secrets.GitHubWebhook == "" {
		return pages
	}
	hook := a.github.Hook()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == github.WebhookPath {
			hook.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// linked takes how a person's linking ended: they are told, and approvals that wait for it go on.
func (a *App) linked(ctx context.Context, slack, flow string, account *session.Identity, cause error) error {
	return a.bot.LinkDone(ctx, slack, flow, account, cause)
}

func (a *App) report(id session.ID, op string, err error) {
	if id == "" { // it is no session's
		a.log.Warn("sandboxes", "op", op, "error", err)
		return
	}
	a.log.Warn("session", "session", id, "op", op, "error", err)
}

// provider is where sandboxes run.
func (a *App) provider(ctx context.Context) (sandbox.Provider, error) {
	switch {
	case a.o.Provider != nil:
		return a.o.Provider, nil
	case a.c.Sandbox == onModal:
		return a.modalProvider(ctx)
	}
	return a.localProvider(ctx)
}
