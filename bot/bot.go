package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// Config is what a Bot works with. Tokens, Store, Sessions, Repositories, Linking, Images and DefaultModel are required.
type Config struct {
	BotToken string // xoxb-…
	AppToken string // xapp-…
	APIURL   string // default https://slack.com/api/

	Store        Store
	Sessions     Sessions
	Repositories Repositories
	Linking      Linking
	Images       Images

	DefaultModel   string               // provider/model, for sessions that name none
	ModelAvailable func(id string) bool // whether there is a key for a model of the catalogue; nil: all of them

	// Log returns the signed address of a session's log. Nil, or an empty address: no links are posted, and diffs are attached as files.
	Log func(session.ID) string

	// Classifier is asked where words do not settle which repository a request is about; nil: people are.
	Classifier Classifier

	// Warmer is told of sandboxes that will probably be wanted; nil: nobody is.
	Warmer Warmer

	// Redactor takes secrets out of what people write, before it is stored; default: token shapes alone.
	Redactor *session.Redactor

	Clock  session.Clock // default: the computer's
	Logger *slog.Logger  // default: slog.Default()

	ApproveEmoji string // default white_check_mark
	StopEmoji    string // default octagonal_sign
	MergeEmoji   string // default ship
	Merge        bool   // people may merge from Slack, where no admin of the repository has said otherwise
	Approvals    int    // how many reviews a merge needs; default 1

	// Restored tells that the store came out of a backup not long ago. Slack may have messages that it does not know of: what is about a
	// prompt is looked up before it is posted.
	Restored bool

	AllowedChannels []string // ids; empty: wherever the bot was invited. With a list, a direct message counts only if its id is on it.
	AllowGuests     bool     // guests and people of other workspaces may act
}

// Store is everything the bot keeps.
type Store interface {
	Inbox
	Outbox
	Past
	Messages
	Users
	Routes
	Rules
	Files
	Awake
	Watermarks
	Audits
}

// Audits is the audit log.
type Audits interface {
	// AuditOnce appends a record, unless one was appended under that key within a day.
	AuditOnce(ctx context.Context, key string, r session.AuditRecord) error
}

// Routes remembers which words lead to which repository.
type Routes interface {
	// Routes returns the routes by keyword.
	Routes(ctx context.Context) ([]session.Route, error)
	// PutRoute sets the route of a keyword, or forgets it if it has no repository. NotFound if there is none to forget, Conflict if there are too many.
	PutRoute(ctx context.Context, r session.Route) error
}

// Inbox holds Slack's events from before they are acknowledged until they are handled.
type Inbox interface {
	// Receive stores an event; fresh is false if one with its Key or Also was stored before.
	Receive(ctx context.Context, r session.Received) (fresh bool, err error)
	// Inbox returns the events that are not handled, in the order they came.
	Inbox(ctx context.Context) ([]session.Received, error)
	// Handled marks an event.
	Handled(ctx context.Context, key string) error
}

// Past is what is remembered of messages that are over.
type Past interface {
	// Prompts returns all prompts of a session, in order of arrival; NotFound if there is no such session.
	Prompts(ctx context.Context, id session.ID) ([]session.Prompt, error)
	// Seen returns when an event was stored, by its Key or Also, within a day; NotFound if none was.
	Seen(ctx context.Context, identity string) (time.Time, error)
}

// Outbox holds messages from before they are posted.
type Outbox interface {
	// Present stores what a session's events up to seq have to say, and that they are told.
	Present(ctx context.Context, id session.ID, seq int64, messages []session.Message) error
	// Presented returns up to which event a session is told.
	Presented(ctx context.Context, id session.ID) (int64, error)
	// Unpresented returns the sessions that have events not told.
	Unpresented(ctx context.Context) ([]session.ID, error)
	// Put stores messages; one whose Key is known replaces what it should say.
	Put(ctx context.Context, messages ...session.Message) error
	// Pending returns the messages whose newest version Slack does not have, in order.
	Pending(ctx context.Context) ([]session.Message, error)
	// Sent records that Slack has a version of a message, or why it never will.
	Sent(ctx context.Context, key string, version int64, ts string, failed string) error
}

// Messages finds messages of the outbox again.
type Messages interface {
	// Message returns the message stored under a key; NotFound if there is none.
	Message(ctx context.Context, key string) (session.Message, error)
	// MessageAt returns the message Slack has at a place; NotFound if it is not one of ours.
	MessageAt(ctx context.Context, channel, ts string) (session.Message, error)
	// Refused returns the messages whose newest version Slack refused for good, in order.
	Refused(ctx context.Context) ([]session.Message, error)
	// TryAgain has refused messages tried again.
	TryAgain(ctx context.Context, keys ...string) error
}

