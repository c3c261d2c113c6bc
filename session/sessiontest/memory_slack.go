package sessiontest

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"openinspect/session"
)

const day = 24 * time.Hour

// Receive implements Inbox.
func (m *Memory) Receive(ctx context.Context, r session.Received) (bool, error) {
	end, err := m.begin(ctx, "Receive")
	if err != nil {
		return false, err
	}
	defer end()
	if r.Key == "" {
		return false, session.Errorf(session.Invalid, "an event without an identity cannot be kept")
	}
	now := m.Clock.Now()
	if r.At.IsZero() {
		r.At = now
	}
	for _, i := range r.Identities() {
		if at, ok := m.seen[i]; ok && now.Sub(at) < session.Known(i) && r.Repeats(i, at) {
			return false, nil
		}
	}
	for i, at := range r.Marks(now) {
		if at.After(m.seen[i]) {
			m.seen[i] = at
		}
	}
	m.inbox = append(m.inbox, clone(r))
	return true, nil
}

// Seen implements Past.
func (m *Memory) Seen(ctx context.Context, identity string) (time.Time, error) {
	end, err := m.begin(ctx, "Seen")
	if err != nil {
		return time.Time{}, err
	}
	defer end()
	if at, ok := m.seen[identity]; ok && m.Clock.Now().Sub(at) < session.Known(identity) {
		return at, nil
	}
	return time.Time{}, session.Errorf(session.NotFound, "no event %q", identity)
}

// Inbox implements Inbox.
func (m *Memory) Inbox(ctx context.Context) ([]session.Received, error) {
	end, err := m.begin(ctx, "Inbox")
	if err != nil {
		return nil, err
	}
	defer end()
	return cloneAll(m.inbox), nil
}

// Handled implements Inbox.
func (m *Memory) Handled(ctx context.Context, key string) error {
	end, err := m.begin(ctx, "Handled")
	if err != nil {
		return err
	}
	defer end()
	m.inbox = slices.DeleteFunc(m.inbox, func(r session.Received) bool { return r.Key == key })
	return nil
}

// Prune implements Inbox.
func (m *Memory) Prune(ctx context.Context) error {
	end, err := m.begin(ctx, "Prune")
	if err != nil {
		return err
	}
	defer end()
	now := m.Clock.Now()
	m.inbox = slices.DeleteFunc(m.inbox, func(r session.Received) bool { return now.Sub(m.seen[r.Key]) >= day })
	maps.DeleteFunc(m.seen, func(identity string, at time.Time) bool { return now.Sub(at) >= session.Known(identity) })
	return nil
}

// Present implements Log.
func (m *Memory) Present(ctx context.Context, id session.ID, seq int64, messages []session.Message) error {
	end, err := m.begin(ctx, "Present")
	if err != nil {
		return err
	}
	defer end()
	k, err := m.find(id)
	if err != nil {
		return err
	}
	newest := int64(len(k.events))
	if seq < 0 || seq > newest {
		return session.Errorf(session.Invalid, "session %s has no event %d", id, seq)
	}
	if err := m.upsert(messages); err != nil {
		return err
	}
	k.presented = max(k.presented, seq)
	if seq == newest {
		delete(m.unpresented, id)
	}
	return nil
}

// Presented implements Log.
func (m *Memory) Presented(ctx context.Context, id session.ID) (int64, error) {
	end, err := m.begin(ctx, "Presented")
	if err != nil {
		return 0, err
	}
	defer end()
	k, err := m.find(id)
	if err != nil {
		return 0, err
	}
	return k.presented, nil
}

// Unpresented implements Log.
func (m *Memory) Unpresented(ctx context.Context) ([]session.ID, error) {
	end, err := m.begin(ctx, "Unpresented")
	if err != nil {
		return nil, err
	}
	defer end()
	return slices.Sorted(maps.Keys(m.unpresented)), nil
}

// Put implements Outbox.
func (m *Memory) Put(ctx context.Context, messages ...session.Message) error {
	end, err := m.begin(ctx, "Put")
	if err != nil {
		return err
	}
	defer end()
	return m.upsert(messages)
}

