package github

import (
	"context"
	"testing"
	"time"

	"openinspect/session/sessiontest"
)

// unrevoked returns with what permissions installation tokens for acme/web live.
func (w *world) unrevoked() (live []string) {
	for _, t := range w.server.Tokens() {
		if t.Login == "" && len(t.Repositories) == 1 && t.Revoked.IsZero() {
			live = append(live, t.Permissions["contents"])
		}
	}
	return live
}

// TestTokensThatACrashLeft has a bot killed while it pushes and while a sandbox reads: the next one revokes what it left, the sandbox's when
// its minutes are over or when the bot stops.
func TestTokensThatACrashLeft(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	clock := &sessiontest.Clock{}
	c := w.github.c
	c.Clock = clock
	killed, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := killed.mint(ctx, web, writeContents, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, _, err := killed.Clone(ctx, web); err != nil {
			t.Fatal(err)
		}
		clock.Advance(readFor / 2)
	}
	again, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	own, revokeOwn, err := again.mint(ctx, web, writeContents, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(w.unrevoked()); n != 3 { // the first clone's time is over
		t.Fatalf("%d tokens live, want 3", n)
	}
	running, stop := context.WithCancel(ctx)
	stopped := make(chan error)
	go func() { stopped <- again.Run(running) }()
	if err := w.server.Wait(ctx, func() bool { return len(w.unrevoked()) == 2 }); err != nil {
		t.Fatal(err)
	}
	for _, token := range w.server.Tokens() {
		if token.Value == own && !token.Revoked.IsZero() {
			t.Error("a start revoked the token that it uses")
		}
	}
	revokeOwn()
	stop()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if live := w.unrevoked(); len(live) != 0 {
		t.Errorf("after a stop in good order there are tokens: %v", live)
	}
	if keys, err := c.Store.Secrets(ctx, mintedPrefix); err != nil || len(keys) != 0 {
		t.Errorf("the store still has %v, %v", keys, err)
	}
}