// Users remembers people and channels. Unknown ones are NotFound.
type Users interface {
	User(ctx context.Context, slack string) (session.User, error)
	Channel(ctx context.Context, id string) (session.Channel, error)
	PutChannel(ctx context.Context, c session.Channel) error
	Preferences(ctx context.Context, slack string) (session.Preferences, error)
	PutPreferences(ctx context.Context, p session.Preferences) error
}

// Awake finds sessions in which something waits.
type Awake interface {
	// Open returns the sessions that are not at rest, those with a waiting approval among them.
	Open(ctx context.Context) ([]session.ID, error)
	// Followed returns the pull requests that are open: they wait for people, however long ago.
	Followed(ctx context.Context) ([]session.Followed, error)
}

// Sessions is the hub.
type Sessions interface {
	// Open opens the session of a thread, or returns the one it has.
	Open(ctx context.Context, o session.Opening) (session.ID, error)
	// Find returns the session of a thread; NotFound if it has none.
	Find(ctx context.Context, t session.Thread) (session.ID, error)
	// Send returns when what an input led to is committed, or with the refusal: a session.Error with a sentence for the person.
	Send(ctx context.Context, id session.ID, in session.Input) error
	// Feed subscribes to a session's log after a number.
	Feed(ctx context.Context, id session.ID, after int64) (*session.Feed, error)
	// Load returns what is stored of a session.
	Load(ctx context.Context, id session.ID) (session.State, error)
}

// Repositories is what the GitHub App can see.
type Repositories interface {
	// Repositories lists all of them.
	Repositories(ctx context.Context) ([]session.RepositoryInfo, error)
	// Repository returns one; NotFound if the App cannot see it.
	Repository(ctx context.Context, r session.Repo) (session.RepositoryInfo, error)
	// CheckBranch is NotFound, with a sentence for the person, if a repository has no such branch.
	CheckBranch(ctx context.Context, r session.Repo, branch string) error
	// Admin reports whether a person's account administers one, as that account sees it. Forbidden, with a sentence for the person, if it cannot tell.
	Admin(ctx context.Context, by session.Person, r session.Repo) (bool, error)
}

// Linking links GitHub accounts to Slack users. How a linking ended is told through Bot.LinkDone.
type Linking interface {
	// Link starts the linking of a Slack user's account, or returns the code of the one that runs.
	Link(ctx context.Context, slack string) (session.LinkCode, error)
	// Unlink forgets a Slack user's account; NotFound if there is none.
	Unlink(ctx context.Context, slack string) error
}

// callWithin is how long an answer of Slack's may take.
const callWithin = 30 * time.Second

// Bot is the app in one Slack workspace.
type Bot struct {
	cfg    Config
	store  Store
	clock  session.Clock
	logger *slog.Logger

	web   *courtesy
	api   *slack.Client // Web API, by way of web
	self  identity      // set by the preflight, which then closes ready
	ready chan struct{}

	maxRead int             // messages of one thread
	running context.Context // of Run
	fail    func(error)     // ends Run

	people    cache[person]
	rooms     cache[room]
	guests    cache[map[string]bool] // one entry: all of the workspace's
	lanes     lanes
	presenter presenter
	sender    sender
	errands   errands
	presence  presence
	hearing   hearing
	oddities  odd

	warmLimiter warmLimiter
	preferring  sync.Mutex // held while somebody's preferences change
}

// identity is who the bot is in its workspace.
type identity struct{ user, name, team, enterprise, url string }