// upsert stores all of the messages or, if one of them cannot be kept, none.
func (m *Memory) upsert(messages []session.Message) error {
	for _, msg := range messages {
		if msg.Key == "" {
			return session.Errorf(session.Invalid, "a message without a key cannot be kept")
		}
	}
	for _, msg := range messages {
		old, known := m.outbox[msg.Key]
		if !known {
			m.order++
			msg.Version, msg.Sent, msg.Failed, msg.Order = 1, 0, "", m.order
			m.outbox[msg.Key], m.stamps[msg.Key] = clone(msg), m.Clock.Now()
			continue
		}
		msg.Version, msg.Sent, msg.Failed, msg.Order = old.Version, old.Sent, old.Failed, old.Order
		msg.TS = cmp.Or(msg.TS, old.TS)
		if msg = clone(msg); reflect.DeepEqual(old, msg) {
			continue
		}
		msg.Version++
		msg.Failed = ""
		m.outbox[msg.Key], m.stamps[msg.Key] = msg, m.Clock.Now()
	}
	return nil
}

// Pending implements Outbox.
func (m *Memory) Pending(ctx context.Context) ([]session.Message, error) {
	end, err := m.begin(ctx, "Pending")
	if err != nil {
		return nil, err
	}
	defer end()
	var all []session.Message
	for _, msg := range m.outbox {
		if msg.Sent < msg.Version && msg.Failed == "" {
			all = append(all, clone(msg))
		}
	}
	slices.SortFunc(all, func(a, b session.Message) int { return cmp.Compare(a.Order, b.Order) })
	return all, nil
}

// Sent implements Outbox.
func (m *Memory) Sent(ctx context.Context, key string, version int64, ts, failed string) error {
	end, err := m.begin(ctx, "Sent")
	if err != nil {
		return err
	}
	defer end()
	msg, err := m.message(key)
	if err != nil {
		return err
	}
	if version > msg.Version {
		return session.Errorf(session.Invalid, "message %q has no version %d", key, version)
	}
	switch {
	case failed == "":
		msg.Sent = max(msg.Sent, version)
	case version == msg.Version:
		msg.Failed = failed
	}
	msg.TS = cmp.Or(ts, msg.TS)
	m.outbox[key], m.stamps[key] = msg, m.Clock.Now()
	return nil
}

// Refused implements Outbox.
func (m *Memory) Refused(ctx context.Context) ([]session.Message, error) {
	end, err := m.begin(ctx, "Refused")
	if err != nil {
		return nil, err
	}
	defer end()
	var all []session.Message
	for _, msg := range m.outbox {
		if msg.Failed != "" {
			all = append(all, clone(msg))
		}
	}
	slices.SortFunc(all, func(a, b session.Message) int { return cmp.Compare(a.Order, b.Order) })
	return all, nil
}

// TryAgain implements Outbox.
func (m *Memory) TryAgain(ctx context.Context, keys ...string) error {
	end, err := m.begin(ctx, "TryAgain")
	if err != nil {
		return err
	}
	defer end()
	for _, key := range keys {
		if _, err := m.message(key); err != nil {
			return err
		}
	}
	for _, key := range keys {
		msg := m.outbox[key]
		msg.Failed = ""
		m.outbox[key], m.stamps[key] = msg, m.Clock.Now()
	}
	return nil
}

func (m *Memory) message(key string) (session.Message, error) {
	msg, ok := m.outbox[key]
	if !ok {
		return session.Message{}, session.Errorf(session.NotFound, "there is no message %q", key)
	}
	return clone(msg), nil
}

// Message implements Outbox.
func (m *Memory) Message(ctx context.Context, key string) (session.Message, error) {
	end, err := m.begin(ctx, "Message")
	if err != nil {
		return session.Message{}, err
	}
	defer end()
	return m.message(key)
}

// MessageAt implements Outbox.
func (m *Memory) MessageAt(ctx context.Context, channel, ts string) (session.Message, error) {
	end, err := m.begin(ctx, "MessageAt")
	if err != nil {
		return session.Message{}, err
	}
	defer end()
	for _, msg := range m.outbox {
		reaction := msg.Op == session.MessageReact || msg.Op == session.MessageUnreact
		if msg.Channel == channel && msg.TS == ts && ts != "" && !reaction {
			return clone(msg), nil
		}
	}
	return session.Message{}, session.Errorf(session.NotFound, "that message is none of the bot's")
}
