package github

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// readFor is how long a sandbox's read token lives before we revoke it.
const readFor = 5 * time.Minute

// minted is an installation token that lives. It is kept sealed from before its first use until it is revoked, so that one that a crash
// left is revoked by the next start.
type minted struct {
	Token string    `json:"token"`
	Until time.Time `json:"until,omitzero"` // a sandbox may use it until then; zero: it is for one operation of ours
}

const mintedPrefix = "github/minted/"

// mint makes an installation token for one repository with the least that is needed. until is as minted has it. revoke ends it; it may be
// called more than once.
func (g *GitHub) mint(ctx context.Context, r session.Repo, p *gh.InstallationPermissions, until time.Time) (token string, revoke func(), err error) {
	return g.mintFor(ctx, r, []string{g.current(r).Name}, p, until)
}

// mintAll is mint for all repositories of the installation that has r.
func (g *GitHub) mintAll(ctx context.Context, r session.Repo, p *gh.InstallationPermissions, until time.Time) (token string, revoke func(), err error) {
	return g.mintFor(ctx, r, nil, p, until)
}

func (g *GitHub) mintFor(ctx context.Context, r session.Repo, names []string, p *gh.InstallationPermissions, until time.Time) (token string, revoke func(), err error) {
	t, err := g.create(ctx, r, names, p)
	if err != nil {
		return "", nil, err
	}
	m := minted{Token: t, Until: until}
	b, err := json.Marshal(m)
	if err == nil {
		g.mu.Lock()
		g.minted[m.key()] = true
		g.mu.Unlock()
		err = g.c.Store.PutSecret(ctx, m.key(), b)
	}
	if err != nil {
		g.revoke(m) // nobody has it
		return "", nil, session.Wrap("github.mint", err)
	}
	var once sync.Once
	return m.Token, func() { once.Do(func() { g.revoke(m) }) }, nil
}

// create asks GitHub for the token.
func (g *GitHub) create(ctx context.Context, r session.Repo, names []string, p *gh.InstallationPermissions) (token string, err error) {
	for range 2 {
		var id int64
		if id, err = g.installation(ctx, r); err != nil {
			return "", err
		}
		app, e := g.client(g.app, "")
		if e != nil {
			return "", e
		}
		t, _, e := app.Apps.CreateInstallationToken(ctx, id, &gh.InstallationTokenOptions{Repositories: names, Permissions: p})
		if e == nil {
			return t.GetToken(), nil
		}
		err = appProblem("github.mint", r, e, "The GitHub App may not use `"+r.String()+"`. Check that it is installed there with write access to contents.")
		if limited(e) == nil {
			g.forget(r)
		}
		status, _ := answer(e)
		if status == http.StatusUnprocessableEntity && names != nil && g.learn(ctx, r) {
			names = []string{g.current(r).Name}
			continue
		}
		if status != http.StatusNotFound {
			break // else the App was installed anew, and what we knew was the installation before
		}
	}
	return "", err
}

// forget has the installation of a repository looked up again.
func (g *GitHub) forget(r session.Repo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.installations, r)
}

// forgetAll has everything about installations looked up again.
func (g *GitHub) forgetAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.installations)
	g.listedAt = time.Time{}
}

func (m minted) key() string {
	sum := sha256.Sum256([]byte(m.Token))
	return mintedPrefix + hex.EncodeToString(sum[:8])
}

