package github

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"openinspect/session"
)

// flow is a person's linking that goes on. It is stored sealed, so that a restart does not make their code worthless.
type flow struct {
	Device   string    `json:"device"` // GitHub's handle for it
	UserCode string    `json:"user_code"`
	URL      string    `json:"url"`
	Expires  time.Time `json:"expires"`
	Interval int64     `json:"interval"` // seconds between polls
	// Linked is who the person turned out to be, once that is stored: what is left is to tell.
	Linked *session.Identity `json:"linked,omitempty"`
	// Failed is why it came to nothing: likewise, GitHub says it once.
	Failed *session.Failure `json:"failed,omitempty"`
}

// id names the flow, so that its end is told once. It says nothing of the code.
func (f *flow) id() string {
	sum := sha256.Sum256([]byte(f.Device))
	return hex.EncodeToString(sum[:8])
}

// end is how it ended, as far as that is stored.
func (f *flow) end() (id *session.Identity, known bool, err error) {
	if f.Failed != nil {
		return nil, true, session.Errorf(f.Failed.Code, "%s", f.Failed.Message)
	}
	return f.Linked, f.Linked != nil, nil
}

const flowPrefix = "github/flow/"

// Link starts a person's linking, or returns the code of the one that goes on. How it ends is told to Config.Linked.
func (g *GitHub) Link(ctx context.Context, slack string) (session.LinkCode, error) {
	defer g.users.lock(slack)()
	f, err := g.flow(ctx, slack, false)
	if err != nil {
		return session.LinkCode{}, session.Wrap("github.Link", err)
	}
	if f != nil && g.c.Clock.Now().Before(f.Expires) {
		return f.code(), nil
	}
	d, err := g.oauth.DeviceAuth(g.withHTTP(ctx))
	if err != nil {
		return session.LinkCode{}, linkProblem(err)
	}
	if d.DeviceCode == "" {
		// GitHub says so with status 200, which oauth2 takes for an answer.
		return session.LinkCode{}, session.Errorf(session.Forbidden, "Linking is switched off: ask the operator to tick “Enable Device Flow” on the GitHub App's page.")
	}
	f = &flow{Device: d.DeviceCode, UserCode: d.UserCode, URL: d.VerificationURI, Expires: d.Expiry, Interval: d.Interval}
	b, err := json.Marshal(f)
	if err == nil {
		err = g.c.Store.PutSecret(ctx, flowPrefix+slack, b)
	}
	if err != nil {
		return session.LinkCode{}, session.Wrap("github.Link", err)
	}
	g.follow(slack, f)
	return f.code(), nil
}

func (f *flow) code() session.LinkCode {
	return session.LinkCode{UserCode: f.UserCode, URL: f.URL, Expires: f.Expires}
}

// resumeFlows takes up the linking that a restart interrupted.
func (g *GitHub) resumeFlows(ctx context.Context) error {
	keys, err := g.c.Store.Secrets(ctx, flowPrefix)
	if err != nil {
		return session.Wrap("github.resumeFlows", err)
	}
	for _, key := range keys {
		slack := strings.TrimPrefix(key, flowPrefix)
		unlock := g.users.lock(slack)
		_, err := g.flow(ctx, slack, true)
		unlock()
		if err != nil {
			return session.Wrap("github.resumeFlows", err)
		}
	}
	return nil
}

// flow returns a person's linking; nil if there is none. One that only the store knows of, because a restart interrupted it, is taken up: the
// person may have its code already. One that has ended, and only waits to be told, counts with ended alone. The person's lock is held.
func (g *GitHub) flow(ctx context.Context, slack string, ended bool) (*flow, error) {
	g.mu.Lock()
	f := g.flows[slack]
	g.mu.Unlock()
	if f != nil {
		return f, nil
	}
	b, err := g.c.Store.Secret(ctx, flowPrefix+slack)
	if session.CodeOf(err) == session.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f = &flow{}
	if err := json.Unmarshal(b, f); err != nil {
		return nil, err
	}
	if _, known, _ := f.end(); known && !ended {
		return nil, nil
	}
	g.follow(slack, f)
	return f, nil
}

// follow polls until the person has entered their code, refused, or let it expire.
func (g *GitHub) follow(slack string, f *flow) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flows[slack] = f
	ctx := g.ctx
	go func() {
		id, known, err := f.end()
		if !known {
			if id, err = g.await(ctx, slack, f); err != nil && ctx.Err() == nil {
				g.failed(ctx, slack, f, err)
			}
		}
		if ctx.Err() != nil {
			return // a restart takes it up again
		}
		g.mu.Lock()
		if g.flows[slack] == f {
			delete(g.flows, slack)
		}
		g.mu.Unlock()
		for g.c.Linked != nil {
			e := g.c.Linked(ctx, slack, f.id(), id, err)
			if e == nil {
				break
			}
			if ctx.Err() == nil {
				g.c.Report("github.Link", e)
			}
			if !g.sleep(ctx, time.Second) {
				return // it is told after the next start
			}
		}
		g.settled(ctx, slack, f)
	}()
}

