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

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
	"openinspect/session/boltdb"
)

// kill says when the bots of an evening are killed: each one at a commit, as envKill has it, or one of them at a moment.
type kill struct {
	at     []string
	moment *moment
}

// rooms is where evenings are played: a few at a time, of all tests together.
var rooms = make(chan bool, 4)

// run plays an evening whose bots are killed like that and returns what it came to. With perish, sandboxes end with their bot.
func run(ctx context.Context, perish bool, k kill) (e *evening, o *outcome, err error) {
	rooms <- true
	defer func() { <-rooms }()
	if e, err = newEvening(perish, k.at...); err != nil {
		return nil, nil, err
	}
	if k.moment != nil {
		k.moment.arm(e)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*waitLimit)
	defer cancel()
	if err = e.play(ctx); err == nil {
		o, err = e.ends(ctx, true)
	}
	if err != nil {
		e.ending()
		e.running().dump()
		for _, d := range e.stage.slack.Snapshot().Deliveries() {
			if !d.Acked {
				err = fmt.Errorf("%w\nSlack sent %d times, and never heard of it (%s): %s", err, d.Sends, d.Failed, d.Payload)
			}
		}
		err = errors.Join(err, e.store(func(db *boltdb.DB) error {
			inbox, err := db.Inbox(context.Background())
			for _, r := range inbox {
				err = errors.Join(err, fmt.Errorf("in the inbox: %s", r.Payload))
			}
			return err
		}))
		err = fmt.Errorf("%w\n--- thread\n%s--- bot\n%s", err, e.stage.slack.Render(e.channel, e.thread), e.log())
	}
	return e, o, errors.Join(err, e.close())
}

// undisturbed is what an evening comes to in which nothing is killed; perish as run has it.
var undisturbed = map[bool]func() (*outcome, error){}

func init() {
	for _, perish := range []bool{false, true} {
		undisturbed[perish] = sync.OnceValues(func() (*outcome, error) {
			_, o, err := run(context.Background(), perish, kill{})
			return o, err
		})
	}
}

// crashes plays evenings: under each name one with those kills. All must come to what an undisturbed one comes to.
func crashes(t *testing.T, perish bool, evenings map[string]kill) {
	want, err := undisturbed[perish]()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, name := range slices.Sorted(maps.Keys(evenings)) {
		wg.Go(func() {
			e, got, err := run(t.Context(), perish, evenings[name])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			want := want
			if perish {
				want, got = want.lasting(), got.lasting()
			}
			if d := diff(want, got); d != "" {
				t.Errorf("%s, %d deaths:\n%s", name, e.deaths.Load(), d)
			}
			if e.deaths.Load() == 0 && evenings[name].moment != nil {
				t.Errorf("%s: it was not", name)
			}
			t.Logf("%s: %d deaths", name, e.deaths.Load())
		})
	}
	wg.Wait()
}

// TestCrash kills the bot at the commits of an evening: each evening's at one of them, right before it is durable or right after.
func TestCrash(t *testing.T) {
	t.Parallel()
	from, to, step := 131, 250, 250
	if os.Getenv("TEST_LONG") == "1" {
		from, step = 1, 1
	}
	evenings := map[string]kill{}
	for n := from; n <= to; n += step {
		for _, at := range []string{strconv.Itoa(n), strconv.Itoa(n) + "-"} {
			evenings["killed at commit "+at] = kill{at: []string{at}}
		}
	}
	crashes(t, false, evenings)
}

// TestCrashAgain kills the bot at every few commits of an evening, again and again.
func TestCrashAgain(t *testing.T) {
	t.Parallel()
	evenings := map[string]kill{}
	for _, at := range []string{"12", "13-", "19-"} {
		// Some twenty bots play an evening. Where each takes seconds to come up, time alone has it write so often that none comes further.
		evenings["killed at every commit "+at] = kill{at: slices.Repeat([]string{at}, 30)}
	}
	crashes(t, false, evenings)
}

// TestCrashWithSandboxes kills the bot and its sandboxes with it, as when a computer fails. A turn that was under way is run again, once.
func TestCrashWithSandboxes(t *testing.T) {
	t.Parallel()
	evenings := map[string]kill{}
	step := 120
	if os.Getenv("TEST_LONG") == "1" {
		step = 3
	}
	for n := 19; n <= 230; n += step {
		evenings["killed at commit "+strconv.Itoa(n)] = kill{at: []string{strconv.Itoa(n)}}
	}
	crashes(t, true, evenings)
}

// moment is when the nth call of one kind has done its work, and the bot does not know yet.
type moment struct {
	of, call string // slack, github or provider; what is called
	n        int
	long     bool // with TEST_LONG=1 only
	box      bool // the sandboxes' runners are killed, not the bot
}

