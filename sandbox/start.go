package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// fullPause is how long a start waits before a provider that was full is asked again.
const fullPause = 30 * time.Second

// Start implements session.Sandboxes. A retry with the same start id uses the same token, which the runner of the first try knows.
func (m *Manager) Start(ctx context.Context, r session.StartRequest) (session.Begun, error) {
	const op = "sandbox.Start"
	if err := m.checkVersion(ctx, r.Image); err != nil {
		return session.Begun{}, session.Wrap(op, err)
	}
	warm, ok, err := m.pool.take(ctx, r)
	m.pool.makeRoom(ctx, r)
	if ok || err != nil {
		return warm, session.Wrap(op, err)
	}
	leave, err := m.breaker.enter(ctx)
	if err != nil {
		return session.Begun{}, session.Wrap(op, err)
	}
	outcome := error(session.ErrStopped) // for the breaker: it says nothing of the provider, until that has answered
	defer func() { leave(outcome) }()
	begun, err := m.createBest(ctx, r)
	if ctx.Err() == nil {
		// What lies in a session's own files can keep a runner from starting in them. That one session cannot, again and again, is no reason to stop all.
		if r.Mode != session.BootSnapshot || session.CodeOf(err) != session.Internal {
			outcome = err
		}
		err = m.startFailed(ctx, r, err)
	}
	if err != nil {
		return session.Begun{}, session.Wrap(op, err)
	}
	begun.Ends = m.ends(r.At)
	return begun, nil
}

// startFailed takes the error of a start, which may be nil, and returns the one to tell. The token of a start that is not tried again is forgotten: no
// runner has it.
func (m *Manager) startFailed(ctx context.Context, r session.StartRequest, err error) error {
	switch code := session.CodeOf(err); {
	case err == nil:
		return nil
	case code != session.Unavailable:
		return errors.Join(err, m.c.Store.DeleteSecret(ctx, tokenKey(r.Session, r.Start)))
	case errors.Is(err, ErrFull):
		m.c.Report(r.Session, "start", err)
		return &session.Later{At: m.c.Clock.Now().Add(fullPause), Err: &session.Error{
			Code: session.Unavailable, Message: session.Sentence(err) + " Your request waits, and is tried again every half minute.", Err: err,
		}}
	}
	return err
}

// ends returns when the provider will have ended a sandbox that was asked for at a time; zero if it lets it live.
func (m *Manager) ends(asked time.Time) time.Time {
	p, ok := m.c.Provider.(Mortal)
	if !ok || asked.IsZero() {
		return time.Time{}
	}
	return asked.Add(p.Lifetime())
}

// createBest begins a session's sandbox from the best that there is: from its own files if it has any, else from its repository's image, else from the
// provider's base. What is not there is not waited for, and what is of no use is passed over.
func (m *Manager) createBest(ctx context.Context, r session.StartRequest) (session.Begun, error) {
	if r.Mode == session.BootFresh && r.Repo != (session.Repo{}) {
		if begun, ok, err := m.fromPrebuilt(ctx, r); ok || err != nil {
			return begun, err
		}
	}
	return m.create(ctx, r, r.Mode, r.Image, "")
}

// create asks the provider for the sandbox that a session asked for.
func (m *Manager) create(ctx context.Context, r session.StartRequest, mode session.BootMode, image, setup string) (session.Begun, error) {
	boot, err := m.newBoot(ctx, r.Session, r.Start, r.Repo)
	if err != nil {
		return session.Begun{}, err
	}
	boot.Mode, boot.Setup, boot.LogURL = mode, setup, m.c.LogURL(r.Session)
	boot.Base, boot.Anew, boot.Collected, boot.Patch = r.Base, r.Anew, r.Collected, r.Patch
	h, err := m.c.Provider.Create(ctx, Spec{Name: r.Name, Image: image, Boot: boot})
	if err != nil {
		return session.Begun{}, err
	}
	return session.Begun{Handle: h, Start: r.Start, Mode: mode, Image: image}, nil
}

// fromPrebuilt begins from the repository's image; not ok if there is none that is of use. An image that its provider does not know any more, or from
// which nothing begins where it does from the base, is bad from then on. The error is one that may be over soon.
func (m *Manager) fromPrebuilt(ctx context.Context, r session.StartRequest) (begun session.Begun, ok bool, err error) {
	m.markBad(ctx, r.Repo, r.Bad, neverReady)
	for tried := ""; ; {
		p, err := m.prebuilts.get(ctx, r.Repo)
		if err != nil {
			m.c.Report(r.Session, "look for the repository's image", err) // it is there to save time, and nothing else
		}
		if err != nil || !p.Good() || p.Base != r.Base || p.Image == tried || p.Image == r.Bad {
			return session.Begun{}, false, nil
		}
		begun, err = m.create(ctx, r, session.BootImage, p.Image, p.Setup)
		if err == nil || ctx.Err() != nil || session.CodeOf(err) == session.Unavailable {
			return begun, err == nil, err
		}
		m.c.Report(r.Session, "begin from the repository's image", err)
		if err := m.destroyNamed(ctx, r.Name, session.Handle{}); err != nil { // what there may be of it would be taken for a base's
			return session.Begun{}, false, err
		}
		if session.CodeOf(err) != session.NotFound {
			begun, base := m.create(ctx, r, r.Mode, "", "")
			if base == nil {
				m.markBad(ctx, r.Repo, p.Image, session.Sentence(err))
			}
			return begun, base == nil, base
		}
		m.markBad(ctx, r.Repo, p.Image, doesNotExist)
		tried = p.Image // another one may have taken its place a moment ago
	}
}

// newBoot returns what every runner is told. The token that it is to know by its hash is made at the first call for a start.
func (m *Manager) newBoot(ctx context.Context, id session.ID, start string, repo session.Repo) (link.Boot, error) {
	token, err := m.token(ctx, id, start, repo)
	b := link.Boot{
		Session: id, Start: start, TokenHash: link.HashToken(token), Repo: repo, Bot: m.c.Bot,
		Catalogue: m.c.Catalogue, Providers: m.c.Providers, SetupTimeout: m.c.SetupTimeout, StartTimeout: m.c.StartTimeout,
	}
	if repo != (session.Repo{}) {
		b.CloneURL, b.Environment = m.c.CloneURL(repo), m.c.Secrets != nil
	}
	return b, err
}

// token returns the token of a start, made at the first call. It is kept with the name that the repository has then.
func (m *Manager) token(ctx context.Context, id session.ID, start string, repo session.Repo) (string, error) {
	token, _, err := m.keptToken(ctx, id, start)
	if session.CodeOf(err) != session.NotFound {
		return token, err
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand
	token = session.OwnToken + base64.RawURLEncoding.EncodeToString(raw[:])
	return token, m.c.Store.PutSecret(ctx, tokenKey(id, start), []byte(token+"\n"+repo.String()))
}

// keptToken returns the token of a start, and the name that its repository had then: it may have another by now.
func (m *Manager) keptToken(ctx context.Context, id session.ID, start string) (token, repo string, err error) {
	b, err := m.c.Store.Secret(ctx, tokenKey(id, start))
	token, repo, _ = strings.Cut(string(b), "\n")
	return token, repo, err
}

// tokenKey is where the token of a runner's link is kept.
func tokenKey(id session.ID, start string) string { return "link/" + string(id) + "/" + start }
