package sandbox

import (
	"cmp"
	"context"
	"strings"
	"time"

	"openinspect/session"
)

// imageKey is where the image of a sandbox that is being put away is kept until the session has it.
func imageKey(id session.ID) string { return "image/" + string(id) }

// drainLimit is how long the rest of a journal may take before a sandbox is put away without it.
const drainLimit = 10 * time.Second

// Suspend implements session.Sandboxes: what is left of the journal is read, as far as it comes within ten seconds; then the snapshot is
// made and the sandbox destroyed. The image is kept in the store before that, for a bot that is killed in between and asked again.
func (m *Manager) Suspend(ctx context.Context, id session.ID, h session.Handle) (string, error) {
	const op = "sandbox.Suspend"
	start := ""
	if a := m.attached(id); a != nil && a.req.Handle.Name == h.Name {
		start = a.req.Start
		drain, cancel := context.WithTimeout(ctx, drainLimit)
		if err := a.drain(drain); err != nil {
			m.c.Report(id, "drain", err)
		}
		cancel()
		a.stop()
	} else if f, err := m.c.Provider.Find(ctx, h.Name); err == nil {
		start = f.Start
	}
	image, err := m.c.Provider.Snapshot(ctx, h)
	switch code := session.CodeOf(err); {
	case err == nil:
		if err := m.c.Store.PutSecret(ctx, imageKey(id), []byte(h.Name+"\n"+image+"\n"+start)); err != nil {
			return "", session.Wrap(op, err)
		}
	case code == session.NotFound:
		before := ""
		if image, before, err = m.putAway(ctx, id, h); err != nil {
			return "", session.Wrap(op, err)
		}
		start = cmp.Or(start, before)
	default:
		return "", session.Wrap(op, err)
	}
	if err := m.c.Provider.Destroy(ctx, h); err != nil {
		return "", session.Wrap(op, err)
	}
	if start != "" {
		if err := m.c.Store.DeleteSecret(ctx, tokenKey(id, start)); err != nil {
			m.c.Report(id, "forget token", err)
		}
	}
	return image, nil
}

// putAway returns the image that an earlier call for the same sandbox made, and the start of its runner; "" if there is none.
func (m *Manager) putAway(ctx context.Context, id session.ID, h session.Handle) (image, start string, err error) {
	b, err := m.c.Store.Secret(ctx, imageKey(id))
	if session.CodeOf(err) == session.NotFound {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	name, rest, _ := strings.Cut(string(b), "\n")
	if name != h.Name {
		return "", "", nil
	}
	image, start, _ = strings.Cut(rest, "\n")
	return image, start, nil
}

// Forget drops what is kept for a session that exists no longer. Its image goes with the next Sweep.
func (m *Manager) Forget(ctx context.Context, id session.ID) error {
	return session.Wrap("sandbox.Forget", m.c.Store.DeleteSecret(ctx, imageKey(id)))
}