var moments = []moment{
	{of: "slack", call: "chat.postMessage", n: 1, long: true}, {of: "slack", call: "chat.postMessage", n: 3, long: true}, {of: "slack", call: "chat.postMessage", n: 7},
	{of: "slack", call: "chat.postMessage", n: 11, long: true}, {of: "slack", call: "files.completeUploadExternal", n: 2}, {of: "slack", call: "chat.postEphemeral", n: 1, long: true},
	{of: "slack", call: "reactions.add", n: 2, long: true}, {of: "slack", call: "conversations.open", n: 1, long: true}, {of: "slack", call: "chat.update", n: 3, long: true},
	{of: "github", call: "POST /login/device/code", n: 1, long: true}, {of: "github", call: "POST /login/oauth/access_token", n: 1},
	{of: "github", call: "POST /app/installations/{id}/access_tokens", n: 2, long: true}, {of: "github", call: "DELETE /installation/token", n: 2, long: true},
	{of: "github", call: "git git-receive-pack", n: 1, long: true}, {of: "github", call: "git git-receive-pack", n: 2, long: true}, {of: "github", call: "POST /repos/{owner}/{repo}/pulls", n: 1},
	{of: "provider", call: "Create", n: 1}, {of: "provider", call: "Create", n: 2, long: true}, {of: "provider", call: "Snapshot", n: 1, long: true}, {of: "provider", call: "Destroy", n: 1, long: true},
}

// arm has the bot killed at that moment of the evening.
func (w moment) arm(e *evening) {
	var mu sync.Mutex
	calls := 0
	done := func(call string) {
		mu.Lock()
		defer mu.Unlock()
		if call != w.call {
			return
		}
		if calls++; calls != w.n {
			return
		}
		if !w.box {
			e.running().kill() // the watch counts it
			return
		}
		e.deaths.Add(1)
		go e.sandboxes.KillAll() // the provider may be in the middle of this very call
	}
	switch w.of {
	case "slack":
		e.stage.slack.SetFaults(slacktest.Faults{After: func(c slacktest.Call, r slacktest.Response) *slacktest.Response {
			done(c.Method)
			return nil
		}})
	case "github":
		e.stage.github.SetFault(func(c githubtest.Call) *githubtest.Response {
			granted := func(t githubtest.Token) bool { return t.Login == cast["cyd"] }
			if c.After && c.Status < 300 && (c.Route != "POST /login/oauth/access_token" || slices.ContainsFunc(e.stage.github.Tokens(), granted)) {
				done(c.Route)
			}
			return nil
		})
	case "provider":
		e.done.Store(&done)
	}
}

// TestCrashAfterTheCall kills the bot between the world's doing what it asked and its knowing that.
func TestCrashAfterTheCall(t *testing.T) {
	t.Parallel()
	evenings := map[string]kill{}
	for _, w := range moments {
		if !w.long || os.Getenv("TEST_LONG") == "1" {
			evenings[fmt.Sprintf("killed after %s of %s, number %d", w.call, w.of, w.n)] = kill{moment: &w}
		}
	}
	crashes(t, false, evenings)
}

// boxMoments are while a sandbox boots, in mid-turn, between an answer and the collecting of its commits, and before and after a snapshot.
var boxMoments = []moment{
	{of: "provider", call: "Dial", n: 1}, {of: "slack", call: "chat.update", n: 2, long: true}, {of: "slack", call: "reactions.add", n: 2, long: true},
	{of: "github", call: "POST /app/installations/{id}/access_tokens", n: 2}, {of: "github", call: "git git-upload-pack", n: 6, long: true},
	{of: "provider", call: "Snapshot", n: 1}, {of: "provider", call: "Create", n: 2, long: true},
}

// TestSandboxKilled kills the runner, and the agent in it, at such moments. The turn is run again once, or what it left is collected.
func TestSandboxKilled(t *testing.T) {
	t.Parallel()
	evenings := map[string]kill{}
	for _, w := range boxMoments {
		if w.box = true; !w.long || os.Getenv("TEST_LONG") == "1" {
			evenings[fmt.Sprintf("sandboxes killed after %s of %s, number %d", w.call, w.of, w.n)] = kill{moment: &w}
		}
	}
	crashes(t, true, evenings)
}

// TestFilesGone takes the sandbox's files away: before anything is pushed, and when there is a pull request. What the bot holds goes on, and
// no push leaves out what was shown.
func TestFilesGone(t *testing.T) {
	t.Parallel()
	e, err := newEvening(false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		e.ending()
		if err := e.close(); err != nil {
			t.Error(err)
		}
	}()
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
}
