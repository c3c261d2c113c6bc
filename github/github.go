package github

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	gh "github.com/google/go-github/v66/github"
	"golang.org/x/oauth2"

	"openinspect/session"
)

// Store is what the package keeps: sealed values, and who is linked to whom.
type Store interface {
	PutSecret(ctx context.Context, key string, value []byte) error
	Secret(ctx context.Context, key string) ([]byte, error) // NotFound
	DeleteSecret(ctx context.Context, key string) error
	Secrets(ctx context.Context, prefix string) ([]string, error)
	// LinkUser links two accounts and changes secrets, all or nothing. Conflict when either is linked elsewhere.
	LinkUser(ctx context.Context, slack string, id session.Identity, secrets ...session.SecretChange) error
	// UnlinkUser forgets a link and changes secrets, all or nothing.
	UnlinkUser(ctx context.Context, slack string, secrets ...session.SecretChange) error
}

// Config is what a GitHub works with; all but Clock, Named, LogURL and Report are required.
type Config struct {
	URL        string // https://github.com, or an Enterprise Server's base
	AppID      int64
	ClientID   string
	PrivateKey []byte // PEM
	Dir        string // for mirrors and quarantines
	Store      Store
	Clock      session.Clock
	// Linked is told how a person's linking ended: with an identity, or with an error whose sentence is for them. It is told again, with the
	// same flow, until it returns nil: also by the next start.
	Linked func(ctx context.Context, slack, flow string, id *session.Identity, err error) error
	// Followed returns the pull requests that are open; nil: none is followed. Seen is told what is new of one, and each remark on it until it was taken;
	// NotFound for a session that is not there.
	Followed func(ctx context.Context) ([]session.Followed, error)
	Seen     func(ctx context.Context, id session.ID, in session.PullRequestSeen) error
	// Named are patterns of the paths that an approval has to name, as ParsePaths reads them; workflows are among them in any case.
	Named []string
	// Stands is asked last before a merge, whether its person still wants it: an error keeps it from happening. Nil: they do.
	Stands func(ctx context.Context, r session.MergeRequest) error
	// WebhookSecret is what GitHub signs webhooks with; "" refuses them.
	WebhookSecret string
	// LogURL is the unsigned address of a session's page, for pull requests' bodies; "" leaves it out.
	LogURL func(session.ID) string
	// Report takes errors nobody else hears of, such as a token that could not be revoked.
	Report func(op string, err error)
}

// GitHub is one GitHub as one App sees it.
type GitHub struct {
	c     Config
	base  *url.URL
	app   *ghinstallation.AppsTransport
	oauth *oauth2.Config
	http  *http.Client
	git   git
	// timeout is how long one call of the API may take.
	timeout time.Duration
	limits  limits
	most    allowance
	paths   Paths
	room    room

	mu            sync.Mutex
	ctx           context.Context // of Run: what linking lives in
	self          session.Author  // the bot, once asked for
	installations map[session.Repo]int64
	list          []session.RepositoryInfo
	listedAt      time.Time
	flows         map[string]*flow              // by Slack user
	minted        map[string]bool               // keys of installation tokens that this run made and has not revoked
	handed        map[string]func()             // by key: revokes what a sandbox holds
	revoking      sync.WaitGroup                // of what an earlier run left
	moved         map[session.Repo]session.Repo // by the name that a session has
	saidAt        time.Time                     // when the operator was told of a webhook that was refused
	watch         *watch
	repos         keyed // one git operation per repository at a time
	users         keyed // one refresh per person at a time
}

var _ session.Forge = (*GitHub)(nil)

