//go:build linux

package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"openinspect/session"
)

// hourly tidies up now and every hour until ctx ends: sessions that are kept no longer, what no session has any more, and what the inbox need
// not remember.
func (a *App) hourly(ctx context.Context) {
	if err := a.retire(ctx); err != nil {
		a.log.Warn("removing old sessions", "error", err)
	}
	if err := a.sweep(ctx); err != nil {
		a.log.Warn("looking for what no session has any more", "error", err)
	}
	if err := a.db.Prune(ctx); err != nil {
		a.log.Warn("pruning the inbox", "error", err)
	}
	stop := a.o.Clock.AfterFunc(time.Hour, func() {
		if ctx.Err() == nil {
			a.hourly(ctx)
		}
	})
	context.AfterFunc(ctx, func() { stop() })
}

// retire removes the sessions in which nothing happened for as long as sessions are kept.
func (a *App) retire(ctx context.Context) error {
	if a.c.RetentionDays == 0 {
		return nil
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

// sweep removes what no session has: sandboxes and their images, commits, and large log entries.
func (a *App) sweep(ctx context.Context) error {
	var failed error
	// Each sweep lists what there is and only then asks, so that what a session has begun meanwhile is known.
	known := func(names func(session.Session) []string) func(string) bool {
		var all map[string]bool
		return func(name string) bool {
			if all == nil {
				sessions, err := a.db.List(ctx, 1<<30)
				failed = errors.Join(failed, err)
				all = map[string]bool{}
				for _, s := range sessions {
					for _, n := range names(s) {
						all[n] = true
					}
				}
			}
			return failed != nil || all[name]
		}
	}
	sandboxes := a.manager.Sweep(ctx, known(func(s session.Session) []string { return []string{s.Sandbox.Name, s.Sandbox.Image} }))
	ids := known(func(s session.Session) []string { return []string{string(s.ID)} })
	commits := a.github.Sweep(ctx, func(id session.ID) bool { return ids(string(id)) })
	return errors.Join(failed, sandboxes, commits, a.db.Sweep(ctx))
}

// storage takes the store's word that the disk refuses, and that it stores again: once each, whatever else fails meanwhile because of it.
func (a *App) storage(err error) {
	if err == nil {
		a.log.Info("the disk stores again")
		return
	}
	a.log.Error("the disk refuses to store; nothing is acknowledged until it does, and the bot goes on by itself then", "error", err)
	if a.bot != nil {
		a.bot.DiskRefuses()
	}
}

// quiet leaves out of a log what failed because the disk refuses: that is told once, by storage. At the level debug it is there.
type quiet struct{ slog.Handler }

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(attr slog.Attr) bool {
		if err, ok := attr.Value.Any().(error); ok && errors.Is(err, session.ErrStorage) {
			r.Level = slog.LevelDebug
		}
		return true
	})
	if !q.Enabled(ctx, r.Level) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
