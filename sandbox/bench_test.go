package sandbox_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

const id session.ID = "abcdefghij"

var repo = session.Repo{Owner: "acme", Name: "web"}

// vault is a sandbox.Store in memory.
type vault struct {
	mu     sync.Mutex
	values map[string]string
}

func (v *vault) PutSecret(_ context.Context, key string, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.values == nil {
		v.values = map[string]string{}
	}
	v.values[key] = string(value)
	return nil
}

func (v *vault) Secret(_ context.Context, key string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.values[key]
	if !ok {
		return nil, session.Errorf(session.NotFound, "no %s", key)
	}
	return []byte(s), nil
}

func (v *vault) DeleteSecret(_ context.Context, key string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.values, key)
	return nil
}

func (v *vault) File(_ context.Context, _ session.ID, hash string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	body, ok := v.values["file/"+hash]
	if !ok {
		return nil, session.Errorf(session.NotFound, "no file %s", hash)
	}
	return []byte(body), nil
}

func (v *vault) KeepFile(_ context.Context, _ session.ID, content []byte) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.values == nil {
		v.values = map[string]string{}
	}
	hash := fmt.Sprintf("%x", sha256.Sum256(content))
	v.values["file/"+hash] = string(content)
	return hash, nil
}

// rename gives what is kept another key.
func (v *vault) rename(from, to string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.values[to] = v.values[from]
	delete(v.values, from)
}

func (v *vault) len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.values)
}

// clock is set by hand; its timers fire in goroutines of their own, as Clock demands.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*timer]bool
}

type timer struct {
	at time.Time
	f  func()
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) AfterFunc(d time.Duration, f func()) func() bool {
	if d <= 0 { // it was advanced a moment ago
		go f()
		return func() bool { return false }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{c.now.Add(d), f}
	if c.timers == nil {
		c.timers = map[*timer]bool{}
	}
	c.timers[t] = true
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		had := c.timers[t]
		delete(c.timers, t)
		return had
	}
}

// waits reports whether something will happen later.
func (c *clock) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers) > 0
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for t := range c.timers {
		if !t.at.After(c.now) {
			delete(c.timers, t)
			go t.f()
		}
	}
}

// git and models are the Manager's other neighbours.
type git struct {
	clock *clock
	made  *atomic.Int32
}

func (g git) Clone(_ context.Context, r session.Repo) (string, string, time.Time, error) {
	g.made.Add(1)
	return "x-access-token", "read-" + r.String(), g.clock.Now().Add(5 * time.Minute).UTC(), nil
}

type models struct{}

func (models) Handler(id session.ID, send session.Send) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = send(r.Context(), session.ModelCalled{Call: session.ModelCall{Model: strings.TrimPrefix(r.URL.Path, "/model/"), Cost: 0.5}}) // the session of the bench takes everything
		_, _ = io.WriteString(w, string(id))
	})
}

// bench is a Manager with a provider in this process, one scripted runner, and a session that takes everything.
type bench struct {
	*sandbox.Manager
	t        *testing.T
	ctx      context.Context
	provider *sandboxtest.Provider
	runner   *sandboxtest.Script
	vault    *vault
	store    *sessiontest.Memory
	clock    *clock
	made     atomic.Int32 // credentials
	renamed  atomic.Bool  // GitHub has another name for the repository
	inputs   chan session.Input
	deltas   chan session.Delta
	handle   session.Handle

	mu     sync.Mutex
	refuse func(session.Input) error
}

func newBench(t *testing.T, change ...func(*sandbox.Config)) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // ends a failing test
	b := &bench{t: t, ctx: ctx, runner: &sandboxtest.Script{}, vault: &vault{}, store: sessiontest.NewStore(), clock: &clock{now: time.Unix(1_800_000_000, 0)},
		inputs: make(chan session.Input, 10_000), deltas: make(chan session.Delta, 1000)}
	b.provider = &sandboxtest.Provider{Runner: b.runner.Run}
	b.Manager = b.manager(change...)
	t.Cleanup(func() {
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := b.provider.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	return b
}

// end puts a sandbox away, and returns its image.
func (b *bench) end(h session.Handle) (string, error) {
	kept, err := b.Keep(b.ctx, id, session.KeepRequest{Handle: h, End: true})
	return kept.Image, err
}

// manager makes one more Manager over the same store and provider, as a restarted bot does.
func (b *bench) manager(change ...func(*sandbox.Config)) *sandbox.Manager {
	b.t.Helper()
	c := sandbox.Config{
		Provider: b.provider, Store: b.vault, Spares: b.store, Prebuilt: b.store, Archive: b.store, Credentials: git{b.clock, &b.made}, Models: models{}, Clock: b.clock,
		Live:     func(_ session.ID, d session.Delta) { b.deltas <- d },
		Redactor: session.NewRedactor("hunter22"),
		CloneURL: func(r session.Repo) string {
			if b.renamed.Load() {
				r.Name = "renamed"
			}
			return "https://github.example/" + r.String() + ".git"
		},
	}
	for _, f := range change {
		f(&c)
	}
	m, err := sandbox.New(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// send is the session.
func (b *bench) send(ctx context.Context, in session.Input) error {
	b.mu.Lock()
	refuse := b.refuse
	b.mu.Unlock()
	if refuse != nil {
		if err := refuse(in); err != nil {
			return err
		}
	}
	select {
	case b.inputs <- in:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bench) refusing(f func(session.Input) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = f
}

func (b *bench) start(start string) {
	b.t.Helper()
	begun, err := b.Start(b.ctx, session.StartRequest{Session: id, Name: "inspect-1", Start: start, Mode: session.BootFresh, Repo: repo, Base: "main"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.handle = begun.Handle
	eventually(b, "the runner has begun", func() bool { return b.runner.Boot().Start == start })
}

func (b *bench) request(start string, at session.Cursor) session.AttachRequest {
	return session.AttachRequest{Session: id, Repo: repo, Start: start, Handle: b.handle, Cursor: at}
}

// attached starts a runner and attaches to it.
func attached(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.start("s1")
	if err := b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send); err != nil {
		t.Fatal(err)
	}
	return b
}

func next[T session.Input](b *bench) T {
	b.t.Helper()
	select {
	case in := <-b.inputs:
		got, ok := in.(T)
		if !ok {
			b.t.Fatalf("got %#v, want %T", in, got)
		}
		return got
	case <-b.ctx.Done():
		var want T
		b.t.Fatalf("no %T came", want)
		return want
	}
}

// texts reads batches until n events have come, and checks that cursors go up by what they hold.
func (b *bench) texts(n int) (all []string, at session.Cursor) {
	b.t.Helper()
	for len(all) < n {
		j := next[session.Journaled](b)
		if len(j.Events) == 0 || len(j.Events) > 500 {
			b.t.Fatalf("a batch of %d", len(j.Events))
		}
		for _, e := range j.Events {
			all = append(all, e.Text.Text)
		}
		at = j.Cursor
	}
	return all, at
}

func text(s string) session.Event {
	return session.Event{Kind: session.KindText, PromptID: "1.1", Text: &session.Text{Part: "p", Text: s}}
}

func eventually(b *bench, what string, ok func() bool) {
	b.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.t.Fatalf("never came true: %s", what)
		}
	}
}
