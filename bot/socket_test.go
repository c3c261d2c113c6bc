package bot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"openinspect/bot/slacktest"
)

// Mentions come while sockets are cut and replaced; each gets its session and its one status message.
func TestManyThreadsOverManySockets(t *testing.T) {
	r := newRig(t)
	const threads = 40
	var roots []string
	for n := range threads {
		roots = append(roots, r.mention([]string{"alice", "bob"}[n%2], fmt.Sprintf("task %d in acme/web", n)))
		switch n {
		case 10, 20:
			r.slack.CutSockets()
		case 15, 25:
			r.slack.Disconnect("refresh_requested")
		}
	}
	r.until("every thread to have its answer", func(s *slacktest.Snapshot) bool {
		return !slices.ContainsFunc(roots, func(ts string) bool {
			return !strings.Contains(s.Render(slacktest.Rendering{}, "general", ts), "Starting on")
		})
	})
	r.until("all to be acknowledged", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 })
	for _, ts := range roots {
		if thread := r.slack.Thread("general", ts); len(thread) != 2 || len(thread[0].Reactions) != 1 {
			t.Errorf("the thread is\n%s", r.slack.Render("general", ts))
		}
	}
	if n := len(r.slack.Calls("apps.connections.open")); n > 12 {
		t.Errorf("apps.connections.open was called %d times", n)
	}
}
