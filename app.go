//go:build linux

package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"openinspect/bot"
	"openinspect/github"
	"openinspect/sandbox"
	"openinspect/sandbox/gateway"
	"openinspect/sandbox/local"
	"openinspect/sandbox/modal"
	"openinspect/sandbox/proxy"
	"openinspect/sandbox/runner/opencode"
	"openinspect/session"
	"openinspect/session/boltdb"
	"openinspect/session/model"
	"openinspect/session/model/classify"
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
	Ready    func()            // called once everything runs
	Listener net.Listener      // for the log pages; nil: Config.HTTPAddr is listened on

	// Secrets has what people entered for repositories; nil: nobody entered any.
	Secrets sandbox.Secrets

	// What tests replace: where sandboxes run (nil: as Config says), where their runners listen if that is on Modal (nil: one port in each), what those on this computer may reach, what is asked of GitHub (nil: all), and
	// boltdb.Options.Witness.
	Provider sandbox.Provider
	Listen   func() (string, error)
	World    func(*proxy.Config)
	Forge    func(session.Forge) session.Forge
	Witness  func(n uint64, durable bool)
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

	tidying sync.WaitGroup
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
		MasterKey: a.c.Secrets.MasterKey, Clock: a.o.Clock, Report: a.storage, Witness: a.o.Witness,
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
	listener := a.o.Listener
	if listener == nil {
		if listener, err = net.Listen("tcp", a.c.HTTPAddr); err != nil {
			return &ConfigError{"INSPECT_HTTP_ADDR", "cannot be listened on: " + err.Error()}
		}
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
	if err := a.hub.Start(work); err != nil {
		return err
	}
	if err := a.manager.OpenPool(work); err != nil {
		return err
	}
	a.tidy(work)
	a.prepare(work)
	a.builder.Start(work)
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	ended := make(chan error, 3)
	go func() { ended <- wrapEnd("github", a.github.Run(front)) }()
	go func() { ended <- wrapEnd("slack", a.bot.Run(front)) }()
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			ended <- fmt.Errorf("web: %w", err)
			return
		}
		ended <- nil
	}()
	a.log.Info("running", "version", version(), "model", a.c.Model, "web", listener.Addr().String())
	a.o.Ready()

	var cause error
	waiting := 3
	select {
	case <-ctx.Done():
	case cause = <-ended:
		waiting--
	}
	a.log.Info("stopping")
	stopFront()
	drain, cancel := context.WithTimeout(context.Background(), drainFor)
	defer cancel()
	if err := a.gateway.Drain(drain); err != nil {
		a.log.Warn("model answers were cut short by the stop", "error", err)
	}
	if err := a.manager.Close(drain); err != nil {
		a.log.Warn("links were cut by the stop", "error", err)
	}
	stopWork()
	a.hub.Wait()
	a.tidying.Wait()
	a.builder.Wait()
	_ = server.Close() // pages resume by themselves
	for range waiting {
		if err := <-ended; cause == nil {
			cause = err
		}
	}
	return cause
}

func wrapEnd(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return session.Wrap(what, err)
}

