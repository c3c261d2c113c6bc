package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session/sessiontest"
)

// until waits for a state of the workspace. What holds looks at beside that may come to be without its being asked again: see kept.
func (r *rig) until(what string, holds func(*slacktest.Snapshot) bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	if err := r.slack.Wait(ctx, holds); err != nil {
		r.vain(what)
	}
}

// vain ends a test that waited in vain, with what is known.
func (r *rig) vain(what string) {
	r.t.Helper()
	var all strings.Builder
	now := r.slack.Snapshot()
	for _, m := range now.Messages("general") {
		all.WriteString(now.RenderMessage(slacktest.Rendering{}, m))
	}
	for _, u := range []string{"alice", "bob", "gina"} {
		for _, m := range now.Ephemerals(u) {
			all.WriteString(now.RenderMessage(slacktest.Rendering{}, m))
		}
	}
	for _, d := range now.Deliveries() {
		if !d.Acked {
			fmt.Fprintf(&all, "not acknowledged: %s %s\n", d.Failed, d.Payload)
		}
	}
	r.t.Fatalf("waiting for %s\n%s\n%v\n%s", what, all.String(), r.world.Calls(), r.log)
}

// shown waits until the thread, as people see it, has all of these in it.
func (r *rig) shown(ts string, parts ...string) {
	r.t.Helper()
	r.until(strings.Join(parts, ", "), func(s *slacktest.Snapshot) bool {
		text := s.Render(slacktest.Rendering{}, "general", ts)
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
	})
}

// told waits until somebody was told something privately.
func (r *rig) told(user string, parts ...string) {
	r.t.Helper()
	r.until("private: "+strings.Join(parts, ", "), func(s *slacktest.Snapshot) bool {
		return slices.ContainsFunc(s.Ephemerals(user), func(m slacktest.Message) bool {
			text := s.RenderMessage(slacktest.Rendering{}, m)
			return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
		})
	})
}

// kept waits for something to be stored.
func (r *rig) kept(what string, holds func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	for {
		changed := r.db.changed()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			r.vain(what)
		}
	}
}

// eventually waits for what nobody tells of.
func (r *rig) eventually(what string, holds func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.vain(what)
		}
	}
}

// passing waits while time passes: how many timers are set until it holds depends on how far each goroutine is.
func (r *rig) passing(clock *sessiontest.Clock, what string, holds func() bool) {
	r.t.Helper()
	r.eventually(what, func() bool {
		if holds() {
			return true
		}
		clock.Advance(time.Second)
		return false
	})
}

// called waits until the session asked the world for something.
func (r *rig) called(prefix string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	if err := r.world.Await(ctx, prefix); err != nil {
		r.t.Fatalf("waiting for %q: %v\n%v", prefix, err, r.world.Calls())
	}
}
