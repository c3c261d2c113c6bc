package bot

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
	"openinspect/session/boltdb"
	"openinspect/session/sessiontest"
)

// golden compares got with testdata/name. The flag -update, which package sessiontest defines, rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and read the difference\n--- got\n%s\n--- want\n%s", path, got, want)
	}
}

// leap is a clock that goes on by itself: a timer fires at once, and it is that much later then.
type leap struct {
	mu  sync.Mutex
	now time.Time
}

func newLeap() *leap { return &leap{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *leap) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *leap) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	if d == silentFor || d == drainWithin || d == stagger || d == flushEvery { // a connection would never rest, end before it is read to its end, and not be the only one
		return func() bool { return true }
	}
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
	go f()
	return func() bool { return false }
}

// frozen is a clock on which no time passes.
type frozen struct{ at time.Time }

func (c frozen) Now() time.Time { return c.at }
func (c frozen) AfterFunc(time.Duration, func()) (stop func() bool) {
	return func() bool { return true }
}

// forge is what the bot sees of GitHub.
type forge struct {
	mu     sync.Mutex
	repos  []session.RepositoryInfo
	down   error
	shut   error    // refuses linking
	linked []string // Slack ids that asked for a code
	admin  string   // the login of every repository's
}

func (f *forge) Repositories(context.Context) ([]session.RepositoryInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.repos), f.down
}

func (f *forge) Repository(_ context.Context, r session.Repo) (session.RepositoryInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if info, ok := find(f.repos, r.String()); ok {
		return info, f.down
	}
	return session.RepositoryInfo{}, session.Errorf(session.NotFound, "no such repository")
}

func (f *forge) CheckBranch(_ context.Context, r session.Repo, branch string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if branch == "main" || branch == "dev" {
		return f.down
	}
	return session.Errorf(session.NotFound, "%s has no branch `%s`. Did you mean `dev`?", r, branch)
}

func (f *forge) Admin(_ context.Context, by session.Person, r session.Repo) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return by.GitHub.Login == f.admin, f.down
}

// accounts is the linking of the rig.
type accounts struct {
	*forge
	db *boltdb.DB
}

func (a accounts) Link(_ context.Context, slack string) (session.LinkCode, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.linked = append(a.linked, slack)
	if a.shut != nil {
		return session.LinkCode{}, a.shut
	}
	return session.LinkCode{UserCode: "WDJB-MJHT", URL: "https://github.test/login/device", Expires: newLeap().Now().Add(time.Hour)}, nil
}

func (a accounts) Unlink(ctx context.Context, slack string) error { return a.db.UnlinkUser(ctx, slack) }

// watched is a store that tells when the bot has recorded an outcome.
type watched struct {
	*boltdb.DB
	mu      sync.Mutex
	next    chan struct{}
	refuses map[string]int // how often the disk refuses a method yet
	unread  session.ID     // a session that cannot be read
}

// refuse is the disk's refusal of a method, as often as it is told to refuse it.
func (w *watched) refuse(method string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuses[method] == 0 {
		return nil
	}
	w.refuses[method]--
	return &session.Error{Code: session.Unavailable, Message: "The disk is full.", Err: session.ErrStorage}
}

func (w *watched) Put(ctx context.Context, messages ...session.Message) error {
	if err := w.refuse("Put"); err != nil {
		return err
	}
	return w.DB.Put(ctx, messages...)
}

func (w *watched) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}

func (w *watched) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.next)
	w.next = make(chan struct{})
}

func (w *watched) Commit(ctx context.Context, ready session.Ready) error {
	defer w.tell()
	return w.DB.Commit(ctx, ready)
}

func (w *watched) Sent(ctx context.Context, key string, version int64, ts, failed string) error {
	defer w.tell()
	if err := w.refuse("Sent"); err != nil {
		return err
	}
	return w.DB.Sent(ctx, key, version, ts, failed)
}

func (w *watched) Present(ctx context.Context, id session.ID, seq int64, messages []session.Message) error {
	defer w.tell()
	return w.DB.Present(ctx, id, seq, messages)
}

func (w *watched) Handled(ctx context.Context, key string) error {
	defer w.tell()
	return w.DB.Handled(ctx, key)
}

// rig is a bot with a Slack, a hub and a store around it.
type rig struct {
	t        testing.TB
	ctx      context.Context
	slack    *slacktest.Server
	db       *watched
	world    *sessiontest.World
	forge    *forge
	albums   albums
	hub      *session.Hub
	bot      *Bot
	cfg      Config
	cost     float64       // a session's budget
	begun    time.Time     // the time of the hub, where none passes, and of what runners tell
	hubClock session.Clock // nil: no time passes for the hub
	log      *logged
	tune     func(*Bot) // before it runs
	ended    chan error // takes what Run returned
	stop     func()
}

// logged keeps what the operator reads.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed by the next line; nil while nobody waits
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.text.Write(p)
}