// build makes the parts and ties them together.
func (a *App) build(ctx context.Context) (err error) {
	appID, err := strconv.ParseInt(a.c.GitHubAppID, 10, 64)
	if err != nil {
		return &ConfigError{"GITHUB_APP_ID", "is not a number."}
	}
	if a.github, err = github.New(github.Config{
		URL: a.c.GitHubURL, AppID: appID, ClientID: a.c.GitHubClientID, PrivateKey: a.c.Secrets.GitHubPrivateKey,
		Dir: a.c.DataDir, Store: a.db, Clock: a.o.Clock, Linked: a.linked,
		Followed: a.db.Followed,
		Seen: func(ctx context.Context, id session.ID, in session.PullRequestSeen) error {
			return a.hub.Send(ctx, id, in)
		},
		Named:         a.c.NamedPaths,
		Stands:        func(ctx context.Context, r session.MergeRequest) error { return a.bot.MergeStands(ctx, r) },
		WebhookSecret: a.c.Secrets.GitHubWebhook,
		LogURL:        func(id session.ID) string { return a.web.Unsigned(id) },
		Report:        func(op string, err error) { a.log.Warn("github", "op", op, "error", err) },
	}); err != nil {
		return err
	}
	self, err := a.github.Bot(ctx)
	if err != nil {
		return err
	}
	if a.gateway, err = gateway.New(gateway.Config{Providers: a.providers(), Clock: a.o.Clock, Report: a.report}); err != nil {
		return err
	}
	provider, err := a.provider(ctx)
	if err != nil {
		return err
	}
	setup, start := a.c.timeouts()
	if a.manager, err = sandbox.New(sandbox.Config{
		Provider: provider, Store: a.db, Spares: a.db, Prebuilt: a.db, Archive: a.db, Credentials: a.github, Commits: a.github, Secrets: a.o.Secrets, Models: a.gateway, Clock: a.o.Clock, Bot: self,
		Pool: func(sp session.Spare, does string) {
			log := a.log.With("sandbox", sp.Name, "repository", sp.Repo.String(), "branch", sp.Base)
			if sp.Session != "" {
				log = log.With("session", sp.Session)
			}
			log.Info("a warm sandbox " + does)
		},
		Warm: a.c.warm(), Free: func(ctx context.Context) (int, error) { return a.hub.Free(ctx) },
		Live:     func(id session.ID, d session.Delta) { a.hub.Live(id, d) },
		Report:   a.report,
		Redactor: a.redactor,
		CloneURL: a.github.CloneURL, LogURL: func(id session.ID) string { return a.web.Unsigned(id) },
		Catalogue: model.OpenCode(a.models()), Providers: a.c.providers(), Setup: setup, StartScript: start,
	}); err != nil {
		return err
	}
	a.builder = sandbox.NewBuilder(sandbox.BuilderConfig{
		Manager: a.manager, Tips: a.github, Basis: a.basis(), Spent: func(ctx context.Context) (bool, error) { return a.hub.Spent(ctx) },
		Built: func(p session.Prebuilt) {
			a.log.Info("an image is built", "repository", p.Repo.String(), "branch", p.Base, "commit", p.Commit, "took", p.Took.Round(time.Millisecond).String())
		},
		Told: func(ctx context.Context, p session.Prebuilt) error { return a.bot.ImageBuilt(ctx, p) },
	})
	forge := session.Forge(a.github)
	if a.o.Forge != nil {
		forge = a.o.Forge(forge)
	}
	if a.hub, err = session.NewHub(session.HubConfig{
		Store: a.db, Sandboxes: a.manager, Forge: forge, Audit: a.db, Clock: a.o.Clock, Report: a.report, Budget: a.c.budget, Redactor: a.redactor,
		Room: a.c.room(), Hours: a.db, Daily: a.c.hours(), Starts: a.o.Starts,
		OnCommit: func(id session.ID) { a.bot.Notify(id) },
	}); err != nil {
		return err
	}
	if a.web, err = logPages(a.c.Secrets.MasterKey, weblite.Config{Sessions: a.hub, PublicURL: a.c.PublicURL, Clock: a.o.Clock, Logger: a.log}); err != nil {
		return err
	}
	restored, err := a.db.Restored(ctx)
	if err != nil {
		return err
	}
	classifier, err := a.classifier()
	if err != nil {
		return err
	}
	a.bot, err = bot.New(bot.Config{
		Classifier: classifier, Warmer: a.manager,
		Restored: a.o.Clock.Now().Sub(restored) < lookFor,
		BotToken: a.c.Secrets.SlackBotToken, AppToken: a.c.Secrets.SlackAppToken, APIURL: a.c.SlackAPIURL,
		Store: a.db, Sessions: a.hub, Repositories: a.github, Linking: a.github, Images: a.builder, Redactor: a.redactor, Clock: a.o.Clock, Logger: a.log,
		DefaultModel: a.c.Model, ModelAvailable: a.available, Log: a.web.Link,
		ApproveEmoji: a.c.EmojiApprove, StopEmoji: a.c.EmojiStop, MergeEmoji: a.c.EmojiMerge, Merge: a.c.Merge, Approvals: a.c.Approvals,
		AllowedChannels: a.c.AllowedChannels, AllowGuests: a.c.AllowGuests,
	})
	return err
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

// classifier is who is asked which repository a request is about; nil: nobody but people.
func (a *App) classifier() (bot.Classifier, error) {
	if a.c.ClassifierModel == "" {
		return nil, nil
	}
	return classify.New(classify.Config{Model: a.c.ClassifierModel, BaseURL: a.c.AnthropicURL, Key: a.c.Secrets.AnthropicKey, Clock: a.o.Clock})
}

// logPages makes the log pages, whose links are signed with a child of the master key.
func logPages(masterKey []byte, c weblite.Config) (_ *weblite.Server, err error) {
	if c.Key, err = hkdf.Key(sha256.New, masterKey, nil, "log links", 32); err != nil {
		return nil, err
	}
	return weblite.New(c)
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

// providers are the model providers for which there is a key.
func (a *App) providers() map[string]gateway.Provider {
	all := map[string]gateway.Provider{
		model.Anthropic: {BaseURL: a.c.AnthropicURL, Key: a.c.Secrets.AnthropicKey},
		model.OpenAI:    {BaseURL: a.c.OpenAIURL, Key: a.c.Secrets.OpenAIKey},
	}
	for id, p := range all {
		if p.Key == "" {
			delete(all, id)
		}
	}
	return all
}

// models are those of the catalogue for which there is a key.
func (a *App) models() []model.Model {
	return slices.DeleteFunc(model.All(), func(m model.Model) bool { return !slices.Contains(a.c.providers(), m.Provider) })
}

func (a *App) available(id string) bool {
	return slices.ContainsFunc(a.models(), func(m model.Model) bool { return m.ID == id })
}

// provider is where sandboxes run.
func (a *App) provider(ctx context.Context) (sandbox.Provider, error) {
	switch {
	case a.o.Provider != nil:
		return a.o.Provider, nil
	case a.c.Sandbox == onModal:
		return a.onModal(ctx)
	}
	return a.onLocal(ctx)
}

// onLocal makes the provider of sandboxes on this computer.
func (a *App) onLocal(ctx context.Context) (sandbox.Provider, error) {
	if err := local.Hide(); err != nil {
		a.log.Warn("the bot's memory stays readable to processes of the same user", "error", err)
	}
	agent := a.o.Agent
	if agent == "" {
		var err error
		if agent, err = opencode.Find(ctx, a.c.OpenCode, a.o.Progress); err != nil {
			return nil, err
		}
	}
	network, err := a.network()
	if err != nil {
		return nil, err
	}
	a.local, err = local.New(local.Config{
		Dir: filepath.Join(a.c.DataDir, "sandboxes"), Isolation: local.Isolation(a.c.Isolation), Agent: agent, Network: network,
		Report: func(sandbox string, err error) { a.log.Warn("a sandbox's way out", "sandbox", sandbox, "error", err) },
	})
	if err != nil {
		return nil, err
	}
	if err := a.local.Available(ctx); err != nil {
		return nil, err
	}
	if err := a.local.Open(); err != nil {
		a.log.Warn("some sandboxes that run have no way out to the network", "error", err)
	}
	return a.local, nil
}

// network is what sandboxes may reach: the public world, and GitHub wherever it is.
func (a *App) network() (*proxy.Proxy, error) {
	u, err := url.Parse(a.c.GitHubURL)
	if err != nil {
		return nil, &ConfigError{"GITHUB_URL", "is not a URL."}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	c := proxy.Config{
		Except:   []string{net.JoinHostPort(u.Hostname(), port)},
		Upstream: http.ProxyFromEnvironment, // where the bot itself gets out only so
		Refused: func(sandbox, target string, why error) {
			a.log.Warn("refused to a sandbox", "sandbox", sandbox, "target", target, "why", session.Sentence(why))
		},
	}
	if a.o.World != nil {
		a.o.World(&c)
	}
	return proxy.New(c)
}