// New makes a GitHub; it does no I/O.
func New(c Config) (*GitHub, error) {
	base, err := url.Parse(strings.TrimSuffix(c.URL, "/"))
	if err != nil || base.Host == "" {
		return nil, session.Errorf(session.Invalid, "GITHUB_URL is not a URL: %q", c.URL)
	}
	paths, err := ParsePaths(c.Named)
	if err != nil {
		return nil, session.Wrap("github.New", err)
	}
	if c.Clock == nil {
		c.Clock = session.SystemClock{}
	}
	if c.LogURL == nil {
		c.LogURL = func(session.ID) string { return "" }
	}
	if c.Report == nil {
		c.Report = func(string, error) {}
	}
	g := &GitHub{
		c: c, base: base, ctx: context.Background(), timeout: 30 * time.Second, git: newGit(filepath.Join(c.Dir, "git")),
		installations: map[session.Repo]int64{}, moved: map[session.Repo]session.Repo{}, flows: map[string]*flow{}, minted: map[string]bool{}, handed: map[string]func(){},
		limits: limits{clock: c.Clock, until: map[string]time.Time{}}, most: allowance{maxFile, maxTotal}, paths: paths, room: room{one: maxHeld, all: maxHeldAll},
	}
	g.watch = newWatch(g)
	g.http = &http.Client{Timeout: g.timeout, Transport: g.guarded("oauth")}
	app, err := ghinstallation.NewAppsTransport(g.guarded("app"), c.AppID, c.PrivateKey)
	if err != nil {
		return nil, &session.Error{Code: session.Invalid, Op: "github.New", Message: "GITHUB_APP_PRIVATE_KEY is not the private key of a GitHub App. Generate one on the App's page.", Err: err}
	}
	g.app = app
	if g.enterprise() {
		app.BaseURL = base.String() + "/api/v3"
	}
	g.oauth = &oauth2.Config{ClientID: c.ClientID, Endpoint: oauth2.Endpoint{
		DeviceAuthURL: base.String() + "/login/device/code",
		TokenURL:      base.String() + "/login/oauth/access_token",
		// Finding the style out by trying would poll twice at once, which GitHub answers with slow_down.
		AuthStyle: oauth2.AuthStyleInParams,
	}}
	return g, nil
}

// Run takes up linking that a restart interrupted, revokes tokens that it left, and blocks until ctx ends. Then it revokes what sandboxes
// hold.
func (g *GitHub) Run(ctx context.Context) error {
	g.mu.Lock()
	g.ctx = ctx
	g.mu.Unlock()
	follows := g.c.Followed != nil
	if err := g.resumeFlows(ctx); err != nil {
		g.c.Report("github.Run", err)
	}
	if err := g.revokeLeft(ctx); err != nil {
		g.c.Report("github.Run", err)
	}
	if follows {
		g.watch.run(ctx)
	}
	<-ctx.Done()
	g.revokeHanded()
	g.revoking.Wait()
	return nil
}

// guarded is how who makes calls.
func (g *GitHub) guarded(who string) http.RoundTripper {
	return &guard{limits: &g.limits, who: who, next: http.DefaultTransport}
}

func (g *GitHub) enterprise() bool { return g.base.Host != "github.com" }

// client returns an API client over a transport, or with a token.
func (g *GitHub) client(transport http.RoundTripper, token string) (*gh.Client, error) {
	c := gh.NewClient(&http.Client{Transport: transport, Timeout: g.timeout})
	if token != "" {
		c = c.WithAuthToken(token)
	}
	if !g.enterprise() {
		return c, nil
	}
	c, err := c.WithEnterpriseURLs(g.base.String(), g.base.String())
	return c, session.Wrap("github.client", err)
}

// CloneURL returns where a repository is cloned from, without credentials.
func (g *GitHub) CloneURL(r session.Repo) string {
	r = g.current(r)
	return g.base.JoinPath(r.Owner, r.Name+".git").String()
}

// keyed gives one lock per key. Keys are few (repositories, people), so they are kept.
type keyed struct{ locks sync.Map }

func (k *keyed) lock(key string) (unlock func()) {
	m, _ := k.locks.LoadOrStore(key, &sync.Mutex{})
	m.(*sync.Mutex).Lock()
	return m.(*sync.Mutex).Unlock
}