// next returns what is logged so far, and a channel that is closed when there is more.
func (l *logged) next() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return l.text.String(), l.more
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newRig starts everything; change may alter what the bot is made with.
func newRig(t testing.TB, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, world: &sessiontest.World{}, forge: &forge{}, begun: newLeap().Now()}
	for _, name := range []string{"acme/api", "acme/web"} {
		repo, _ := session.ParseRepo(name)
		r.forge.repos = append(r.forge.repos, session.RepositoryInfo{Repo: repo, DefaultBranch: "main"})
	}
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	r.slack = slacktest.New(slacktest.Config{
		Events: Events,
		Users:  []slacktest.User{{Name: "alice"}, {Name: "bob"}, {Name: "gina", IsRestricted: true}},
		Now:    func() time.Time { return r.cfg.Clock.Now() },
		Spread: true, TriggerLife: time.Hour, // seconds pass on a leap while a form is being opened
	})
	db, err := boltdb.Open(filepath.Join(t.TempDir(), "db"), boltdb.Options{MasterKey: make([]byte, 32), Clock: newLeap()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r.db = &watched{DB: db, next: make(chan struct{})}
	r.log = &logged{}
	r.cfg = Config{
		BotToken: r.slack.BotToken(), AppToken: r.slack.AppToken(), Store: r.db, Repositories: r.forge, Linking: accounts{r.forge, db}, Images: &r.albums,
		DefaultModel: "anthropic/claude-sonnet-5", Clock: newLeap(), Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	if testing.Verbose() {
		r.cfg.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(r.log, t.Output()), nil))
	}
	for _, c := range change {
		c(r)
	}
	if err := r.slack.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.slack.Close)
	r.cfg.APIURL = r.slack.URL()
	r.start()
	t.Cleanup(func() {
		r.stop()
		for method := range r.slack.Snapshot().Counts() {
			if _, known := methods[method]; !known && method != "upload_url" && method != slacktest.DownloadCall { // where Slack takes and gives files is no method
				t.Errorf("the bot calls %s, for which no scope is asked", method)
			}
		}
		for _, v := range r.slack.Violations() {
			t.Errorf("faster than Slack allows: %s", v)
		}
	})
	return r
}

// start starts a hub and a bot on what is stored.
func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	hub, err := session.NewHub(session.HubConfig{Store: r.db, Sandboxes: r.world, Forge: r.world, Clock: cmp.Or[session.Clock](r.hubClock, frozen{r.begun}), Budget: r.cost,
		OnCommit: func(id session.ID) { r.bot.Notify(id) }})
	if err != nil {
		r.t.Fatal(err)
	}
	r.hub, r.cfg.Sessions = hub, hub
	if r.bot, err = New(r.cfg); err != nil {
		r.t.Fatal(err)
	}
	if err := hub.Start(ctx); err != nil {
		r.t.Fatal(err)
	}
	if _, leaps := r.cfg.Clock.(*leap); leaps {
		r.bot.presenter.after = func(time.Duration, func()) func() bool { return func() bool { return true } } // or nothing would ever rest
	}
	if r.tune != nil {
		r.tune(r.bot)
	}
	ended, bot := make(chan error, 1), r.bot
	r.ended = ended
	go func() {
		ended <- bot.Run(ctx)
		close(ended)
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			r.t.Error(err)
		}
		hub.Wait()
	})
	r.until("the socket", func(s *slacktest.Snapshot) bool { return s.Sockets() == 1 })
}

// mention has somebody write to the bot in #general.
func (r *rig) mention(user, text string) string {
	r.t.Helper()
	m, err := r.slack.As(user).Mention("general", text)
	if err != nil {
		r.t.Fatal(err)
	}
	return m.TS
}

func (r *rig) reply(user, ts, text string) string {
	r.t.Helper()
	m, err := r.slack.As(user).Reply("general", ts, text)
	if err != nil {
		r.t.Fatal(err)
	}
	return m.TS
}

// ours returns the bot's message in a thread that has a text in it.
func (r *rig) ours(ts, part string) slacktest.Message {
	r.t.Helper()
	r.shown(ts, part)
	now := r.slack.Snapshot()
	for _, m := range now.Thread("general", ts) {
		if m.User == r.slack.Bot().ID && strings.Contains(now.RenderMessage(slacktest.Rendering{}, m), part) {
			return m
		}
	}
	r.t.Fatalf("no message of ours has %q in it", part)
	return slacktest.Message{}
}

// id waits for the session of a thread.
func (r *rig) id(ts string) session.ID {
	r.t.Helper()
	thread := session.Thread{Team: r.slack.TeamID(), Channel: "C0GENERAL", TS: ts}
	r.kept("a session", func() bool {
		_, err := r.hub.Find(r.ctx, thread)
		return err == nil
	})
	id, err := r.hub.Find(r.ctx, thread)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *rig) load(id session.ID) session.State {
	r.t.Helper()
	st, err := r.hub.Load(r.ctx, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

// journal has the session's runner tell events.
func (r *rig) journal(id session.ID, events ...session.Event) {
	r.t.Helper()
	st := r.load(id)
	for i := range events {
		if events[i].At.IsZero() {
			events[i].At = r.begun
		}
	}
	in := session.Journaled{Start: st.Session.Sandbox.Start, Cursor: session.Cursor{Journal: "j", N: st.Session.Cursor.N + int64(len(events))}, Events: events}
	if err := r.hub.Send(r.ctx, id, in); err != nil {
		r.t.Fatal(err)
	}
}

// ready boots the session's sandbox and waits until the prompt is delivered.
func (r *rig) ready(id session.ID, prompt string) {
	r.t.Helper()
	r.called("attach " + string(id))
	r.journal(id, session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseReady, State: session.StepDone}})
	r.called("prompt " + prompt)
}

// answered has the agent answer a prompt.
func (r *rig) answered(id session.ID, prompt, text string) {
	r.t.Helper()
	r.journal(id,
		session.Event{Kind: session.KindText, PromptID: prompt, Text: &session.Text{Part: "p", Text: text}},
		session.Event{Kind: session.KindTurn, PromptID: prompt, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone}})
}

// changes has the next collection find a commit.
func changes(head string) func(session.CollectRequest) (*session.Changes, error) {
	return func(session.CollectRequest) (*session.Changes, error) {
		return &session.Changes{Head: strings.Repeat(head, 40), Commits: 1, Subject: "Fix the flaky test", Patch: "diff --git a/checkout_test.go b/checkout_test.go\n+fixed\n",
			Files: []session.FileChange{{Path: "checkout_test.go", Added: 12, Deleted: 3}}}, nil
	}
}