// revoke ends a token and forgets it. One that cannot be revoked now stays kept, for the next start; GitHub ends it after an hour.
func (g *GitHub) revoke(m minted) {
	c, err := g.client(http.DefaultTransport, m.Token)
	for tries := 0; c != nil && tries < 2; tries++ {
		ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
		_, err = c.Apps.RevokeInstallationToken(ctx)
		cancel()
		if status, _ := answer(err); status == http.StatusUnauthorized {
			err = nil // it has ended already
		}
		if err == nil {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	if err == nil {
		err = g.c.Store.DeleteSecret(ctx, m.key())
	}
	if err != nil {
		g.c.Report("github.revoke", err)
	}
	g.mu.Lock()
	delete(g.minted, m.key())
	g.mu.Unlock()
}

// revokeLeft ends the tokens that an earlier run left, those that sandboxes may still use when their time is over.
func (g *GitHub) revokeLeft(ctx context.Context) error {
	keys, err := g.c.Store.Secrets(ctx, mintedPrefix)
	if err != nil {
		return session.Wrap("github.revokeLeft", err)
	}
	for _, key := range keys {
		g.mu.Lock()
		ours := g.minted[key]
		g.mu.Unlock()
		if ours {
			continue
		}
		var m minted
		b, err := g.c.Store.Secret(ctx, key)
		if session.CodeOf(err) == session.NotFound {
			continue // revoked meanwhile
		}
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			return session.Wrap("github.revokeLeft", err)
		}
		if m.Until.IsZero() {
			g.revoking.Go(func() { g.revoke(m) })
			continue
		}
		g.handOut(m, func() { g.revoke(m) })
	}
	return nil
}

// handOut has a token that a sandbox holds revoked when its time is over, or when we stop.
func (g *GitHub) handOut(m minted, revoke func()) {
	g.mu.Lock()
	g.handed[m.key()] = revoke
	g.mu.Unlock()
	g.c.Clock.AfterFunc(max(0, m.Until.Sub(g.c.Clock.Now())), func() {
		g.mu.Lock()
		delete(g.handed, m.key())
		g.mu.Unlock()
		revoke()
	})
}

// revokeHanded ends what sandboxes hold. git in a sandbox asks for another when it needs one.
func (g *GitHub) revokeHanded() {
	g.mu.Lock()
	handed := g.handed
	g.handed = map[string]func(){}
	g.mu.Unlock()
	var wg sync.WaitGroup
	for _, revoke := range handed {
		wg.Go(revoke)
	}
	wg.Wait()
}

var (
	readContents  = &gh.InstallationPermissions{Contents: gh.String("read")}
	readMetadata  = &gh.InstallationPermissions{Metadata: gh.String("read")}
	writeContents = &gh.InstallationPermissions{Contents: gh.String("write")}
)

// Clone returns a credential with which git may read one repository for a few minutes. It is what a sandbox gets.
func (g *GitHub) Clone(ctx context.Context, r session.Repo) (username, password string, expires time.Time, err error) {
	expires = g.c.Clock.Now().Add(readFor)
	token, revoke, err := g.mint(ctx, r, readContents, expires)
	if err != nil {
		return "", "", time.Time{}, err
	}
	g.handOut(minted{Token: token, Until: expires}, revoke)
	return "x-access-token", token, expires, nil
}

// installation returns the App's installation that has a repository.
func (g *GitHub) installation(ctx context.Context, r session.Repo) (int64, error) {
	g.mu.Lock()
	id := g.installations[r]
	g.mu.Unlock()
	if id != 0 {
		return id, nil
	}
	app, err := g.client(g.app, "")
	if err != nil {
		return 0, err
	}
	i, _, err := app.Apps.FindRepositoryInstallation(ctx, r.Owner, r.Name)
	if err != nil {
		return 0, appProblem("github.installation", r, err, "The GitHub App is not installed on "+r.String()+", or the repository does not exist. Install it there, or name another repository.")
	}
	g.mu.Lock()
	g.installations[r] = i.GetID()
	g.mu.Unlock()
	return i.GetID(), nil
}

// Bot returns the committer of the bot's commits: the App's bot user.
func (g *GitHub) Bot(ctx context.Context) (session.Author, error) {
	g.mu.Lock()
	self := g.self
	g.mu.Unlock()
	if self.Email != "" {
		return self, nil
	}
	c, err := g.client(g.app, "")
	if err != nil {
		return self, err
	}
	app, _, err := c.Apps.Get(ctx, "")
	if err != nil {
		return self, problem("github.Bot", err, badKey)
	}
	login := app.GetSlug() + "[bot]"
	users, err := g.client(g.guarded("nobody"), "")
	if err != nil {
		return self, err
	}
	// The bot's user has an id of its own, which is not the App's.
	u, _, err := users.Users.Get(ctx, login)
	if err != nil {
		return self, problem("github.Bot", err, "GitHub does not know the bot user of the App "+app.GetSlug()+".")
	}
	self = session.Author{Name: login, Email: strconv.FormatInt(u.GetID(), 10) + "+" + login + "@users.noreply.github.com"}
	g.mu.Lock()
	g.self = self
	g.mu.Unlock()
	return self, nil
}

// basic is the Authorization header with which git presents a token.
func basic(token string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+token))
}
