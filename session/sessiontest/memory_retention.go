package sessiontest

import (
	"context"
	"maps"
	"slices"
	"time"

	"openinspect/session"
)

// gone returns the NotFound of a removed session; nil for any other.
func (m *Memory) gone(id session.ID) error {
	r, ok := m.removed[id]
	if !ok {
		return nil
	}
	return &session.Error{Code: session.NotFound, Message: r.Error(), Err: &r}
}

// Retire implements Retention.
func (m *Memory) Retire(ctx context.Context, days int) ([]session.ID, error) {
	end, err := m.begin(ctx, "Retire")
	if err != nil {
		return nil, err
	}
	defer end()
	now := m.Clock.Now()
	at := now
	if !m.retired.IsZero() && at.Sub(m.retired) > 24*time.Hour {
		at = m.retired.Add(24 * time.Hour)
	}
	before := at.AddDate(0, 0, -days)
	var ids []session.ID
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		k := m.sessions[id]
		if !k.session.Updated.Before(before) || !k.state().AtRest() || m.unpresented[id] {
			continue
		}
		delete(m.sessions, id)
		m.removed[id] = session.Removed{At: now, Days: days, Rooted: k.session.Rooted}
		ids = append(ids, id)
	}
	if len(ids) > 0 {
		return ids, nil
	}
	maps.DeleteFunc(m.outbox, func(key string, msg session.Message) bool {
		pending := msg.Sent < msg.Version && msg.Failed == ""
		return m.stamps[key].Before(before) && !pending && m.sessions[msg.Session] == nil
	})
	m.retired = at
	return nil, nil
}
