package sandbox_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/session"
)

func TestStartIsIdempotent(t *testing.T) {
	b := newBench(t)
	b.provider.Fail("Create", session.Errorf(session.Unavailable, "not now"))
	r := session.StartRequest{Session: id, Name: "inspect-1", Start: "s1", Mode: session.BootFresh, Repo: repo, Base: "main"}
	if _, err := b.Start(b.ctx, r); session.CodeOf(err) != session.Unavailable {
		t.Fatalf("got %v", err)
	}
	kept, err := b.vault.Secret(b.ctx, "link/abcdefghij/s1")
	token, name, _ := strings.Cut(string(kept), "\n")
	if err != nil || len(token) < 43 || name != "acme/web" {
		t.Fatalf("token %q, %v", kept, err)
	}
	b.provider.Fail("Create", nil)
	b.start("s1")
	b.start("s1")
	if err := b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send); err != nil {
		t.Fatal(err)
	}
	boot := b.runner.Boot()
	if boot.TokenHash != link.HashToken(token) || boot.CloneURL != "https://github.example/acme/web.git" || boot.SetupTimeout != 300*time.Second {
		t.Errorf("boot %+v", boot)
	}
	if n := b.provider.Live(); n != 1 {
		t.Errorf("%d sandboxes", n)
	}
}

// A provider that is full is asked again later; the start keeps its token, and the operator is told.
func TestFullProvider(t *testing.T) {
	b := newBench(t)
	b.provider.Fail("Create", &session.Error{Code: session.Unavailable, Message: "There is no room.", Err: sandbox.ErrFull})
	r := session.StartRequest{Session: id, Name: "inspect-1", Start: "s1"}
	for range 5 { // it is no defect, however often
		_, err := b.Start(b.ctx, r)
		if later, ok := errors.AsType[*session.Later](err); !ok || !later.At.Equal(b.clock.Now().Add(30*time.Second)) || session.Sentence(err) != "There is no room. Your request waits, and is tried again every half minute." {
			t.Fatalf("got %v", err)
		}
	}
	if n := b.vault.len(); n != 1 {
		t.Errorf("%d tokens are kept", n)
	}
	b.provider.Fail("Create", nil)
	b.start("s1")
}

func TestBreaker(t *testing.T) {
	b := newBench(t)
	b.provider.Fail("Create", session.Errorf(session.Internal, "broken"))
	r := session.StartRequest{Session: id, Name: "inspect-1", Start: "s1"}
	for range 3 {
		if _, err := b.Start(b.ctx, r); session.CodeOf(err) != session.Internal {
			t.Fatalf("got %v", err)
		}
	}
	_, err := b.Start(b.ctx, r)
	if later, ok := errors.AsType[*session.Later](err); !ok || !later.At.Equal(b.clock.Now().Add(5*time.Minute)) || !strings.Contains(session.Sentence(err), "3 starts failed") {
		t.Errorf("got %v", err)
	}
	if n := b.provider.Calls("Create"); n != 3 {
		t.Errorf("%d calls", n)
	}
	if n := b.vault.len(); n != 0 {
		t.Errorf("%d tokens are kept", n)
	}
	b.clock.advance(6 * time.Minute)
	b.provider.Fail("Create", nil)
	b.start("s1")
}

