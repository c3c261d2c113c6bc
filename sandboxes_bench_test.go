//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"openinspect/sandbox/link"
	"openinspect/sandbox/modaltest"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
	"openinspect/session/boltdb"
)

// fleet is sandboxes on a Modal whose programs are this process's own, so that hundreds can live at once. All between them and the bot is real: the SDK's
// calls, TLS tunnels, links, and a runner's answers. Each prompt gets the same short turn.
type fleet struct {
	dir string

	mu      sync.Mutex
	runners map[string]*sandboxtest.Script // by sandbox
	ends    map[string]context.CancelFunc
	bundles chan string // the sandboxes whose bundle was asked for
}

// run implements modaltest.Config.Run. What it is asked to do are the programs of package modal: an idle one, launch.sh and find.sh.
func (f *fleet) run(ctx context.Context, p modaltest.Program) int {
	switch args := p.Args[3:]; len(args) {
	case 0: // idle: the sandbox's life
		<-ctx.Done()
		f.mu.Lock()
		defer f.mu.Unlock()
		if end := f.ends[p.Sandbox]; end != nil {
			end()
		}
		return 0
	case 5: // launch.sh
		var boot link.Boot
		if err := json.NewDecoder(p.Stdin).Decode(&boot); err != nil {
			fmt.Fprintln(p.Stdout, err)
			return 1
		}
		f.launch(p.Sandbox, boot)
		return 0
	case 2: // find.sh
		f.mu.Lock()
		defer f.mu.Unlock()
		s := f.runners[p.Sandbox]
		if s == nil {
			return 12
		}
		fmt.Fprintln(p.Stdout, s.Boot().Start)
		return 0
	}
	fmt.Fprintln(p.Stdout, "what is this?", p.Args)
	return 1
}

// launch starts a runner, once for each start.
func (f *fleet) launch(name string, boot link.Boot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.runners[name]; s != nil && s.Boot().Start == boot.Start {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &sandboxtest.Script{}
	s.Started = func() {
		for _, phase := range []session.Phase{session.PhaseSync, session.PhaseAgent, session.PhaseReady} {
			s.Tell(session.Event{At: time.Now(), Kind: session.KindBoot, Boot: &session.Boot{Phase: phase, State: session.StepDone, Millis: 100}})
		}
	}
	s.Prompted = func(d session.Delivery) {
		for range 20 {
			s.Tell(toolEvent(d.ID))
		}
		s.Tell(session.Event{At: time.Now(), Kind: session.KindText, PromptID: d.ID, Text: &session.Text{Part: "p", Text: "Nothing to do."}})
		s.Tell(session.Event{At: time.Now(), Kind: session.KindTurn, PromptID: d.ID, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone}})
	}
	s.Answer("GET /bundle", func(w http.ResponseWriter, _ *http.Request) {
		f.bundles <- name
		w.WriteHeader(http.StatusNoContent)
	})
	boot.Dir = filepath.Join(f.dir, name)
	f.runners[name], f.ends[name] = s, cancel
	go func() {
		if err := s.Run(ctx, boot); err != nil {
			fmt.Fprintln(os.Stderr, name, err)
		}
	}()
}

// linked waits until each of n runners has had so many links.
func (f *fleet) linked(ctx context.Context, n, links int) error {
	for {
		f.mu.Lock()
		have := 0
		for _, s := range f.runners {
			if s.Dials() >= links {
				have++
			}
		}
		f.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond): // between looks
		case <-ctx.Done():
			return fmt.Errorf("%d of %d runners have a link", have, n)
		}
	}
}