// failed keeps why a linking came to nothing until that is told.
func (g *GitHub) failed(ctx context.Context, slack string, f *flow, cause error) {
	defer g.users.lock(slack)()
	done := *f
	done.Failed = &session.Failure{Code: session.CodeOf(cause), Message: session.Sentence(cause)}
	b, err := json.Marshal(done)
	if err == nil {
		err = g.c.Store.PutSecret(ctx, flowPrefix+slack, b)
	}
	if err != nil && ctx.Err() == nil {
		g.c.Report("github.Link", err) // it is told all the same
	}
}

// settled forgets a flow whose end was told, unless the person has started another meanwhile.
func (g *GitHub) settled(ctx context.Context, slack string, f *flow) {
	defer g.users.lock(slack)()
	g.mu.Lock()
	newer := g.flows[slack] != nil && g.flows[slack] != f
	g.mu.Unlock()
	if newer {
		return
	}
	if err := g.c.Store.DeleteSecret(ctx, flowPrefix+slack); err != nil && ctx.Err() == nil {
		g.c.Report("github.Link", err)
	}
}

// await returns who the person turned out to be, after the link, the token, and that only the telling is left, are stored in one transaction.
func (g *GitHub) await(ctx context.Context, slack string, f *flow) (*session.Identity, error) {
	o, err := g.poll(ctx, f)
	if err != nil {
		return nil, linkProblem(err)
	}
	c, err := g.client(g.guarded("linking/"+slack), o.AccessToken) // whose account it is, is the question
	if err != nil {
		return nil, err
	}
	u, _, err := c.Users.Get(ctx, "")
	for tries := 1; tries < 5 && session.CodeOf(problem("", err, "")) == session.Unavailable; tries++ { // a granted token is worth some patience
		if !g.sleep(ctx, 2*time.Second) {
			return nil, ctx.Err()
		}
		u, _, err = c.Users.Get(ctx, "")
	}
	if err != nil {
		return nil, problem("github.Link", err, "GitHub did not say who you are, so your account was not linked. Use `/inspect link` to try again.")
	}
	id := session.Identity{ID: u.GetID(), Login: u.GetLogin()}
	defer g.users.lock(slack)()
	t, done := userToken{Identity: id}, *f
	t.set(o)
	done.Linked = &id
	token, err := json.Marshal(t)
	if err != nil {
		return nil, session.Wrap("github.Link", err)
	}
	rest, err := json.Marshal(done)
	if err != nil {
		return nil, session.Wrap("github.Link", err)
	}
	err = g.persist(func(ctx context.Context) error { // the code is used up
		return g.c.Store.LinkUser(ctx, slack, id, session.SecretChange{Key: userKey(slack), Value: token}, session.SecretChange{Key: flowPrefix + slack, Value: rest})
	})
	if err != nil {
		return nil, session.Wrap("github.Link", err)
	}
	return &id, nil
}

// poll waits for the person. A GitHub that does not answer for a while costs nobody their code.
func (g *GitHub) poll(ctx context.Context, f *flow) (*oauth2.Token, error) {
	for {
		o, err := g.oauth.DeviceAccessToken(g.withHTTP(ctx), &oauth2.DeviceAuthResponse{
			DeviceCode: f.Device, UserCode: f.UserCode, VerificationURI: f.URL, Expiry: f.Expires, Interval: f.Interval,
		})
		if err == nil || ctx.Err() != nil {
			return o, err
		}
		// Its own clock is the computer's, and so is the one by which a flow ends.
		if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.ErrorCode != "" || !time.Now().Before(f.Expires) {
			return nil, err
		}
	}
}

// sleep waits, and reports whether ctx is still alive after it.
func (g *GitHub) sleep(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	stop := g.c.Clock.AfterFunc(d, func() { close(over) })
	defer stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}

// linkProblem turns what the device flow says into a sentence for the person.
func linkProblem(err error) error {
	code, words := session.Unavailable, "GitHub does not answer, so your account could not be linked. Please try `/inspect link` again in a few minutes."
	if l := limited(err); l != nil {
		words = l.sentence()
	} else if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		switch e.ErrorCode {
		case "access_denied":
			code, words = session.Forbidden, "You declined on GitHub, so your account was not linked. Use `/inspect link` if that was a mistake."
		case "expired_token", "token_expired":
			code, words = session.Conflict, "The code has expired, so your account was not linked. Use `/inspect link` for a new one."
		case "device_flow_disabled":
			code, words = session.Forbidden, "Linking is switched off: ask the operator to tick “Enable Device Flow” on the GitHub App's page."
		case "incorrect_client_credentials":
			code, words = session.Forbidden, "GitHub does not know this bot, so your account could not be linked. Whoever runs it has to check GITHUB_CLIENT_ID."
		case "incorrect_device_code": // GitHub has given the token already, and its answer was lost
			code, words = session.Conflict, "The code is used up, but GitHub's answer was lost, so your account was not linked. Use `/inspect link` for a new one."
		case "":
		default:
			code, words = session.Forbidden, "GitHub refused to link your account ("+session.OneLine(e.ErrorCode, 60)+"). Use `/inspect link` to try again."
		}
	} else if errors.Is(err, context.DeadlineExceeded) {
		code, words = session.Conflict, "The code has expired, so your account was not linked. Use `/inspect link` for a new one."
	}
	return &session.Error{Code: code, Op: "github.Link", Message: words, Err: err}
}
