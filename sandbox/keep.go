package sandbox

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// imageKey is where the image of a sandbox that is being put away is kept until the session has it.
func imageKey(id session.ID) string { return "image/" + string(id) }

// drainLimit is how long the rest of a journal may take before a sandbox is put away without it.
const drainLimit = 10 * time.Second

// Keep implements session.Sandboxes: what is left of the journal is read, as far as it comes within ten seconds; then the snapshot is
// made and, with r.End, the sandbox destroyed.
func (m *Manager) Keep(ctx context.Context, id session.ID, r session.KeepRequest) (kept session.Kept, err error) {
	const op = "sandbox.Keep"
	s, unlock, err := m.lockSnapshots(ctx, r.Handle)
	if err != nil {
		return kept, session.Wrap(op, err)
	}
	defer unlock()
	if a := m.attached(id); a != nil && a.req.Handle.Name == r.Name {
		m.drain(ctx, a)
		if r.Patch && !r.Same && (!r.Bare || r.Soon) { // in one that did not begin there may be less than is kept
			m.takePatch(ctx, a, r.Collected)
		}
	}
	if r.Patch {
		if kept.Patch, err = m.keptPatch(ctx, id); err != nil {
			return kept, session.Wrap(op, err)
		}
	}
	if r.End {
		kept.Image, err = m.suspend(ctx, id, r, s)
		r.From = "" // nothing works on it any more
	} else {
		kept.Image, err = m.snapshot(ctx, id, r, s)
	}
	if err != nil {
		return kept, session.Wrap(op, err)
	}
	if r.Image != "" && ctx.Err() == nil { // else the session may have others by now
		m.prune(ctx, id, r.Image, r.From, kept.Image)
	}
	return kept, nil
}

// snapshotState is what is known of a sandbox's snapshots, of which one is made at a time.
type snapshotState struct {
	lock  chan struct{} // held by whoever makes one, or ends the sandbox; guards the rest
	image string        // the newest
	work  int           // how much work it has, as KeepRequest.Work
}

// lockSnapshots waits until no other snapshot of a sandbox is being made.
func (m *Manager) lockSnapshots(ctx context.Context, h session.Handle) (s *snapshotState, unlock func(), err error) {
	m.mu.Lock()
	s = m.snapshots[h.ID]
	if s == nil {
		s = &snapshotState{lock: make(chan struct{}, 1)}
		m.snapshots[h.ID] = s
	}
	m.mu.Unlock()
	select {
	case s.lock <- struct{}{}:
		return s, func() { <-s.lock }, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// forgetSnapshots drops what is known of the snapshots of a sandbox that has ended.
func (m *Manager) forgetSnapshots(h session.Handle) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.snapshots, h.ID)
}

func (m *Manager) drain(ctx context.Context, a *attachment) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if err := a.drain(ctx); err != nil {
		m.c.Report(a.req.Session, "drain", err)
	}
}

// snapshot makes an image and remembers it. Once it is being made, it is waited for even if nobody wants it any more: one that nobody knows of
// could not be deleted.
func (m *Manager) snapshot(ctx context.Context, id session.ID, r session.KeepRequest, s *snapshotState) (image string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	image, err = m.c.Provider.Snapshot(m.ctx, r.Handle)
	switch {
	case err != nil && m.ctx.Err() != nil:
		return "", session.ErrStopped // nothing is known; whoever starts next asks again
	case err != nil:
		return "", err
	}
	i := session.Image{ID: image, Kind: session.ImageSnapshot, Session: id, At: m.c.Clock.Now(), Version: link.Version}
	whole := context.WithoutCancel(m.ctx) // the bot may be ending
	if err = m.c.Archive.PutImage(whole, i); err != nil {
		return "", errors.Join(err, m.delete(whole, image))
	}
	s.image, s.work = image, r.Work
	return image, nil
}

// suspend ends the sandbox once its image is in the store, for a bot that is killed in between and asked again.
func (m *Manager) suspend(ctx context.Context, id session.ID, r session.KeepRequest, s *snapshotState) (image string, err error) {
	start := ""
	if a := m.attached(id); a != nil && a.req.Handle.Name == r.Name {
		start = a.req.Start
		a.stop()
	} else if f, err := m.c.Provider.Find(ctx, r.Name); err == nil {
		start = f.Start
	}
	image, before, err := m.lastImage(ctx, id, start, r, s)
	if err != nil {
		return "", err
	}
	start = cmp.Or(start, before)
	if err := m.c.Provider.Destroy(ctx, r.Handle); err != nil {
		return "", err
	}
	m.forgetSnapshots(r.Handle)
	if start != "" {
		if err := m.c.Store.DeleteSecret(ctx, tokenKey(id, start)); err != nil {
			m.c.Report(id, "forget token", err)
		}
	}
	return image, nil
}

// lastImage returns an image with all that is in a sandbox that is about to be ended, "" if there is nothing in it to keep. before is the start of the
// runner in it if an earlier call made the image.
func (m *Manager) lastImage(ctx context.Context, id session.ID, start string, r session.KeepRequest, s *snapshotState) (image, before string, err error) {
	switch {
	case r.Bare && r.Soon: // one may have been made by a try that could not end the sandbox
		return m.suspendedImage(ctx, id, r)
	case r.Bare:
		return "", "", nil
	case r.Same:
		return r.Image, "", nil
	case s.image != "" && s.work == r.Work && r.Work != 0: // it was being made when this was asked for, and has everything
		image = s.image
	default:
		image, err = m.snapshot(ctx, id, r, s)
	}
	switch {
	case session.CodeOf(err) == session.NotFound:
		return m.suspendedImage(ctx, id, r)
	case err != nil:
		return "", "", err
	}
	return image, "", m.putSuspended(ctx, id, start, image, r)
}

// putSuspended stores which image was made of a sandbox that is about to be ended: five lines, of which older versions wrote the first three.
func (m *Manager) putSuspended(ctx context.Context, id session.ID, start, image string, r session.KeepRequest) error {
	lines := []string{r.Name, image, start, r.ID, strconv.Itoa(r.Work)}
	return m.c.Store.PutSecret(ctx, imageKey(id), []byte(strings.Join(lines, "\n")))
}

// suspendedImage returns the image that putSuspended stored for the same sandbox when as much work was in it, and the start of its runner; "" if there is none.
func (m *Manager) suspendedImage(ctx context.Context, id session.ID, r session.KeepRequest) (image, start string, err error) {
	b, err := m.c.Store.Secret(ctx, imageKey(id))
	if session.CodeOf(err) == session.NotFound {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	switch f := strings.Split(string(b), "\n"); {
	case len(f) < 3 || f[0] != r.Name:
	case len(f) == 5 && (f[3] != r.ID || f[4] != strconv.Itoa(r.Work)): // it is older
	default:
		return f[1], f[2], nil
	}
	return "", "", nil
}

// Forget drops what is kept for a session that exists no longer. Its image goes with the next Sweep.
func (m *Manager) Forget(ctx context.Context, id session.ID) error {
	return session.Wrap("sandbox.Forget", m.c.Store.DeleteSecret(ctx, imageKey(id)))
}
