package github

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"openinspect/session"
)

// userToken is what we hold of a person who linked an account; it is stored sealed, under userKey.
type userToken struct {
	Identity session.Identity `json:"identity"`
	Access   string           `json:"access"`
	Refresh  string           `json:"refresh"`
	Expires  time.Time        `json:"expires"`
}

func userKey(slack string) string { return "github/user/" + slack }

// refreshBefore is how long before its end a token is renewed.
const refreshBefore = 5 * time.Minute

var errUnlinked = session.Errorf(session.Forbidden, "Your GitHub account is not linked any more. Link it with `/inspect link`, then react again.")

// errStale is GitHub's 401 for a person's token.
var errStale = errors.New("GitHub does not take the person's token")

// token returns a person's access token, renewed if it ends soon or is the stale one. A refresh token works once, so one goroutine at a time uses it,
// and what comes of it is stored before it is used. Forbidden when the person is not linked or has taken the authorisation back.
func (g *GitHub) token(ctx context.Context, slack, stale string) (userToken, error) {
	defer g.users.lock(slack)()
	t, err := g.loadToken(ctx, slack)
	if err != nil {
		return t, err
	}
	if (t.Expires.IsZero() || g.c.Clock.Now().Before(t.Expires.Add(-refreshBefore))) && t.Access != stale {
		return t, nil
	}
	if t.Refresh == "" {
		return t, g.dead(ctx, slack)
	}
	fresh, err := g.oauth.TokenSource(g.withHTTP(ctx), &oauth2.Token{RefreshToken: t.Refresh}).Token()
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.ErrorCode != "" {
		if e.ErrorCode != "bad_refresh_token" {
			return t, &session.Error{Code: session.Forbidden, Op: "github.token", Message: "GitHub refused to renew the link to your account (" + session.OneLine(e.ErrorCode, 60) + "). Whoever runs the bot has to check GITHUB_CLIENT_ID; then react again.", Err: err}
		}
		// GitHub's word that this refresh token is dead: used before by somebody else, expired, or the person took it back.
		return t, g.dead(ctx, slack)
	}
	if err != nil {
		return t, problem("github.token", err, "")
	}
	t.set(fresh)
	// The token before is dead now: what cannot be stored would be lost for good.
	if err := g.persist(func(ctx context.Context) error { return g.storeToken(ctx, slack, t) }); err != nil {
		return t, err
	}
	return g.withLogin(ctx, slack, t), nil
}

// withLogin is a token with its person's login of now. People may change theirs, and others read it before the number that stays. What keeps us from asking
// can wait for the next token. The person's lock is held.
func (g *GitHub) withLogin(ctx context.Context, slack string, t userToken) userToken {
	c, err := g.userClient(t)
	if err != nil {
		return t
	}
	u, _, err := c.Users.Get(ctx, "")
	now := account(u)
	if err != nil || now.ID != t.Identity.ID || now.Login == "" || now.Login == t.Identity.Login {
		return t
	}
	fresh := t
	fresh.Identity = now
	b, err := json.Marshal(fresh)
	if err == nil {
		err = g.c.Store.LinkUser(ctx, slack, now, session.SecretChange{Key: userKey(slack), Value: b})
	}
	if err != nil {
		g.c.Report("github.token", err)
		return t
	}
	return fresh
}

// persist stores what cannot be had again: while the disk refuses, it tries again every second, as long as the bot runs.
func (g *GitHub) persist(store func(context.Context) error) error {
	g.mu.Lock()
	ctx := g.ctx
	g.mu.Unlock()
	for {
		err := store(ctx)
		if !errors.Is(err, session.ErrStorage) {
			return err
		}
		again := make(chan struct{})
		stop := g.c.Clock.AfterFunc(time.Second, func() { close(again) })
		select {
		case <-again:
		case <-ctx.Done():
			stop()
			return err
		}
	}
}

// dead forgets a link that GitHub does not honour any more, and returns what to tell its person.
func (g *GitHub) dead(ctx context.Context, slack string) error {
	if err := g.unlink(ctx, slack); err != nil && session.CodeOf(err) != session.NotFound {
		return err
	}
	return errUnlinked
}

func (t *userToken) set(o *oauth2.Token) {
	t.Access, t.Expires = o.AccessToken, o.Expiry
	if o.RefreshToken != "" {
		t.Refresh = o.RefreshToken
	}
}

func (g *GitHub) loadToken(ctx context.Context, slack string) (t userToken, err error) {
	b, err := g.c.Store.Secret(ctx, userKey(slack))
	if session.CodeOf(err) == session.NotFound {
		return t, errUnlinked
	}
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	return t, session.Wrap("github.token", err)
}

func (g *GitHub) storeToken(ctx context.Context, slack string, t userToken) error {
	b, err := json.Marshal(t)
	if err == nil {
		err = g.c.Store.PutSecret(ctx, userKey(slack), b)
	}
	return session.Wrap("github.storeToken", err)
}

// Unlink forgets a person's account and token. NotFound when there is none. While their token is being renewed it waits: else what comes of that would be
// kept.
func (g *GitHub) Unlink(ctx context.Context, slack string) error {
	defer g.users.lock(slack)()
	return g.unlink(ctx, slack)
}

func (g *GitHub) unlink(ctx context.Context, slack string) error {
	if _, err := g.c.Store.Secret(ctx, userKey(slack)); err != nil {
		return session.Wrap("github.Unlink", err)
	}
	return session.Wrap("github.Unlink", g.c.Store.UnlinkUser(ctx, slack, session.SecretChange{Key: userKey(slack)}))
}

// withHTTP makes oauth2 use a client that gives up: its device calls take no context of their own.
func (g *GitHub) withHTTP(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, g.http)
}