// A session whose own files keep the runner from starting stops nobody else, however often it is tried.
func TestBreakerKnowsNoFiles(t *testing.T) {
	b := newBench(t)
	b.provider.Fail("Create", session.Errorf(session.Internal, "the runner did not start"))
	r := session.StartRequest{Session: id, Name: "inspect-1", Start: "s1", Mode: session.BootSnapshot, Image: "inspect-0"}
	for range 5 {
		if _, err := b.Start(b.ctx, r); session.CodeOf(err) != session.Internal {
			t.Fatalf("got %v", err)
		}
	}
	b.provider.Fail("Create", session.Errorf(session.Forbidden, "wrong token")) // which no files can do
	for range 3 {
		if _, err := b.Start(b.ctx, r); session.CodeOf(err) != session.Forbidden {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := b.Start(b.ctx, r); session.CodeOf(err) != session.Unavailable {
		t.Errorf("after three refusals: %v", err)
	}
}

func TestPromptStopBundle(t *testing.T) {
	b := newBench(t)
	if err := b.Prompt(b.ctx, id, session.Delivery{ID: "1.1"}); session.CodeOf(err) != session.Unavailable {
		t.Errorf("without a link: %v", err)
	}
	b.start("s1")
	if err := b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send); err != nil {
		t.Fatal(err)
	}
	if err := b.Prompt(b.ctx, id, session.Delivery{ID: "1.1", Text: "do it"}); err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(b.ctx, id, "1.1"); err != nil {
		t.Fatal(err)
	}
	if p, s := b.runner.Prompts(), b.runner.Stops(); len(p) != 1 || p[0].Text != "do it" || len(s) != 1 || s[0] != "1.1" {
		t.Errorf("prompts %v, stops %v", p, s)
	}
	b.runner.Refuse("POST /prompts", link.Problem{Code: session.Conflict, Message: "hunter22 runs\n<b>already</b>"})
	err := b.Prompt(b.ctx, id, session.Delivery{ID: "1.2"})
	if session.CodeOf(err) != session.Conflict || session.Sentence(err) != "redacted runs b already /b" {
		t.Errorf("got %v", err)
	}
	b.runner.Refuse("POST /stop", link.Problem{Code: session.NotFound, Message: "it does not run"})
	if err := b.Stop(b.ctx, id, "1.1"); err != nil {
		t.Errorf("stopping what does not run: %v", err)
	}
	if r, err := b.Bundle(b.ctx, id, nil); r != nil || err != nil {
		t.Errorf("nothing new: %v, %v", r, err)
	}
	b.runner.Hand(strings.NewReader("a bundle"))
	r, err := b.Bundle(b.ctx, id, []string{"abc"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "a bundle" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	r.Close()
	b.runner.Hand(io.LimitReader(zeros{}, link.MaxBundle+1))
	if r, err = b.Bundle(b.ctx, id, nil); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); session.CodeOf(err) != session.Invalid {
		t.Errorf("%d bytes of a bundle that is too large, %v", n, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte{'0'}, len(p))), nil }

func TestSuspend(t *testing.T) {
	b := attached(t)
	for range 2000 {
		b.runner.Tell(text("x"))
	}
	image, err := b.end(b.handle)
	if err != nil || image == "" {
		t.Fatalf("%q, %v", image, err)
	}
	if got := len(b.inputs); got == 0 {
		t.Error("nothing was read")
	}
	if all, at := b.texts(2000); len(all) != 2000 || at.N != 2000 {
		t.Errorf("%d events, cursor %v: the journal was not drained", len(all), at)
	}
	if n := b.provider.Live(); n != 0 {
		t.Errorf("%d sandboxes live", n)
	}
	if _, err := b.vault.Secret(b.ctx, "link/abcdefghij/s1"); session.CodeOf(err) != session.NotFound {
		t.Errorf("the token is kept: %v", err)
	}
	// A bot that was killed before the session had the image asks again; the sandbox is gone, and the token of its runner goes, too.
	if err := b.vault.PutSecret(b.ctx, "link/abcdefghij/s1", []byte("left")); err != nil {
		t.Fatal(err)
	}
	if again, err := b.end(b.handle); again != image || err != nil {
		t.Errorf("again: %q, %v", again, err)
	}
	if _, err := b.vault.Secret(b.ctx, "link/abcdefghij/s1"); session.CodeOf(err) != session.NotFound {
		t.Errorf("the token is kept after a crash: %v", err)
	}
	if other, err := b.end(session.Handle{Provider: "test", Name: "other", ID: "other"}); other != "" || err != nil {
		t.Errorf("another: %q, %v", other, err)
	}
	if len(b.inputs) != 0 {
		t.Errorf("%#v came", <-b.inputs)
	}
	begun, err := b.Start(b.ctx, session.StartRequest{Session: id, Name: "inspect-2", Start: "s2", Mode: session.BootSnapshot, Image: image})
	if err != nil {
		t.Fatal(err)
	}
	b.handle = begun.Handle
	if err := b.Attach(b.ctx, b.request("s2", session.Cursor{Journal: "old", N: 7}), b.send); err != nil {
		t.Fatal(err)
	}
	b.runner.Tell(text("after"))
	if all, at := b.texts(1); all[0] != "after" || at.N != 1 {
		t.Errorf("%v at %v", all, at)
	}
}

func TestSweep(t *testing.T) {
	b := newBench(t)
	var images []string
	for _, name := range []string{"known", "orphan", "image-known", "image-orphan"} {
		begun, err := b.Start(b.ctx, session.StartRequest{Session: id, Name: name, Start: name, Mode: session.BootFresh})
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "image") {
			image, err := b.end(begun.Handle)
			if err != nil {
				t.Fatal(err)
			}
			images = append(images, image)
		}
	}
	if err := b.Sweep(b.ctx, func(_ session.ID, name string) bool { return name == "known" || name == images[0] }); err != nil {
		t.Fatal(err)
	}
	list, err := b.provider.List(b.ctx)
	if err != nil || len(list) != 1 || list[0].Name != "known" {
		t.Errorf("left: %v, %v", list, err)
	}
	if left, err := b.provider.Images(b.ctx); err != nil || len(left) != 1 || left[0] != images[0] {
		t.Errorf("images left: %v, %v", left, err)
	}
	b.provider.Fail("Destroy", errors.New("no"))
	if err := b.Sweep(b.ctx, func(session.ID, string) bool { return false }); err == nil {
		t.Error("a failure was swallowed")
	}
	b.provider.Fail("Destroy", nil)
}
