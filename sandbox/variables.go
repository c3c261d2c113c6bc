package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// Secrets has what people entered for repositories.
type Secrets interface {
	// Environment returns a repository's own variables, by name; none is no error. Unavailable when they cannot be read just now. No error
	// has a value in its words: it goes into the operator's log.
	Environment(ctx context.Context, r session.Repo) (map[string]string, error)
}

// secretsLimit is how long the secrets may take to be read, on the session's clock.
const secretsLimit = 20 * time.Second

// handOutVariables is the answer to POST /environment. What is handed out is known to the redactor before it is, and to a bot that is started anew.
func (a *attachment) handOutVariables(ctx context.Context, _ struct{}) (link.Environment, error) {
	var env link.Environment
	if a.m.c.Secrets == nil || a.req.Repo == (session.Repo{}) {
		return env, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer a.m.c.Clock.AfterFunc(secretsLimit, cancel)()
	var err error
	if env.Variables, err = a.m.c.Secrets.Environment(ctx, a.req.Repo); err == nil {
		err = env.Check()
	} else {
		code := session.CodeOf(err)
		if ctx.Err() != nil {
			code = session.Unavailable
		}
		err = &session.Error{Code: code, Message: "The bot cannot read them; the operator's log says why.", Err: err} // their own words could have a value
	}
	if err == nil {
		err = a.m.noteHandedOut(ctx, a.req.Repo, env.Variables)
	}
	if err != nil {
		a.m.c.Report(a.req.Session, "read secrets", err)
		return link.Environment{}, err
	}
	return env, nil
}

// maxHandedOut is how many values of a repository are known at most, those before a change among them.
const maxHandedOut = 4 * link.MaxVariables

// secretsKey is where the values are kept that a repository's sandboxes were given. Its name on GitHub knows no case.
func secretsKey(repo string) string { return "environment/" + strings.ToLower(repo) }

// noteHandedOut notes the values that a repository's sandbox is about to get.
func (m *Manager) noteHandedOut(ctx context.Context, r session.Repo, variables map[string]string) error {
	if err := m.redactHandedOut(ctx, r.String()); err != nil {
		return err
	}
	m.handedOutMu.Lock()
	defer m.handedOutMu.Unlock()
	key := secretsKey(r.String())
	values := m.handedOut[key]
	for _, v := range variables {
		if link.Hideable(v) && !slices.Contains(values, v) {
			values = append(slices.Clone(values), v)
		}
	}
	if len(values) == len(m.handedOut[key]) {
		return nil
	}
	values = values[max(0, len(values)-maxHandedOut):]
	b, err := json.Marshal(values)
	if err == nil {
		err = m.c.Store.PutSecret(ctx, key, b)
	}
	if err == nil {
		m.handedOut[key] = values
		m.c.Redactor.Keep(key, values...)
	}
	return session.Wrap("sandbox.noteHandedOut", err)
}

// redactHandedOut has the redactor know what sandboxes of a repository, under each of its names, were given before the bot was started. Nothing of a
// sandbox is read before that.
func (m *Manager) redactHandedOut(ctx context.Context, names ...string) error {
	if m.c.Secrets == nil {
		return nil
	}
	m.handedOutMu.Lock()
	defer m.handedOutMu.Unlock()
	for _, name := range names {
		key := secretsKey(name)
		if _, known := m.handedOut[key]; known || name == "" {
			continue
		}
		values, err := m.handedOutValues(ctx, key)
		if err != nil {
			return session.Wrap("sandbox.redactHandedOut", err)
		}
		m.handedOut[key] = values
		m.c.Redactor.Keep(key, values...)
	}
	return nil
}

// handedOutValues returns the values that are kept under a key.
func (m *Manager) handedOutValues(ctx context.Context, key string) (values []string, err error) {
	b, err := m.c.Store.Secret(ctx, key)
	switch {
	case session.CodeOf(err) == session.NotFound:
		return nil, nil
	case err == nil && json.Unmarshal(b, &values) != nil:
		err = errors.New("the values that were handed out are damaged") // not with the error, which may quote one
	}
	return values, err
}