// turned waits until the turn of each of n runners is over: until what it left was asked for.
func (f *fleet) turned(ctx context.Context, n int) error {
	for range n {
		select {
		case <-f.bundles:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// BenchmarkSandboxes has the bot, a process of its own, start 200 sandboxes on a Modal at once, for a turn in each, and looks at its memory; then the bot
// is killed and started again, until every link is back. The goals are 300 KB for each, once what starting needed is given back, and 5 s. The sessions are stored, each with a prompt that waits:
// Slack would let the bot tell 200 threads of it in some minutes.
func BenchmarkSandboxes(b *testing.B) {
	const sandboxes = 200
	r := benchRig(b, nil)
	f := &fleet{dir: b.TempDir(), runners: map[string]*sandboxtest.Script{}, ends: map[string]context.CancelFunc{}, bundles: make(chan string, sandboxes)}
	s := modaltest.New(modaltest.Config{Run: f.run})
	authority := filepath.Join(r.dir, "modal.pem")
	if err := errors.Join(s.Start(), modaltest.Authority(authority)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		r.bot.kill()
		known, err := owned(filepath.Join(r.dir, "data", "openinspect.db"))
		images, _ := s.Images() // two kills in the midst of 200 snapshots leave some of which nobody knows
		if err := errors.Join(err, s.Close(append(known, images...)...)); err != nil {
			b.Error(err)
		}
	})
	for k, v := range map[string]string{
		envProvider: "", envListen: "free", "MODAL_TOKEN_ID": modaltest.TokenID, "MODAL_TOKEN_SECRET": modaltest.TokenSecret, "MODAL_SERVER_URL": s.URL(),
		"SSL_CERT_FILE": authority, "INSPECT_MAX_SANDBOXES": strconv.Itoa(sandboxes), "INSPECT_RUNNER": r.program,
	} {
		r.settings[k] = v
	}
	ctx, cancel := context.WithTimeout(b.Context(), 3*waitLimit)
	defer cancel()
	start := func() (since time.Time) {
		since = time.Now()
		if err := errors.Join(r.start(""), r.connected(ctx)); err != nil || r.bot.ended() {
			b.Fatal(err, r.log())
		}
		return since
	}
	each := func() float64 { return memory(b, r.bot.cmd.Process.Pid) / sandboxes / 1e3 }
	start()
	before := each()
	r.bot.kill()
	if err := r.store(func(db *boltdb.DB) error { return storeWaiting(b, r.stage, db, sandboxes) }); err != nil {
		b.Fatal(err)
	}

	begin := start()
	if err := errors.Join(f.linked(ctx, sandboxes, 1), f.turned(ctx, sandboxes)); err != nil {
		b.Fatal(err, r.log())
	}
	b.ReportMetric(time.Since(begin).Seconds(), "s-turns")
	if live := len(s.Live()); live != sandboxes {
		b.Fatalf("%d sandboxes run", live)
	}
	long := os.Getenv("TEST_LONG") == "1"
	if long {
		time.Sleep(90 * time.Second) // until what starting needed is given back
	}
	started := each() - before

	r.bot.kill()
	begin = start()
	if err := f.linked(ctx, sandboxes, 2); err != nil {
		b.Fatal(err, r.log())
	}
	back, restarted := time.Since(begin), each()-before
	if back > 5*time.Second || restarted > 300 || long && started > 300 {
		b.Errorf("the links of %d sandboxes were back after %s; the bot had %.0f KB for each, and %.0f after the restart", sandboxes, back, started, restarted)
	}
	b.ReportMetric(started, "KB/sandbox")
	b.ReportMetric(back.Seconds(), "s-links-back")
	b.ReportMetric(restarted, "KB/sandbox-restarted")
	b.ReportMetric(0, "ns/op") // setting up is in it
}

// storeWaiting stores sessions as they are when their first prompt has come and the bot was killed before it did anything about it.
func storeWaiting(b *testing.B, s *stage, db *boltdb.DB, n int) error {
	for i := range n {
		root, err := s.slack.As("ada").Post(stageChannel, "look around")
		if err != nil {
			return err
		}
		one := restingSession(i)
		one.Thread, one.Sandbox = session.Thread{Team: s.slack.Bot().TeamID, Channel: root.Channel, TS: root.TS}, session.Sandbox{}
		ready, err := session.NewMachine(session.State{Session: one}).Step(time.Now(), session.Prompted{Prompt: session.Prompt{ID: root.TS, Author: one.Requester, Text: root.Text}})
		if err := errors.Join(err, db.Commit(b.Context(), ready)); err != nil {
			return err
		}
	}
	return nil
}
