//go:build linux

package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"openinspect/session"
)

// tidy removes what no session has any more, now and every hour, and every hour what is kept no longer. It returns at once, because none of
// it is needed to begin: a start reads only what is open. It is part of background.
func (a *App) tidy(ctx context.Context) {
	a.background.Go(func() {
		a.attempt(ctx, "looking for what no session has any more", a.sweep)
		a.hourly(ctx)
	})
}

// hourly tidies up in the timer's own goroutine, so that a clock that is stepped goes on only when all is tidy.
func (a *App) hourly(ctx context.Context) {
	stop := a.o.Clock.AfterFunc(time.Hour, func() {
		a.background.Add(1)
		defer a.background.Done()
		a.attempt(ctx, "removing old sessions", a.retire)
		a.attempt(ctx, "looking for what no session has any more", a.sweep)
		a.attempt(ctx, "pruning the inbox", a.db.Prune)
		if ctx.Err() == nil {
			a.hourly(ctx)
		}
	})
	context.AfterFunc(ctx, func() { stop() })
}

// attempt does one thing and logs why it failed, unless the bot is stopping.
func (a *App) attempt(ctx context.Context, what string, f func(context.Context) error) {
	if ctx.Err() != nil {
		return
	}
	if err := f(ctx); err != nil && ctx.Err() == nil {
		a.log.Warn(what, "error", err)
	}
}

// retire removes the sessions in which nothing happened for as long as sessions are kept.
func (a *App) retire(ctx context.Context) error {
	if a.c.RetentionDays == 0 {
		return nil
	}
	if err := a.warnOfLag(ctx); err != nil {
		return err
	}
	for {
		gone, err := a.db.Retire(ctx, a.c.RetentionDays)
		for _, id := range gone {
			a.log.Info("session removed", "session", id, "after_days", a.c.RetentionDays)
			if err := a.manager.Forget(ctx, id); err != nil {
				a.log.Warn("forgetting a session's sandbox", "session", id, "error", err)
			}
		}
		if err != nil || len(gone) == 0 {
			return err
		}
	}
}

// warnOfLag tells the operator that old sessions are kept longer for a while, and why that may be.
func (a *App) warnOfLag(ctx context.Context) error {
	lag, err := a.db.Lag(ctx)
	if err == nil && lag > 24*time.Hour {
		a.log.Warn("the clock is far ahead of when old sessions were last removed, as after a downtime, or because it is wrong; they are removed a day's worth an hour until it is caught up",
			"days", int(lag.Hours()/24))
	}
	return err
}

// sweep removes what no session has: sandboxes and their images, commits, and large log entries. Each of them lists what there is and only then
// asks, so that what a session has begun meanwhile is known.
func (a *App) sweep(ctx context.Context) error {
	var failed error
	of := func(id session.ID) (st session.State, ok bool) {
		st, err := a.db.Load(ctx, id)
		if _, damaged := errors.AsType[*session.Damaged](err); damaged {
			return session.State{}, true // that keeps what it has, and nothing else
		}
		if err != nil && session.CodeOf(err) != session.NotFound {
			failed = errors.Join(failed, err)
			return st, false
		}
		return st, err == nil
	}
	sandboxes := a.manager.Sweep(ctx, func(owner session.ID, name string) bool {
		if owner == "" {
			return a.begunFrom(ctx, of, name) || failed != nil
		}
		st, ok := of(owner)
		return failed != nil || ok && (st.Session.ID == "" || st.Holds(name))
	})
	commits := a.github.Sweep(ctx, func(id session.ID) bool {
		_, ok := of(id)
		return failed != nil || ok
	})
	return errors.Join(failed, sandboxes, commits, a.db.Sweep(ctx))
}

// begunFrom reports whether the sandbox of any session that is not at rest began from an image. One of which that cannot be told counts.
func (a *App) begunFrom(ctx context.Context, of func(session.ID) (session.State, bool), image string) bool {
	open, err := a.db.Open(ctx)
	return err != nil || slices.ContainsFunc(open, func(id session.ID) bool {
		st, ok := of(id)
		return ok && (st.Session.ID == "" || st.Session.Sandbox.From == image)
	})
}
