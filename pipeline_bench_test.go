//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
	"openinspect/session/boltdb"
	"openinspect/session/boltdb/boltdbtest"
	"openinspect/session/sessiontest"
)

// mapSize is how much of the address space a store to compare with reserves: as much as ours.
const mapSize = 1 << 30

// pipeline is everything between a runner's journal and a feed's reader: link, manager, redaction, actor, machine, store. Runners are in
// this process and have nothing to do but to send lines that are ready.
type pipeline struct {
	hub     *session.Hub
	runners []*sandboxtest.Script
	ids     []session.ID
	prompts []string
	store   *boltdbtest.Recorder
}

// neighbours are what the manager asks besides.
type neighbours struct{}

func (neighbours) Clone(context.Context, session.Repo) (string, string, time.Time, error) {
	return "", "", time.Time{}, session.Errorf(session.Forbidden, "no repository here")
}

func (neighbours) Handler(session.ID, session.Send) http.Handler {
	return http.NotFoundHandler()
}

// newPipeline opens sessions, each in the middle of a turn.
func newPipeline(b *testing.B, sessions int) *pipeline {
	b.Helper()
	b.Cleanup(spareThread()) // as App.Run does
	p := &pipeline{store: &boltdbtest.Recorder{}}
	db, err := boltdb.Open(filepath.Join(b.TempDir(), "openinspect.db"), boltdb.Options{MasterKey: make([]byte, 32), Witness: p.store.Witness})
	if err != nil {
		b.Fatal(err)
	}
	p.store.Store = db
	starting := map[string]*sandboxtest.Script{}
	var mu sync.Mutex
	provider := &sandboxtest.Provider{Runner: func(ctx context.Context, boot link.Boot) error {
		mu.Lock()
		s := starting[string(boot.Session)]
		mu.Unlock()
		return s.Run(ctx, boot)
	}}
	manager, err := sandbox.New(sandbox.Config{
		Provider: provider, Store: db, Spares: db, Archive: db, Credentials: neighbours{}, Models: neighbours{}, CloneURL: session.Repo.String,
		Redactor: session.NewRedactor("xoxb-0123456789-not-a-token", "sk-ant-0123456789-not-a-key", "xapp-1-not-a-token-either"),
	})
	if err != nil {
		b.Fatal(err)
	}
	if p.hub, err = session.NewHub(session.HubConfig{Store: p.store, Sandboxes: manager, Forge: &sessiontest.World{}}); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	if err := p.hub.Start(ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := manager.Close(context.Background()); err != nil {
			b.Error(err)
		}
		stop()
		p.hub.Wait()
		if err := provider.Close(); err != nil {
			b.Error(err)
		}
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	for i := range sessions {
		prompt := fmt.Sprintf("%d.000001", i)
		id, err := p.hub.Open(b.Context(), session.Opening{
			Thread: session.Thread{Team: "T1", Channel: "C1", TS: prompt}, Requester: sessiontest.Ada, Model: "anthropic/claude-sonnet-5",
		})
		if err != nil {
			b.Fatal(err)
		}
		s := &sandboxtest.Script{}
		mu.Lock()
		starting[string(id)] = s
		mu.Unlock()
		p.ids, p.prompts, p.runners = append(p.ids, id), append(p.prompts, prompt), append(p.runners, s)
	}
	p.each(b, p.working)
	return p
}

// working prompts a session and waits until its turn goes on.
func (p *pipeline) working(b *testing.B, i int) {
	feed, err := p.hub.Feed(b.Context(), p.ids[i], 0)
	if err != nil {
		b.Error(err)
		return
	}
	defer feed.Close()
	if err := p.hub.Send(b.Context(), p.ids[i], session.Prompted{Prompt: session.Prompt{ID: p.prompts[i], Author: sessiontest.Ada, Text: "go on"}}); err != nil {
		b.Error(err)
		return
	}
	for p.runners[i].Dials() == 0 { // a journal begins anew when its runner starts
		select {
		case <-time.After(time.Millisecond):
		case <-b.Context().Done():
			b.Error("no link to the runner came up")
			return
		}
	}
	p.runners[i].Raw(journalLine(1, session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseReady, State: session.StepDone}}))
	for {
		item, err := feed.Next(b.Context())
		if err != nil {
			b.Error(err)
			return
		}
		for _, e := range item.Events {
			if e.Kind == session.KindTurn && e.Turn.State == session.TurnWorking {
				return
			}
		}
	}
}

// each does something for all sessions, side by side, and returns how long it took.
func (p *pipeline) each(b *testing.B, f func(b *testing.B, i int)) time.Duration {
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range p.ids {
		wg.Go(func() { f(b, i) })
	}
	wg.Wait()
	return time.Since(begin)
}

// journalLine is a line of a runner's journal.
func journalLine(n int64, e session.Event) string {
	line, err := json.Marshal(link.Line{N: n, Event: &e})
	if err != nil {
		panic(err) // an event that the benchmark made up
	}
	return string(line)
}

// toolEvent is an event as most are: a call of a tool that is over, 1 KiB as stored.
func toolEvent(prompt string) session.Event {
	e := session.Event{At: sessiontest.Epoch, Kind: session.KindTool, PromptID: prompt, Tool: &session.Tool{
		Call: "call_00000001", Name: "bash", State: session.StepDone, Title: "Run the tests", Millis: 1234,
		Input: json.RawMessage(`{"command":"go test ./internal/checkout/... -run TestDiscount -count=1","description":"Run the tests"}`),
	}}
	body, err := json.Marshal(e)
	if err != nil {
		panic(err) // an event that the benchmark made up
	}
	const words = "ok  \tacme/shop/internal/checkout\t0.412s coverage: 81.3% of statements in ./internal/pricing; no files to test. "
	e.Tool.Output = strings.Repeat(words, 10)[:1024-len(body)-len(`,"output":""`)]
	return e
}

// toolLines are n of them as a journal's lines, from a number on.
func toolLines(prompt string, first int64, n int) []string {
	line := strings.TrimPrefix(journalLine(1, toolEvent(prompt)), `{"n":1`)
	lines := make([]string, n)
	for i := range lines {
		lines[i] = `{"n":` + strconv.FormatInt(first+int64(i), 10) + line
	}
	return lines
}

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