// New makes a Bot. It speaks to nobody before Run.
func New(cfg Config) (*Bot, error) {
	switch {
	case cfg.BotToken == "":
		return nil, session.Errorf(session.Invalid, "SLACK_BOT_TOKEN is missing: it is the Bot User OAuth Token (xoxb-…) of the Slack app.")
	case cfg.AppToken == "":
		return nil, session.Errorf(session.Invalid, "SLACK_APP_TOKEN is missing: it is an app-level token (xapp-…) with the scope connections:write.")
	case cfg.Store == nil, cfg.Sessions == nil, cfg.Repositories == nil, cfg.Linking == nil, cfg.Images == nil:
		return nil, session.Errorf(session.Internal, "the bot needs a store, sessions, repositories, linking and images")
	case cfg.DefaultModel == "":
		return nil, session.Errorf(session.Internal, "the bot needs a default model")
	}
	cfg.APIURL = strings.TrimSuffix(cmp.Or(cfg.APIURL, slack.APIURL), "/") + "/"
	cfg.ApproveEmoji = cmp.Or(cfg.ApproveEmoji, "white_check_mark")
	cfg.StopEmoji = cmp.Or(cfg.StopEmoji, "octagonal_sign")
	cfg.MergeEmoji = cmp.Or(cfg.MergeEmoji, "ship")
	cfg.Approvals = max(cfg.Approvals, 1)
	if cfg.Redactor == nil {
		cfg.Redactor = session.NewRedactor()
	}
	if cfg.Clock == nil {
		cfg.Clock = session.SystemClock{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.ModelAvailable == nil {
		cfg.ModelAvailable = func(string) bool { return true }
	}
	b := &Bot{cfg: cfg, store: cfg.Store, clock: cfg.Clock, logger: cfg.Logger, ready: make(chan struct{}), fail: func(error) {}, maxRead: maxRead}
	b.web = &courtesy{next: &http.Client{Timeout: callWithin}, clock: cfg.Clock}
	b.api = slack.New(cfg.BotToken, slack.OptionAppLevelToken(cfg.AppToken), slack.OptionAPIURL(cfg.APIURL), slack.OptionHTTPClient(b.web))
	b.people.clock, b.rooms.clock, b.guests.clock = b.clock, b.clock, b.clock
	b.lanes.handle = b.handle
	b.presence.bot = b
	b.hearing.init(b)
	b.presenter.init(b)
	b.sender.init(b)
	return b, nil
}

// Run, which is called once, connects to Slack and blocks until ctx ends, when it returns nil, or until Slack refuses the bot for good. What
// is to be said then stays in the outbox, and sandboxes go on.
func (b *Bot) Run(ctx context.Context) error {
	asked := ctx // to run until it ends
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b.running, b.fail = ctx, cancel
	url, err := b.preflight(ctx)
	if err != nil {
		if asked.Err() != nil {
			return nil
		}
		return session.Wrap("bot.Run", err)
	}
	if err := b.recall(ctx); err != nil {
		cancel(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { b.sender.run(ctx) })
	if err := b.presenter.start(ctx); err != nil {
		cancel(err)
	}
	if err := b.hearing.load(ctx); err != nil {
		cancel(err)
	}
	if err := b.replay(ctx); err != nil {
		cancel(err)
	}
	wg.Go(func() { b.catching(ctx) })
	wg.Go(func() {
		if err := b.listen(ctx, url); err != nil {
			cancel(err)
		}
	})
	<-ctx.Done()
	wg.Wait()
	b.lanes.wait()
	b.presenter.wait()
	b.errands.end()
	b.hearing.flush(context.WithoutCancel(ctx))
	if asked.Err() != nil {
		return nil
	}
	return session.Wrap("bot.Run", context.Cause(ctx))
}

// startTries is how often Slack is asked at the start while it does not answer.
const startTries = 6

// preflight finds out who the bot is and whether its tokens are good. It returns the address for the first connection.
func (b *Bot) preflight(ctx context.Context) (url string, err error) {
	pause := time.Second
	for n := 1; ; n++ {
		url, err = b.introduce(ctx)
		if err == nil || n == startTries || session.CodeOf(err) != session.Unavailable {
			break
		}
		b.logger.Warn("Slack does not answer; trying again", "error", err)
		if !wait(ctx, b.clock, pause) {
			break
		}
		pause *= 2
	}
	if err != nil {
		return "", err
	}
	close(b.ready)
	return url, nil
}

func (b *Bot) introduce(ctx context.Context) (url string, err error) {
	me, err := b.api.AuthTestContext(ctx)
	if err != nil {
		return "", refusedToken("SLACK_BOT_TOKEN", err)
	}
	b.self = identity{user: me.UserID, name: me.User, team: me.TeamID, enterprise: me.EnterpriseID, url: me.URL}
	if _, url, err = b.api.StartSocketModeContext(ctx); err != nil {
		return "", refusedToken("SLACK_APP_TOKEN", err)
	}
	b.logger.Info("connected to slack", "team", me.Team, "bot", me.User)
	return url, nil
}

// Notify tells that a session's log has grown. It returns at once and may be called before Run.
func (b *Bot) Notify(id session.ID) { b.presenter.notify(id) }

// put stores messages in the outbox and wakes the sender.
func (b *Bot) put(ctx context.Context, messages ...session.Message) error {
	if err := b.store.Put(ctx, messages...); err != nil {
		return session.Wrap("bot.put", err)
	}
	b.sender.wake()
	return nil
}

// marshal encodes what cannot fail to be: strings and numbers of our own.
func marshal(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// wait waits for d on the clock; false if ctx ended first.
func wait(ctx context.Context, clock session.Clock, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	done := make(chan struct{})
	stop := clock.AfterFunc(d, func() { close(done) })
	select {
	case <-done:
		return true
	case <-ctx.Done():
		stop()
		return false
	}
}
