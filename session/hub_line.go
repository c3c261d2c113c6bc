package session

import (
	"context"
	"time"
)

// HoursPerRoom is how long sandboxes may live in a day (UTC) unless HubConfig says otherwise, for each that may live at once: three quarters of what is possible at all.
const HoursPerRoom = 18 * time.Hour

// Hours is what a store knows of how long sandboxes lived.
type Hours interface {
	// Lived returns the sum of what commits told as Lived for a day (2026-11-24).
	Lived(ctx context.Context, day string) (time.Duration, error)
}

// terms returns the terms of a session's next step.
func (h *Hub) terms(ctx context.Context, s Session) Terms {
	t := h.line.look(s.ID)
	t.Starts = h.starts
	if h.hours == nil || h.line.room == 0 || s.Sandbox.Occupied() {
		return t // whoever has a sandbox keeps it
	}
	spent, err := h.spent(ctx)
	if err != nil {
		h.report(s.ID, "sandbox-hours", err) // the step will not be committed either, if the store is the trouble
		return t
	}
	if spent >= h.daily {
		t.Spent = spent
	}
	return t
}

// spent is how long all sandboxes together lived today.
func (h *Hub) spent(ctx context.Context) (time.Duration, error) {
	now := h.clock.Now()
	spent, err := h.hours.Lived(ctx, dayOf(now))
	return spent + h.line.lived(now), err
}

// Free returns how many sandboxes may live beside those of sessions, if whoever waits for one gets it: none before Start, and none once the hours of
// the day are spent.
func (h *Hub) Free(ctx context.Context) (int, error) {
	h.mu.Lock()
	running := h.ctx != nil
	h.mu.Unlock()
	if !running {
		return 0, nil
	}
	n := h.line.free()
	if n > 0 {
		if spent, err := h.Spent(ctx); spent || err != nil {
			return 0, err
		}
	}
	return n, nil
}

// Spent tells whether sandboxes have lived for all of the day's hours: no other is to begin then, whatever it is for.
func (h *Hub) Spent(ctx context.Context) (bool, error) {
	if h.hours == nil || h.line.room == 0 {
		return false, nil
	}
	spent, err := h.spent(ctx)
	return err == nil && spent >= h.daily, Wrap("session.Hub.Spent", err)
}

// keepLine tells sessions, one after another, what the line has for them, until ctx ends. Each answer is what was committed, so nothing is
// given twice.
func (h *Hub) keepLine(ctx context.Context) {
	for {
		id, in, ok := h.line.next()
		if !ok {
			select {
			case <-h.line.changed:
			case <-ctx.Done():
				return
			}
			continue
		}
		err := h.Send(ctx, id, in)
		if err == nil || CodeOf(err) == Conflict { // it changed its mind meanwhile, which the line has noted
			continue
		}
		if ctx.Err() != nil {
			return
		}
		h.report(id, "line", err)
		if CodeOf(err) != Unavailable { // its own trouble, which must not be everybody's
			h.line.skip(id)
			continue
		}
		if !h.pause(ctx, time.Second) {
			return
		}
	}
}
