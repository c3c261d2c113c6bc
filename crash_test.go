//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// run plays an evening whose bots are killed like that and returns what it came to. With perish, sandboxes end with their bot.
func run(ctx context.Context, perish bool, kills ...string) (e *evening, o *outcome, err error) {
	if e, err = newEvening(perish, kills...); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	if err = e.play(ctx); err == nil {
		o, err = e.ends(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%w\n--- thread\n%s--- bot\n%s", err, e.stage.slack.Render(e.channel, e.thread), e.log())
	}
	return e, o, errors.Join(err, e.close())
}

// crashes plays evenings, a few at a time: under each name one with those kills. All must come to what an undisturbed one comes to.
func crashes(t *testing.T, perish bool, evenings map[string][]string) {
	_, want, err := run(t.Context(), perish)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	room := make(chan bool, 4)
	for _, name := range slices.Sorted(maps.Keys(evenings)) {
		room <- true
		wg.Go(func() {
			defer func() { <-room }()
			e, got, err := run(t.Context(), perish, evenings[name]...)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			want := want
			if perish {
				want, got = want.lasting(), got.lasting()
			}
			if d := diff(want, got); d != "" {
				t.Errorf("%s, %d deaths:\n%s", name, e.deaths, d)
			}
			t.Logf("%s: %d deaths", name, e.deaths)
		})
	}
	wg.Wait()
}

// TestCrash kills the bot at the commits of an evening: each evening's at one of them, right before it is durable or right after.
func TestCrash(t *testing.T) {
	from, to, step := 11, 250, 60
	if os.Getenv("TEST_LONG") == "1" {
		from, step = 1, 1
	}
	evenings := map[string][]string{}
	for n := from; n <= to; n += step {
		for _, at := range []string{strconv.Itoa(n), strconv.Itoa(n) + "-"} {
			evenings["killed at commit "+at] = []string{at}
		}
	}
	crashes(t, false, evenings)
}

// TestCrashAgain kills the bot at every few commits of an evening, again and again.
func TestCrashAgain(t *testing.T) {
	evenings := map[string][]string{}
	for _, at := range []string{"12", "13-", "17", "19-"} {
		evenings["killed at every commit "+at] = slices.Repeat([]string{at}, 100)
	}
	crashes(t, false, evenings)
}

// TestCrashWithSandboxes kills the bot and its sandboxes with it, as when a computer fails. A turn that was under way is run again, once.
func TestCrashWithSandboxes(t *testing.T) {
	evenings := map[string][]string{}
	step := 45
	if os.Getenv("TEST_LONG") == "1" {
		step = 3
	}
	for n := 19; n <= 230; n += step {
		evenings["killed at commit "+strconv.Itoa(n)] = []string{strconv.Itoa(n)}
	}
	crashes(t, true, evenings)
}

// TestFilesGone takes the sandbox's files away: before anything is pushed, and when there is a pull request. What the bot holds goes on, and
// no push leaves out what was shown.
func TestFilesGone(t *testing.T) {
	e, err := newEvening(false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	err = func() error {
		if err := e.connected(ctx); err != nil {
			return err
		}
		m, err := e.stage.slack.As("ada").Mention(stageChannel, "begin !write a.txt a ;; !say One.")
		if err != nil {
			return err
		}
		e.channel, e.thread = m.Channel, m.TS
		for _, act := range []func() error{
			func() error { return e.sees(ctx, "One.", "Changes ready", "a.txt") },
			e.sandboxes.Lose, // it was idle
			func() error { return e.reply("bob", "more !write b.txt b ;; !say Two.") },
			func() error { return e.sees(ctx, "Two.", "Changes ready", "a.txt", "b.txt") },
			func() error { return e.approves(ctx, "ada", "Two.") },
			func() error { return e.sees(ctx, "Opened as #1 by Ada") },
			func() error { return e.idles(ctx) },
			e.sandboxes.Lose, // it was put away
			func() error { return e.reply("ada", "last !write c.txt c ;; !say Three.") },
			func() error { return e.sees(ctx, "files of this thread", "Three.", "Changes ready", "c.txt") },
			func() error { return e.approves(ctx, "bob", "Three.") },
			func() error { return e.sees(ctx, "Pushed to #1 by Bob") },
		} {
			if err := act(); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		t.Fatalf("%v\n--- thread\n%s--- bot\n%s", err, e.stage.slack.Render(e.channel, e.thread), e.log())
	}
	pulls := e.stage.github.Pulls(stageRepo)
	if len(pulls) != 1 {
		t.Fatalf("%d pull requests", len(pulls))
	}
	commits, err := e.stage.github.Log(stageRepo, "main.."+pulls[0].Head)
	if err != nil {
		t.Fatal(err)
	}
	var authors []string
	for _, c := range commits {
		authors = append(authors, c.Author.Name)
	}
	if got := strings.Join(authors, ", "); got != "Ada Lovelace, Bob Hopper, Ada Lovelace" {
		t.Errorf("the branch has commits by %s", got)
	}
	close(e.over)
	if err := e.close(); err != nil {
		t.Error(err)
	}
}
