//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
	"openinspect/sandbox/local"
	"openinspect/sandbox/modaltest"
	"openinspect/sandbox/runner/opencode"
	"openinspect/session"
	"openinspect/session/boltdb"
	"openinspect/session/model/modeltest"
)

// BenchmarkFirstRequest takes the time from a message in Slack to the agent's first request to its model, with the real agent: in a sandbox that
// works already, in one that waited warm, in one that is brought back after it was idle, in one that begins from the repository's image, and in one
// that begins from nothing. What that takes beside
// its boot is the time that a new agent takes by itself. The goals are ratios within one run: docs/performance.md.
//
// setup.sh takes two seconds. The bot's time is stepped, so nothing waits for a pause; the model answers at once.
func BenchmarkFirstRequest(b *testing.B) {
	for _, where := range []string{"local", "modal"} {
		b.Run(where, func(b *testing.B) { benchFirstRequest(b, where) })
	}
}

// sorts are the ways to begin, in the order in which they are tried; the last, when the repository has an image.
var sorts = []string{"fresh", "there", "restored", "warm", "prebuilt"}

func benchFirstRequest(b *testing.B, where string) {
	f, err := newFirst(b, where)
	if err != nil {
		b.Fatal(err)
	}
	took := map[string][]time.Duration{}
	begin := func(sort string) {
		d, err := f.begin(sort)
		if err != nil {
			b.Fatalf("%s: %v\n%s", sort, err, f.play.logTail())
		}
		took[sort] = append(took[sort], d)
	}
	for range b.N {
		for _, sort := range sorts[:4] {
			begin(sort)
		}
	}
	if err := f.build(); err != nil {
		b.Fatalf("building an image: %v\n%s", err, f.play.logTail())
	}
	for range b.N {
		begin("prebuilt")
	}
	if err := f.play.bot.stop(b.Context()); err != nil {
		b.Fatal(err)
	}
	f.play.bot = nil
	phases, err := f.phases()
	if err != nil {
		b.Fatal(err)
	}
	rest := map[string]time.Duration{} // beside the boot: ours, and the agent's from its prompt to its request
	for _, sort := range sorts {
		rest[sort] = median(took[sort])
		b.ReportMetric(rest[sort].Seconds()*1e3, "ms-"+sort)
		for phase, all := range phases[sort] {
			rest[sort] -= median(all)
			if d := median(all); d > 50*time.Millisecond {
				b.ReportMetric(d.Seconds()*1e3, "ms-"+sort+"-"+string(phase))
			}
		}
		b.ReportMetric(rest[sort].Seconds()*1e3, "ms-"+sort+"-rest")
	}
	b.ReportMetric(median(took["warm"]).Seconds()/rest["fresh"].Seconds(), "warm/agent")
	b.ReportMetric(0, "ns/op") // setting up is in it
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// first is a bot with the real agent, one thread after another.
type first struct {
	b      *testing.B
	play   *play
	asked  int
	thread slacktest.Message
}

func newFirst(b *testing.B, where string) (*first, error) {
	agent, err := opencode.Find(b.Context(), os.Getenv("INSPECT_OPENCODE"), os.Stderr)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	scripts, err := modeltest.Parse("answers", "script any\nmatch question\nsay That is the answer.\n")
	if err != nil {
		return nil, err
	}
	s, err := newStage(scripts)
	if err != nil {
		return nil, err
	}
	f := &first{b: b, play: &play{stage: s, dir: b.TempDir(), agent: agent, cache: cache, isolation: string(local.Bubblewrap)}}
	b.Cleanup(func() {
		if err := f.play.end(); err != nil {
			b.Error(err)
		}
		s.close()
	})
	if probe, err := local.New(local.Config{Dir: b.TempDir(), Agent: local.ScriptAgent}); err != nil || probe.Available(b.Context()) != nil {
		f.play.isolation = string(local.None)
	}
	if _, err := s.github.Commit(stageRepo, githubtest.Change{Message: "Set up", Files: map[string]string{".openinspect/setup.sh": "sleep 2\n"}}); err != nil {
		return nil, err
	}
	settings := []string{"clock", "INSPECT_WARM_SANDBOXES=1"}
	if where == "modal" {
		if err := modaltest.Available(); err != nil {
			b.Skip(err)
		}
		settings = append(settings, "modal")
	}
	return f, f.play.cmdBot(b.Context(), nil, settings)
}

// begin has a message answered, and returns how long the agent's first request took.
func (f *first) begin(sort string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(f.b.Context(), waitLimit)
	defer cancel()
	ada := f.play.stage.slack.As("ada")
	switch sort {
	case "fresh", "restored", "prebuilt": // nothing is there, and by then nothing in demand
		if err := f.play.bot.advance("31m"); err != nil {
			return 0, err
		}
		if err := f.play.until(ctx, "", func() bool { return f.live() == 0 }); err != nil {
			return 0, err
		}
	case "warm":
		if err := f.play.bot.advance("1m"); err != nil {
			return 0, err
		}
		n := f.logged("a warm sandbox waits")
		if err := ada.OpenHome(); err != nil {
			return 0, err
		}
		if err := f.play.until(ctx, "", func() bool { return f.logged("a warm sandbox waits") > n }); err != nil {
			return 0, err
		}
	}
	before, began := f.answers(), time.Now()
	var err error
	if sort != "there" && sort != "restored" {
		f.thread, err = ada.Mention(stageChannel, "question")
		before = 0
	} else {
		_, err = ada.Reply(f.thread.Channel, f.thread.TS, "question")
	}
	var took time.Duration
	err = errors.Join(err, f.play.stage.model.Wait(ctx, func(all []modeltest.Request) bool {
		took = time.Since(began)
		return len(all) > f.asked
	}))
	f.asked = len(f.play.stage.model.Requests())
	if err == nil {
		err = f.play.stage.slack.Wait(ctx, func(*slacktest.Snapshot) bool { return f.answers() > before })
	}
	return took, err
}

// build has the repository's image built.
func (f *first) build() error {
	ctx, cancel := context.WithTimeout(f.b.Context(), waitLimit)
	defer cancel()
	if _, err := f.play.stage.slack.As("ada").Command(stageChannel, "image build "+stageRepo); err != nil {
		return err
	}
	return f.play.cmdPrivate(ctx, nil, []string{"ada", "The image of .acme/shop. is there"})
}

// live is how many sandboxes live.
func (f *first) live() int {
	if f.play.modal != nil {
		return len(f.play.modal.Live())
	}
	pids, err := processesOf(filepath.Join(f.play.dir, "data", "sandboxes"))
	if err != nil {
		f.b.Fatal(err)
	}
	return len(slices.DeleteFunc(pids, func(pid int) bool { return syscall.Kill(pid, 0) != nil }))
}

// logged is how often the bot's log says something.
func (f *first) logged(what string) int {
	log, err := os.ReadFile(filepath.Join(f.play.dir, "bot.log"))
	if err != nil {
		f.b.Fatal(err)
	}
	return strings.Count(string(log), what)
}

// answers is how many there are in the newest thread.
func (f *first) answers() int {
	return strings.Count(f.play.stage.slack.Render(f.thread.Channel, f.thread.TS), "That is the answer.")
}

// phases is how long the phases of boots took that somebody waited for, as the sandboxes told it. A session of a thread that was idle has booted twice.
func (f *first) phases() (map[string]map[session.Phase][]time.Duration, error) {
	db, err := boltdb.Open(filepath.Join(f.play.dir, "data", "openinspect.db"), boltdb.Options{MasterKey: make([]byte, 32)})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	sessions, err := db.List(f.b.Context(), 10_000)
	if err != nil {
		return nil, err
	}
	all := map[string]map[session.Phase][]time.Duration{}
	for _, sort := range sorts {
		all[sort] = map[session.Phase][]time.Duration{}
	}
	for _, s := range sessions {
		events, err := db.Events(f.b.Context(), s.ID, 0, 10_000)
		if err != nil {
			return nil, err
		}
		var boots [][]session.Boot
		begin := true
		for _, e := range events {
			if e.Boot == nil || e.Boot.State == session.StepRunning {
				continue
			}
			if begin {
				boots = append(boots, nil)
			}
			if begin = e.Boot.Phase == session.PhaseReady; !begin {
				boots[len(boots)-1] = append(boots[len(boots)-1], *e.Boot)
			}
		}
		for i, boot := range boots {
			sort := []string{"fresh", "restored"}[min(i, 1)]
			switch {
			case s.Sandbox.Mode == session.BootImage:
				sort = "prebuilt"
			case len(boots) == 1:
				sort, boot = "warm", boot[len(boot)-1:] // what came before the claim nobody waited for
			}
			for _, p := range boot {
				all[sort][p.Phase] = append(all[sort][p.Phase], time.Duration(p.Millis)*time.Millisecond)
			}
		}
	}
	return all, nil
}
