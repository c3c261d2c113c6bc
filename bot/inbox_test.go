package bot

import (
	"context"
	"strings"
	"sync"
	"testing"

	"openinspect/session"
)

// kept is a store that remembers what it was given to keep of Slack's events.
type kept struct {
	Store
	mu  sync.Mutex
	all []session.Received
}

func (k *kept) Receive(ctx context.Context, r session.Received) (bool, error) {
	k.mu.Lock()
	k.all = append(k.all, r)
	k.mu.Unlock()
	return k.Store.Receive(ctx, r)
}

// Slack sends keys of its own with everything: a verification token, and addresses that let whoever has them write to a thread. None is stored.
func TestSlacksKeysAreNotStored(t *testing.T) {
	var store *kept
	r := newRig(t, func(r *rig) { store = &kept{Store: r.cfg.Store}; r.cfg.Store = store })
	ts := r.mention("alice", "[repo=acme/web] fix the flaky test")
	r.shown(ts, "Starting on alice")
	if _, err := r.slack.As("alice").Click("general", r.ours(ts, "Starting on").TS, "Stop"); err != nil {
		t.Fatal(err)
	}
	r.shown(ts, "Stopped by alice")
	r.command("alice", "general", "help")
	r.told("alice", "link your GitHub account")
	kinds := map[string]bool{}
	store.mu.Lock()
	defer store.mu.Unlock()
	for _, e := range store.all {
		kinds[e.Kind] = true
		for _, secret := range []string{"verification-token", "response_url", `"token"`} {
			if strings.Contains(string(e.Payload), secret) {
				t.Errorf("%s is stored with %s: %s", e.Kind, secret, e.Payload)
			}
		}
	}
	if !kinds[eventsAPI] || !kinds[slashCommands] || !kinds[interactive] {
		t.Errorf("only %v came", kinds)
	}
}
