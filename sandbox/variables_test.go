package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/session"
)

// secrets are a repository's.
type secrets struct {
	mu     sync.Mutex
	values map[string]string
	err    error
}

func (s *secrets) Environment(_ context.Context, r session.Repo) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r != repo || s.err != nil {
		return nil, s.err
	}
	return maps.Clone(s.values), nil
}

func (s *secrets) set(err error, values map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.values = err, values
}

// TestSecretsOfARepository follows values through the manager: to the runner, never on to the session, also not after a restart or a change.
func TestSecretsOfARepository(t *testing.T) {
	s := &secrets{values: map[string]string{"KEY": "dk/live+first", "MODE": "dev"}}
	with := func(c *sandbox.Config) { c.Secrets = s }
	b := newBench(t, with)
	b.start("s1")
	attach := func() {
		t.Helper()
		if err := b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send); err != nil {
			t.Fatal(err)
		}
	}
	attach()
	if !b.runner.Boot().Environment {
		t.Error("the runner is not told that there is something to ask for")
	}
	ask := func() (int, map[string]string, string) {
		t.Helper()
		status, answer, err := b.runner.Call(b.ctx, "/environment", struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		var env link.Environment
		if err := json.Unmarshal([]byte(answer), &env); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		return status, env.Variables, answer
	}
	shows := func(output, want string) {
		t.Helper()
		b.runner.Tell(session.Event{Kind: session.KindTool, PromptID: "1.1", Tool: &session.Tool{Name: "bash", Output: output}})
		if got := next[session.Journaled](b).Events[0].Tool.Output; got != want {
			t.Errorf("%q is told as %q, not %q", output, got, want)
		}
	}
	if status, got, answer := ask(); status != http.StatusOK || !maps.Equal(got, s.values) {
		t.Errorf("%d %s", status, answer)
	}
	shows("in dev: dk/live+first ZGsvbGl2ZStmaXJzdA==", "in dev: [redacted] [redacted]A==")
	if kept, err := b.vault.Secret(b.ctx, "environment/acme/web"); err != nil || string(kept) != `["dk/live+first"]` {
		t.Errorf("kept: %s %v", kept, err)
	}

	s.set(nil, map[string]string{"KEY": "dk/live+second"})
	ask()
	shows("dk/live+first dk/live+second", "[redacted] [redacted]") // a sandbox that was started before has the first

	s.set(&session.Error{Code: session.Unavailable, Message: "the vault of dk/live+second is shut", Err: errors.New("dk/live+second")}, nil)
	if status, got, answer := ask(); status != http.StatusServiceUnavailable || got != nil || strings.Contains(answer, "second") {
		t.Errorf("%d %s", status, answer)
	}
	s.set(nil, map[string]string{"LD_PRELOAD": "dk/live+third"})
	if status, got, answer := ask(); status != http.StatusBadRequest || got != nil || !strings.Contains(answer, "LD_PRELOAD") || strings.Contains(answer, "third") {
		t.Errorf("%d %s", status, answer)
	}

	// A bot that is started anew knows what it handed out before it reads a word, and without asking for the secrets.
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	s.set(session.Errorf(session.Internal, "gone"), nil)
	for _, name := range []string{repo.Name, "renamed"} { // also if GitHub has another name for the repository by then
		b.Manager = b.manager(with)
		r := b.request("s1", session.Cursor{})
		r.Repo.Name = name
		if err := b.Attach(b.ctx, r, b.send); err != nil {
			t.Fatal(err)
		}
		var again []string
		for len(again) < 2 {
			for _, e := range next[session.Journaled](b).Events {
				again = append(again, e.Tool.Output)
			}
		}
		if got := strings.Join(again, "; "); got != "in dev: [redacted] [redacted]A==; [redacted] [redacted]" {
			t.Errorf("%s after a restart: %s", name, got)
		}
		if err := b.Close(b.ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// What is no session's yet, or never will be, gets the same, and what it prints is told without them.
func TestSecretsOfASpare(t *testing.T) {
	b := newBench(t, func(c *sandbox.Config) { c.Secrets = &secrets{values: map[string]string{"KEY": "dk/live+first"}} })
	s := b.raise(session.SpareBuild)
	if !b.runner.Boot().Environment {
		t.Error("the runner is not told that there is something to ask for")
	}
	if status, answer, err := b.runner.Call(b.ctx, "/environment", struct{}{}); err != nil || status != http.StatusOK || !strings.Contains(answer, "dk/live+first") {
		t.Errorf("%d %s %v", status, answer, err)
	}
	b.runner.Tell(session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseSetup, State: session.StepFailed, Detail: "exit code 3", Output: "no entry with dk/live+first"}})
	err := s.Ready(b.ctx)
	if failed, ok := errors.AsType[*sandbox.BootError](err); !ok || failed.Boot.Output != "no entry with [redacted]" {
		t.Errorf("%+v", err)
	}
	if err := b.Discard(b.ctx, s.Spare()); err != nil {
		t.Fatal(err)
	}
}

// shut is a vault that cannot tell what is kept under one key while it is broken.
type shut struct {
	*vault
	broken atomic.Bool
	asked  atomic.Int32
}

func (s *shut) Secret(ctx context.Context, key string) ([]byte, error) {
	if strings.HasPrefix(key, "environment/") && s.broken.Load() {
		s.asked.Add(1)
		return nil, session.Errorf(session.Unavailable, "The disk cannot be read.")
	}
	return s.vault.Secret(ctx, key)
}

// A bot whose store cannot tell what was handed out reads nothing of the sandbox until it can.
func TestNothingIsReadWithoutKnowingTheSecrets(t *testing.T) {
	store := &shut{}
	store.broken.Store(true)
	b := newBench(t, func(c *sandbox.Config) { c.Secrets = &secrets{} })
	store.vault = b.vault
	b.Manager = b.manager(func(c *sandbox.Config) { c.Secrets, c.Store = &secrets{}, store })
	b.start("s1")
	done := make(chan error, 1)
	go func() { done <- b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send) }()
	eventually(b, "the store was asked twice", func() bool { return store.asked.Load() > 1 })
	if n := b.runner.Dials(); n != 0 {
		t.Errorf("the sandbox was dialled %d times", n)
	}
	store.broken.Store(false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// stuck is a store of secrets that never answers.
type stuck struct{ asked chan struct{} }

func (s stuck) Environment(ctx context.Context, _ session.Repo) (map[string]string, error) {
	close(s.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

// Secrets that take too long are asked for again, and not waited for without end.
func TestSecretsThatTakeTooLong(t *testing.T) {
	s := stuck{make(chan struct{})}
	b := newBench(t, func(c *sandbox.Config) { c.Secrets = s })
	b.start("s1")
	if err := b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-s.asked
		b.clock.advance(20 * time.Second)
	}()
	if status, answer, err := b.runner.Call(b.ctx, "/environment", struct{}{}); err != nil || status != http.StatusServiceUnavailable || !strings.Contains(answer, "The bot cannot read them") {
		t.Errorf("%d %s %v", status, answer, err)
	}
}

// Without secrets, or without a repository, there is nothing to ask for.
func TestNoSecrets(t *testing.T) {
	b := attached(t)
	if b.runner.Boot().Environment {
		t.Error("the runner is told to ask")
	}
	if status, answer, err := b.runner.Call(b.ctx, "/environment", struct{}{}); err != nil || status != http.StatusOK || strings.TrimSpace(answer) != `{"variables":null}` {
		t.Errorf("%d %s %v", status, answer, err)
	}
}
