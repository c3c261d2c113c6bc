package local

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/runner"
	"openinspect/sandbox/runner/agenttest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// realSession's sandboxes have the product's own runner in them, with the scripted agent.
const realSession session.ID = "realrunner"

func realRunner(ctx context.Context, b link.Boot) error {
	return runner.Run(ctx, runner.Config{Boot: b, Agent: &agenttest.Agent{}, Reap: true})
}

type nothing struct{}

func (nothing) Clone(context.Context, session.Repo) (string, string, time.Time, error) {
	return "", "", time.Time{}, session.Errorf(session.Forbidden, "nothing to clone")
}

func (nothing) Handler(session.ID, session.Send) http.Handler {
	return http.NotFoundHandler()
}

// The whole way: a manager starts the real runner, follows a turn, comes back as after a restart, puts the sandbox away and brings it back.
func TestRealRunner(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		store := sessiontest.NewStore()
		manager := func() *sandbox.Manager {
			m, err := sandbox.New(sandbox.Config{
				Provider: provider(t, c), Store: store, Spares: store, Archive: store, Credentials: nothing{}, Models: nothing{}, Bot: session.Author{Name: "inspect", Email: "bot@example.com"},
				CloneURL: func(session.Repo) string { return "" }, Report: func(_ session.ID, op string, err error) { t.Log(op, err) },
			})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		inputs := make(chan session.Input, 1000)
		send := func(ctx context.Context, in session.Input) error {
			select {
			case inputs <- in:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var at session.Cursor
		var told []session.Event // and not yet waited for: one batch may hold what several waits are for
		var last []string
		next := func(what string) session.Event {
			t.Helper()
			for len(told) == 0 {
				select {
				case in := <-inputs:
					j, is := in.(session.Journaled)
					if !is {
						t.Fatalf("got %#v while waiting for %s", in, what)
					}
					at, told = j.Cursor, j.Events
				case <-ctx.Done():
					for _, name := range []string{"one", "two"} {
						log, err := os.ReadFile(filepath.Join(c.Dir, name+".log"))
						t.Logf("%s.log (%v): %s", name, err, log)
					}
					t.Fatalf("waited in vain for %s, at %+v; what was told:\n%s", what, at, strings.Join(last, "\n"))
				}
			}
			e := told[0]
			told = told[1:]
			shown, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			last = append(last, string(shown))
			return e
		}
		wait := func(what string, ok func(session.Event) bool) {
			t.Helper()
			for {
				e := next(what)
				if e.Boot != nil && e.Boot.State == session.StepFailed || e.Error != nil {
					t.Fatalf("waiting for %s: %+v %+v", what, e.Boot, e.Error)
				}
				if ok(e) {
					return
				}
			}
		}
		ready := func(e session.Event) bool {
			return e.Boot != nil && e.Boot.Phase == session.PhaseReady && e.Boot.State == session.StepDone
		}
		answered := func(e session.Event) bool { return e.Turn != nil && e.Turn.State == session.TurnAnswered }

		m := manager()
		start := func(name, start, image string, mode session.BootMode) session.AttachRequest {
			t.Helper()
			begun, err := m.Start(ctx, session.StartRequest{Session: realSession, Name: name, Start: start, Mode: mode, Image: image})
			if err != nil {
				t.Fatal(err)
			}
			return session.AttachRequest{Session: realSession, Start: start, Handle: begun.Handle, Cursor: at}
		}
		attach := func(r session.AttachRequest) {
			t.Helper()
			r.Cursor = at
			if err := m.Attach(ctx, r, send); err != nil {
				t.Fatal(err)
			}
		}
		author := session.Author{Name: "Ann", Email: "1+ann@users.noreply.github.com"}
		prompt := func(id, text string) {
			t.Helper()
			if err := m.Prompt(ctx, realSession, session.Delivery{ID: id, Text: text, Author: author, Identities: []session.Author{author}}); err != nil {
				t.Fatal(err)
			}
		}
		one := start("one", "real-1", "", session.BootFresh)
		attach(one)
		wait("ready", ready)
		prompt("1.1", "!write note kept")
		wait("the first answer", answered)

		if err := m.Close(ctx); err != nil {
			t.Fatal(err)
		}
		m = manager() // another bot: the sandbox lived on
		attach(one)
		prompt("1.2", "!run cat note")
		wait("what was written", func(e session.Event) bool { return e.Tool != nil && strings.Contains(e.Tool.Output, "kept") })
		wait("the second answer", answered)
		bundle, err := m.Bundle(ctx, realSession, nil)
		if err != nil || bundle == nil {
			t.Fatalf("bundle %v, %v", bundle, err)
		}
		if b, err := io.ReadAll(bundle); err != nil || !strings.HasPrefix(string(b), "# v2 git bundle\n") {
			t.Errorf("the bundle is %.40q, %v", b, err)
		}
		bundle.Close()

		kept, err := m.Keep(ctx, realSession, session.KeepRequest{Handle: one.Handle, End: true})
		if err != nil || kept.Image == "" {
			t.Fatalf("kept %+v, %v", kept, err)
		}
		attach(start("two", "real-2", kept.Image, session.BootSnapshot))
		wait("ready again", ready)
		prompt("1.3", "!run cat note")
		wait("what was kept", func(e session.Event) bool { return e.Tool != nil && strings.Contains(e.Tool.Output, "kept") })
		wait("the third answer", answered)
		if _, err := m.Keep(ctx, realSession, session.KeepRequest{Handle: session.Handle{Provider: providerName, Name: "two", ID: kept.Image}, End: true}); err != nil {
			t.Fatal(err)
		}
		if err := m.Sweep(ctx, func(session.ID, string) bool { return false }); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
			t.Errorf("left on disk: %v, %v", left, err)
		}
		if err := m.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}
