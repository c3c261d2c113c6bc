//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
	"openinspect/sandbox/link"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
	"openinspect/session/boltdb"
	"openinspect/session/sessiontest"
)

var (
	tortureEvents = flag.Int("torture.events", 2_000, "events that people cause in TestTorture; 100000 is the whole of it")
	tortureSeed   = flag.Uint64("torture.seed", 0, "what TestTorture makes of chance; 0: something new, which is printed")
)

// TestTorture lets people loose on the bot: mentions, replies, stops, chatter, edits, deletions, reactions, commands, approvals
// of changes, reviews, merges and their taking back, and mistakes of members and guests in up to 200 threads, while Slack repeats, holds back, loses and spoils events, limits and fails
// calls before and after their work, ends, cuts and forgets sockets, GitHub fails before and after its work, and the bot is killed again and again.
// The bot is a process of its own with a real store; its sandboxes have scripted runners, and its time is fast.
//
// An event is what Slack sends the app because of something a person did; a mention is two. What Slack sends about the bot's own messages comes
// on top and is not counted.
//
// When all is said, what stands in Slack is held against what was said to the bot (crowd.tally). Each message that was addressed to it must have
// exactly one visible outcome: its turn's one result, with the words that its run alone could say; a turn that ended as stopped or failed; or a
// refusal. What cards and approvals must have come to is said at tally.hold and tally.merged. So
//
//	silent   was addressed to the bot, and nothing is to be seen
//	lost     was taken, as its status or 👀 shows, and never came to an end
//	doubled  a message of the bot's that is there twice, by its key; a prompt that was run twice; an outcome too many
//	meddled  a run, a reaction or a message of the bot's where nobody addressed it
//
// What only one person sees cannot be looked for after an answer that was lost; it may be said again then, and only then. That is counted apart.
func TestTorture(t *testing.T) {
	seed := *tortureSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test . -run Torture -torture.events=%d -torture.seed=%d", *tortureEvents, seed)
	begun := time.Now()
	chance := rand.New(rand.NewPCG(seed, 1))
	clock := fastClock{begun}
	s, err := newStage(nil, func(c *slacktest.Config, forge *githubtest.Config) {
		c.Forgetful, c.Spread, c.Now, forge.Now = true, true, clock.Now, clock.Now
		c.Users = append(c.Users, slacktest.User{Name: "dan", RealName: "Dan Reviewer", DisplayName: "Dan Reviewer"})
		forge.Users = append(forge.Users, githubtest.User{Login: "dan", ID: 1950, Name: "Dan", Access: map[string]string{"*": "write"}})
		for n := range 8 {
			c.Channels = append(c.Channels, slacktest.Channel{Name: fmt.Sprintf("room%d", n), Members: []string{"ada", "bob", "cyd", "dan", "inspect"}})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s.github.SetAccess(cast["cyd"], "*", "none")
	crew := &crew{runs: map[string]int{}}
	r, err := newRigOn(s, crew.run, "ada", "bob", "cyd", "dan")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	if crew.checkouts, err = newCheckouts(filepath.Join(r.dir, "checkouts.git"), s.github.Path(stageRepo)); err != nil {
		t.Fatal(err)
	}
	r.settings[envClock], r.settings[envForge], r.settings["INSPECT_LOG_LEVEL"] = fmt.Sprintf("fast %d", begun.UnixNano()), "changed", "info"
	r.settings["INSPECT_MERGE"] = "true"
	r.settings["INSPECT_MAX_SANDBOXES"], r.settings[envStarts] = "100", "1000000" // half of the threads have room
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Duration(*tortureEvents)*30*time.Millisecond)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if err := errors.Join(r.start(""), r.connected(ctx)); err != nil {
		t.Fatal(err)
	}
	w := &weather{slack: s.slack, chance: rand.New(rand.NewPCG(seed, 2)), long: *tortureEvents >= 20_000, lostAnswers: map[string]int{}, ships: shipped{}, merges: map[string]shipped{}}
	s.slack.SetFaults(w.faults())
	s.github.SetFault(w.github)
	people := newCrowd(s.slack, clock.Now, chance, *tortureEvents)
	var kills killer
	fail := func(err error) {
		log, _ := os.ReadFile(filepath.Join(r.dir, "bot.log"))
		t.Fatalf("%v\n%s", err, log[max(0, len(log)-8_000):])
	}
	every := *tortureEvents / (max(3, *tortureEvents/5_000) + 1)
	var turning sync.Mutex // held between two bots
	kill := func() {
		turning.Lock()
		defer turning.Unlock()
		kills.note(r.running())
		w.killed(r.running().kill)
		if err := r.start(""); err != nil {
			end(err)
		}
	}
	for next, storm, latest := every, 200, 0; people.events < *tortureEvents; {
		if err := people.act(ctx); err != nil {
			fail(errors.Join(err, context.Cause(ctx)))
		}
		if people.events >= storm {
			storm += 100 + chance.IntN(200)
			w.storm()
		}
		if people.events >= next && people.events < *tortureEvents-every/2 {
			next, latest = next+every, people.events+chance.IntN(every/3)
			w.arm(kill)
		}
		if people.events >= latest && w.disarm() {
			kill()
		}
		turning.Lock()
		ended := ctx.Err() == nil && r.running().ended()
		turning.Unlock()
		if ended {
			fail(errors.New("the bot has ended by itself"))
		}
	}
	w.calm()
	for until := time.Now().Add(3 * time.Minute); !people.settled() && time.Now().Before(until); {
		s.slack.Redeliver()
		if !people.wait(ctx, 200*time.Millisecond) {
			break
		}
	}
	if !people.settled() {
		t.Log(people.unsettled())
	}
	for before := map[string]int{}; ctx.Err() == nil; { // what Slack's limits hold back comes after the outcomes: until nothing is called any more
		now := s.slack.Snapshot().Counts()
		if maps.Equal(before, now) {
			break
		}
		before = now
		time.Sleep(3 * time.Second) // longer than any pause is, by the fast clock
	}
	kills.note(r.bot)
	if err := r.bot.stop(ctx); err != nil {
		fail(err)
	}
	took := time.Since(begun)
	result := people.tally(s.slack.Snapshot(), s.github, crew, w)
	t.Logf("seed %d, %v\n%s%s%s", seed, took.Round(time.Second), result.String(), w, kills)
	if result.silent+result.lost+result.doubled+result.meddled > 0 {
		fail(errors.New(strings.Join(result.wrong, "\n")))
	}
	if err := r.store(func(db *boltdb.DB) error {
		inbox, err := db.Inbox(ctx)
		outbox, err2 := db.Pending(ctx)
		if len(inbox)+len(outbox) > 0 {
			t.Errorf("%d events and %d messages are left in the store: %v", len(inbox), len(outbox), outbox[:min(3, len(outbox))])
		}
		return errors.Join(err, err2)
	}); err != nil {
		t.Error(err)
	}
}

// hurry is how many times faster than ours the time of a fastClock is.
const hurry = 25

// fastClock is a clock that runs fast, the same in every process that looks at it.
type fastClock struct{ began time.Time }

func (c fastClock) Now() time.Time { return sessiontest.Epoch.Add(time.Since(c.began) * hurry) }

func (c fastClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d/hurry, f).Stop
}

// crew is the runners of all sandboxes. A prompt says what to answer, whether that takes a while, and whether something is changed.
type crew struct {
	checkouts *checkouts
	mu        sync.Mutex
	runs      map[string]int // by session and prompt
}

var taskWords = regexp.MustCompile(`task (t\d+) (fast|slow)( with changes)?`)

func (c *crew) run(ctx context.Context, b link.Boot) error {
	var mu sync.Mutex
	stops := map[string]chan struct{}{} // by prompt that was taken
	if b.Anew {
		c.checkouts.anew(b.Session)
	}
	s := &sandboxtest.Script{}
	s.Answer("GET /bundle", c.checkouts.serve(b.Session))
	s.Started = func() {
		s.Tell(session.Event{At: time.Now(), Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseReady, State: session.StepDone}})
	}
	s.Stopped = func(id string) {
		mu.Lock()
		defer mu.Unlock()
		if stop := stops[id]; stop != nil {
			close(stop)
			stops[id] = nil
		}
	}
	s.Prompted = func(d session.Delivery) {
		mu.Lock()
		_, known := stops[d.ID]
		stop := make(chan struct{})
		if !known {
			stops[d.ID] = stop
		}
		mu.Unlock()
		if known {
			return // a runner takes a prompt once
		}
		c.mu.Lock()
		c.runs[string(b.Session)+"/"+d.ID]++
		c.mu.Unlock()
		task, outcome := []string{"", "nothing", "fast", ""}, session.PromptDone
		if all := taskWords.FindAllStringSubmatch(d.Text, -1); len(all) > 0 {
			task = all[len(all)-1] // before it, the thread is quoted
		}
		if task[2] == "slow" {
			n, _ := strconv.Atoi(task[1][1:])
			select {
			case <-stop:
				outcome = session.PromptStopped
			case <-time.After(time.Duration(20+n%300) * time.Millisecond): // work
			case <-ctx.Done():
				return
			}
		}
		tell := func(e session.Event) { e.At, e.PromptID = time.Now(), d.ID; s.Tell(e) }
		if task[3] != "" && outcome == session.PromptDone {
			if err := c.checkouts.commit(b, d, task[1]); err != nil {
				task[1] = err.Error() // which the tally will wonder at
			}
		}
		tell(session.Event{Kind: session.KindTool, Tool: &session.Tool{Call: "1", Name: "bash", State: session.StepDone, Title: "go test"}})
		tell(session.Event{Kind: session.KindText, Text: &session.Text{Part: "p", Text: "Answer to " + task[1] + "."}})
		tell(session.Event{Kind: session.KindTurn, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: outcome}})
	}
	return s.Run(ctx, b)
}

// killer knows what the bot's processes took.
type killer struct {
	starts    int
	peak, now int // KiB resident
}

func (k *killer) note(b *botProcess) {
	k.starts++
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		switch name {
		case "VmHWM":
			k.peak = max(k.peak, n)
		case "RssAnon":
			k.now = max(k.now, n)
		}
	}
}

func (k killer) String() string {
	return fmt.Sprintf("the bot: killed %d times; at most %d MiB resident, of that %d MiB its own at the end of a process\n", k.starts-1, k.peak>>10, k.now>>10)
}
