//go:build linux

package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"syscall"

	"openinspect/session"
)

// diskChanged takes the store's word that the disk refuses, and that it stores again: once each, whatever else fails meanwhile because of it.
func (a *App) diskChanged(err error) {
	if err == nil {
		a.log.Info("the disk stores again")
		return
	}
	a.log.Error("the disk refuses to store; nothing is acknowledged until it does, and the bot goes on by itself then", "error", err)
	if a.bot != nil {
		a.bot.DiskRefuses()
	}
}

// unusable names the setting where the store could not be opened because its directory is no place for it: trying again does not help.
func unusable(dir string, err error) error {
	at, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	for _, never := range []error{fs.ErrPermission, fs.ErrNotExist, syscall.ENOTDIR, syscall.EISDIR, syscall.EROFS} {
		if errors.Is(at, never) {
			return &ConfigError{"INSPECT_DATA_DIR", "is " + dir + ", which cannot be used: " + at.Error() + ". Name a directory that the bot's user may write to."}
		}
	}
	return err
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
