//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"openinspect/github/githubtest"
	"openinspect/session/boltdb"
)

// TestCrashWithWarmSandboxes kills the bot at the commits of a conversation in which a sandbox is started ahead, waits, and is taken: right before
// one is durable or right after. The request is worked on once, and whatever lives in the end is somebody's, or waits.
func TestCrashWithWarmSandboxes(t *testing.T) {
	t.Parallel()
	undisturbed, err := takesWarm(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if !undisturbed.taken {
		t.Fatal("no warm sandbox was taken")
	}
	step := max(1, undisturbed.commits/5)
	if os.Getenv("TEST_LONG") == "1" {
		step = 1
	}
	var wg sync.WaitGroup
	for n := 1 + step/2; n <= undisturbed.commits; n += step {
		for _, at := range []string{strconv.Itoa(n), strconv.Itoa(n) + "-"} {
			wg.Go(func() {
				got, err := takesWarm(t.Context(), at)
				if err != nil {
					t.Errorf("killed at commit %s: %v", at, err)
				}
				t.Logf("killed at commit %s: %d deaths, taken: %v", at, got.deaths, got.taken)
			})
		}
	}
	wg.Wait()
}

// warmEnd is what such a conversation came to.
type warmEnd struct {
	commits int
	deaths  int
	taken   bool
}

// takesWarm plays the conversation with a bot that is killed at a commit; "": it is not.
func takesWarm(ctx context.Context, at string) (end warmEnd, err error) {
	rooms <- true
	defer func() { <-rooms }()
	e := &evening{runs: map[string]int{}, over: make(chan struct{}), watched: make(chan error, 1)}
	if at != "" {
		e.kills = []string{at}
	}
	if e.rig, err = newRig(e.runner, "ada"); err != nil {
		return end, err
	}
	defer func() {
		e.ending()
		if err != nil {
			err = fmt.Errorf("%w\n--- thread\n%s--- bot\n%s", err, e.stage.slack.Render(e.channel, e.thread), e.log())
		}
		err = errors.Join(err, e.close())
	}()
	e.settings["INSPECT_WARM_SANDBOXES"] = "1"
	if err := e.stage.github.AddRepository(githubtest.Repository{Name: "acme/other", Private: true, Files: map[string]string{"README.md": "# other\n"}}); err != nil {
		return end, err
	}
	if err := e.next(); err != nil {
		return end, err
	}
	go func() { e.watched <- e.watch() }()
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	if err := e.connected(ctx); err != nil {
		return end, err
	}
	m, err := e.stage.slack.As("ada").Mention("lobby", "look at the till !say Seen.")
	if err != nil {
		return end, err
	}
	e.channel, e.thread = m.Channel, m.TS
	if err := e.sees(ctx, "Which repository"); err != nil {
		return end, err
	}
	if err := until(ctx, "one waits, or the bot was killed", func() bool { return e.deaths.Load() > 0 || strings.Contains(e.log(), "a warm sandbox waits") }); err != nil {
		return end, err
	}
	if err := e.reply("ada", "acme/shop"); err != nil {
		return end, err
	}
	if err := e.sees(ctx, "Seen."); err != nil {
		return end, err
	}
	e.ending()
	e.running().kill()
	end.deaths, end.taken = int(e.deaths.Load()), strings.Contains(e.log(), "a warm sandbox is taken")
	n, err := e.commits()
	end.commits = int(n)
	e.mu.Lock()
	runs := e.runs["look"]
	e.mu.Unlock()
	if shown := e.shown(e.stage.slack.Snapshot()); runs != 1 || strings.Count(shown, "Seen.") != 1 {
		err = errors.Join(err, fmt.Errorf("the agent was asked %d times, and the thread shows:\n%s", runs, shown))
	}
	owned := map[string]bool{}
	err = errors.Join(err, e.store(func(db *boltdb.DB) error {
		sessions, err := db.List(ctx, 100)
		for _, s := range sessions {
			owned[s.Sandbox.Name] = true
		}
		spares, wrong := db.Spares(ctx)
		for _, s := range spares {
			owned[s.Name] = true
		}
		return errors.Join(err, wrong)
	}))
	list, wrong := e.sandboxes.List(ctx)
	for _, h := range list {
		if !owned[h.Name] {
			err = errors.Join(err, fmt.Errorf("%s is nobody's", h.Name))
		}
	}
	return end, errors.Join(err, wrong)
}
