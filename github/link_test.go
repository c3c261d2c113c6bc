package github

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"openinspect/session"
)

func TestLinking(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	code, err := w.github.Link(ctx, "UADA")
	if err != nil || code.UserCode == "" || !strings.HasPrefix(code.URL, "http") {
		t.Fatalf("%+v %v", code, err)
	}
	if again, err := w.github.Link(ctx, "UADA"); err != nil || again != code {
		t.Errorf("asking again made another code: %+v %v", again, err)
	}
	if err := w.server.Deny(code.UserCode); err != nil {
		t.Fatal(err)
	}
	if l := <-w.linked; l.id != nil || !strings.Contains(session.Sentence(l.err), "You declined") {
		t.Errorf("%+v", l)
	}
	w.link(ada)
	// The same account for somebody else is refused.
	code, err = w.github.Link(ctx, "UBOB")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.Approve(code.UserCode, "ada"); err != nil {
		t.Fatal(err)
	}
	if l := <-w.linked; session.CodeOf(l.err) != session.Conflict {
		t.Errorf("%+v", l)
	}
	if err := w.github.Unlink(ctx, "UADA"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.github.token(ctx, "UADA", ""); session.CodeOf(err) != session.Forbidden {
		t.Errorf("after unlinking: %v", err)
	}
	w.server.DisableDeviceFlow(true)
	if _, err := w.github.Link(ctx, "UADA"); !strings.Contains(session.Sentence(err), "Enable Device Flow") {
		t.Errorf("device flow off: %v", err)
	}
}

func TestLinkingSurvivesARestart(t *testing.T) {
	w := newWorld(t)
	code, err := w.github.Link(context.Background(), "UADA")
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(w.github.c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	again.ctx = ctx
	if err := again.resumeFlows(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := again.Link(ctx, "UADA"); err != nil || got.UserCode != code.UserCode {
		t.Errorf("%+v %v", got, err)
	}
	if err := w.server.Approve(code.UserCode, "ada"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // both wait for it: the one that was not ended here, too
		if l := <-w.linked; l.slack != "UADA" {
			t.Errorf("%+v", l)
		}
	}
}

// TestLinkingAskedBeforeItIsTakenUp (regression): whoever is asked for a person's code right after a start gives the one they may have already,
// and it works.
func TestLinkingAskedBeforeItIsTakenUp(t *testing.T) {
	w := newWorld(t)
	dead, crash := context.WithCancel(context.Background())
	dying, err := New(w.github.c)
	if err != nil {
		t.Fatal(err)
	}
	dying.ctx = dead
	code, err := dying.Link(dead, "UADA")
	if err != nil {
		t.Fatal(err)
	}
	crash()
	again, err := New(w.github.c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	again.ctx = ctx
	if got, err := again.Link(ctx, "UADA"); err != nil || got.UserCode != code.UserCode {
		t.Fatalf("another code than %q: %q, %v", code.UserCode, got.UserCode, err)
	}
	if err := again.resumeFlows(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.server.Approve(code.UserCode, "ada"); err != nil {
		t.Fatal(err)
	}
	if l := <-w.linked; l.slack != "UADA" || l.err != nil || l.id == nil {
		t.Errorf("told %+v", l)
	}
}

// TestLinkingToldAfterACrash (regression): link and token are one transaction, and a crash before the person was told tells them at the next
// start, without asking GitHub again.
func TestLinkingToldAfterACrash(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	told, crash := make(chan struct{}), make(chan struct{})
	defer close(crash) // and before that:
	defer cancel()
	c := w.github.c
	c.Linked = func(context.Context, string, string, *session.Identity, error) error {
		close(told)
		<-crash
		return nil
	}
	dying, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	dying.ctx = ctx
	code, err := dying.Link(ctx, "UADA")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.Approve(code.UserCode, "ada"); err != nil {
		t.Fatal(err)
	}
	<-told
	again, err := New(w.github.c)
	if err != nil {
		t.Fatal(err)
	}
	again.ctx = ctx
	w.server.DisableDeviceFlow(true) // the code is used up
	if err := again.resumeFlows(ctx); err != nil {
		t.Fatal(err)
	}
	if l := <-w.linked; l.err != nil || l.slack != "UADA" || l.id == nil || l.id.Login != "ada" {
		t.Errorf("told %+v, %v", l.id, l.err)
	}
	if tok, err := again.token(ctx, "UADA", ""); err != nil || tok.Identity.Login != "ada" {
		t.Errorf("the token is of %+v, %v", tok.Identity, err)
	}
	for {
		left, err := w.github.c.Store.Secrets(ctx, flowPrefix)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		runtime.Gosched()
	}
}

// TestRefusalIsToldUntilItIsHeard has a person decline while the bot is killed before it has told them: GitHub says it once.
func TestRefusalIsToldUntilItIsHeard(t *testing.T) {
	w := newWorld(t)
	ctx, crash := context.WithCancel(context.Background())
	c := w.github.c
	told := make(chan linked)
	c.Linked = func(ctx context.Context, slack, flow string, id *session.Identity, err error) error {
		told <- linked{slack, flow, id, err}
		<-ctx.Done()
		return ctx.Err()
	}
	dying, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	dying.ctx = ctx
	code, err := dying.Link(ctx, "UADA")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.Deny(code.UserCode); err != nil {
		t.Fatal(err)
	}
	first := <-told
	crash()
	again, err := New(w.github.c)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.resumeFlows(context.Background()); err != nil {
		t.Fatal(err)
	}
	l := <-w.linked
	if !strings.Contains(session.Sentence(first.err), "You declined") || session.Sentence(l.err) != session.Sentence(first.err) || l.flow == "" || l.flow != first.flow {
		t.Errorf("told %+v, and then %+v", first, l)
	}
	looks := time.NewTicker(time.Millisecond)
	defer looks.Stop()
	for left := []string{""}; len(left) > 0; <-looks.C { // what was told is forgotten, after which nothing of it works any more
		if left, err = w.github.c.Store.Secrets(t.Context(), flowPrefix); err != nil {
			t.Fatal(err)
		}
	}
}

// Several ask at once before anything is known (regression: they wrote to one transport).
func TestRepositoriesAskedAtOnce(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if list, err := w.github.Repositories(context.Background()); err != nil || len(list) != 2 {
				t.Errorf("%+v %v", list, err)
			}
		})
	}
	wg.Wait()
}

func TestRepositories(t *testing.T) {
	w := newWorld(t)
	list, err := w.github.Repositories(context.Background())
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	r, err := w.github.Repository(context.Background(), session.Repo{Owner: "ACME", Name: "Web"})
	if err != nil || r.Repo != web || r.DefaultBranch != "main" || r.Description != "The shop" {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := w.github.Repository(context.Background(), session.Repo{Owner: "acme", Name: "hidden"}); session.CodeOf(err) != session.NotFound {
		t.Errorf("%v", err)
	}
}
