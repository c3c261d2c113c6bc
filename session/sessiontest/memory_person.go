package sessiontest

import (
	"bytes"
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"openinspect/session"
)

// User implements People.
func (m *Memory) User(ctx context.Context, slack string) (session.User, error) {
	end, err := m.begin(ctx, "User")
	if err != nil {
		return session.User{}, err
	}
	defer end()
	u, ok := m.users[slack]
	if !ok {
		return session.User{}, session.Errorf(session.NotFound, "nothing is known of the Slack user %s", slack)
	}
	return clone(u), nil
}

// PutUser implements People.
func (m *Memory) PutUser(ctx context.Context, u session.User) error {
	end, err := m.begin(ctx, "PutUser")
	if err != nil {
		return err
	}
	defer end()
	return m.putUser(u)
}

func (m *Memory) putUser(u session.User) error {
	if u.GitHub != nil {
		for _, other := range m.users {
			if other.Slack != u.Slack && other.GitHub != nil && other.GitHub.ID == u.GitHub.ID {
				return session.Errorf(session.Conflict, "The GitHub account %s is linked to another Slack user, who has to unlink it first.", u.GitHub.Login)
			}
		}
	}
	m.users[u.Slack] = clone(u)
	return nil
}

// LinkUser implements People.
func (m *Memory) LinkUser(ctx context.Context, slack string, id session.Identity, secrets ...session.SecretChange) error {
	end, err := m.begin(ctx, "LinkUser")
	if err != nil {
		return err
	}
	defer end()
	u := m.users[slack]
	if u.GitHub != nil && u.GitHub.ID != id.ID {
		return session.Errorf(session.Conflict, "You have linked the GitHub account %s already; unlink it first to link %s.", u.GitHub.Login, id.Login)
	}
	if u.GitHub == nil {
		u.LinkedAt = m.Clock.Now()
	}
	u.Slack, u.GitHub = slack, &id
	if err := m.putUser(u); err != nil {
		return err
	}
	m.changeSecrets(secrets)
	m.audit = append(m.audit, session.AuditRecord{At: m.Clock.Now(), Action: "link", By: session.Person{Slack: slack, GitHub: &id}, Result: "linked"})
	return nil
}

// UnlinkUser implements People.
func (m *Memory) UnlinkUser(ctx context.Context, slack string, secrets ...session.SecretChange) error {
	end, err := m.begin(ctx, "UnlinkUser")
	if err != nil {
		return err
	}
	defer end()
	m.changeSecrets(secrets)
	if u, ok := m.users[slack]; ok && u.GitHub != nil {
		m.audit = append(m.audit, session.AuditRecord{At: m.Clock.Now(), Action: "unlink", By: session.Person{Slack: slack, GitHub: u.GitHub}, Result: "unlinked"})
		u.GitHub, u.LinkedAt = nil, time.Time{}
		m.users[slack] = u
	}
	return nil
}

// Channel implements People.
func (m *Memory) Channel(ctx context.Context, id string) (session.Channel, error) {
	end, err := m.begin(ctx, "Channel")
	if err != nil {
		return session.Channel{}, err
	}
	defer end()
	c, ok := m.channels[id]
	if !ok {
		return session.Channel{}, session.Errorf(session.NotFound, "nothing is known of the channel %s", id)
	}
	return c, nil
}

// PutChannel implements People.
func (m *Memory) PutChannel(ctx context.Context, c session.Channel) error {
	end, err := m.begin(ctx, "PutChannel")
	if err != nil {
		return err
	}
	defer end()
	if was, known := m.channels[c.ID]; known && reflect.DeepEqual(was, c) {
		return nil // told again after a crash
	}
	m.channels[c.ID] = c
	if c.By.Slack != "" {
		m.audit = append(m.audit, c.Audit(m.Clock.Now()))
	}
	return nil
}

// Routes implements People.
func (m *Memory) Routes(ctx context.Context) ([]session.Route, error) {
	end, err := m.begin(ctx, "Routes")
	if err != nil {
		return nil, err
	}
	defer end()
	var all []session.Route
	for _, keyword := range slices.Sorted(maps.Keys(m.routes)) {
		all = append(all, m.routes[keyword])
	}
	return all, nil
}

// PutRoute implements People.
func (m *Memory) PutRoute(ctx context.Context, r session.Route) error {
	end, err := m.begin(ctx, "PutRoute")
	if err != nil {
		return err
	}
	defer end()
	was, known := m.routes[r.Keyword]
	if known && was.Repo == r.Repo && was.By.Slack == r.By.Slack {
		return nil // told again after a crash
	}
	switch {
	case r.Repo == (session.Repo{}) && !known:
		return session.Errorf(session.NotFound, "No route has the keyword “%s”.", r.Keyword)
	case r.Repo == (session.Repo{}):
		delete(m.routes, r.Keyword)
	case !known && len(m.routes) >= session.MaxRoutes:
		return session.TooManyRoutes()
	default:
		m.routes[r.Keyword] = clone(r)
	}
	m.audit = append(m.audit, r.Audit())
	return nil
}

// Preferences implements People.
func (m *Memory) Preferences(ctx context.Context, slack string) (session.Preferences, error) {
	end, err := m.begin(ctx, "Preferences")
	if err != nil {
		return session.Preferences{}, err
	}
	defer end()
	p, ok := m.preferences[slack]
	if !ok {
		return session.Preferences{}, session.Errorf(session.NotFound, "%s has no preferences", slack)
	}
	p.Branches, p.Recent = maps.Clone(p.Branches), slices.Clone(p.Recent)
	return p, nil
}

// PutPreferences implements People.
func (m *Memory) PutPreferences(ctx context.Context, p session.Preferences) error {
	end, err := m.begin(ctx, "PutPreferences")
	if err != nil {
		return err
	}
	defer end()
	p.Branches, p.Recent = maps.Clone(p.Branches), slices.Clone(p.Recent)
	m.preferences[p.Slack] = p
	return nil
}

// PutSecret implements Secrets. Nothing is sealed in memory.
func (m *Memory) PutSecret(ctx context.Context, key string, value []byte) error {
	end, err := m.begin(ctx, "PutSecret")
	if err != nil {
		return err
	}
	defer end()
	m.secrets[key] = bytes.Clone(value)
	return nil
}

func (m *Memory) changeSecrets(changes []session.SecretChange) {
	for _, c := range changes {
		if c.Value == nil {
			delete(m.secrets, c.Key)
		} else {
			m.secrets[c.Key] = bytes.Clone(c.Value)
		}
	}
}

// Secret implements Secrets.
func (m *Memory) Secret(ctx context.Context, key string) ([]byte, error) {
	end, err := m.begin(ctx, "Secret")
	if err != nil {
		return nil, err
	}
	defer end()
	v, ok := m.secrets[key]
	if !ok {
		return nil, session.Errorf(session.NotFound, "there is no secret %q", key)
	}
	return bytes.Clone(v), nil
}

// DeleteSecret implements Secrets.
func (m *Memory) DeleteSecret(ctx context.Context, key string) error {
	end, err := m.begin(ctx, "DeleteSecret")
	if err != nil {
		return err
	}
	defer end()
	delete(m.secrets, key)
	return nil
}

// Secrets implements Secrets.
func (m *Memory) Secrets(ctx context.Context, prefix string) ([]string, error) {
	end, err := m.begin(ctx, "Secrets")
	if err != nil {
		return nil, err
	}
	defer end()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.secrets)), func(k string) bool { return !strings.HasPrefix(k, prefix) }), nil
}
