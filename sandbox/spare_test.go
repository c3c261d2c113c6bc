package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
)

func (b *bench) raise(kind session.SpareKind) *sandbox.LiveSpare {
	b.t.Helper()
	t, err := b.Raise(b.ctx, session.NewSpare(kind, session.BootBuild, repo, "main", b.clock.Now()))
	if err != nil {
		b.t.Fatal(err)
	}
	eventually(b, "the runner has begun", func() bool { return b.runner.Boot().Start == t.Spare().Start })
	return t
}

func phase(p session.Phase, s session.StepState) session.Event {
	return session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: p, State: s, Detail: "exit code 3", Output: "oh no"}}
}

func (b *bench) spares() []session.Spare {
	b.t.Helper()
	all, err := b.store.Spares(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// A spare boots without a session: it may read its repository and nothing else; a bot that is started anew follows it again; in the end nothing is left.
func TestSpare(t *testing.T) {
	b := newBench(t)
	s := b.raise(session.SpareBuild)
	sp := s.Spare()
	if all := b.spares(); len(all) != 1 || all[0].Handle != sp.Handle || sp.Handle.Name != sp.Name || session.SandboxOwner(sp.Name) != sp.ID {
		t.Fatalf("remembered %+v", all)
	}
	b.runner.Tell(phase(session.PhaseSync, session.StepDone))
	status, answer, err := b.runner.Call(b.ctx, "/git/credential", link.CredentialRequest{Protocol: "https", Host: "github.example", Path: "acme/web.git"})
	var c link.Credential
	if err != nil || json.Unmarshal([]byte(answer), &c) != nil || c.Password != "read-acme/web" {
		t.Errorf("a credential: %d %s %v", status, answer, err)
	}
	for _, path := range []string{"/model/anthropic/v1/messages", "/tools/ask", "/tools/upload"} {
		if status, answer, err := b.runner.Call(b.ctx, path, struct{}{}); status != http.StatusForbidden || err != nil {
			t.Errorf("%s: %d %s %v", path, status, answer, err)
		}
	}
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(b.ctx); !errors.Is(err, session.ErrStopped) {
		t.Errorf("with the manager closed: %v", err)
	}
	b.Manager = b.manager()
	if s, err = b.Tend(b.spares()[0]); err != nil {
		t.Fatal(err)
	}
	b.runner.Tell(phase(session.PhaseReady, session.StepDone))
	if err := s.Ready(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(time.Minute)
	for range 2 {
		if err := b.Discard(b.ctx, sp); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.provider.Live(); n != 0 || b.vault.len() != 0 || len(b.spares()) != 0 {
		t.Errorf("left: %d sandboxes, %d tokens, %v", n, b.vault.len(), b.spares())
	}
	if lived, err := b.store.Lived(b.ctx, b.clock.Now().UTC().Format(time.DateOnly)); err != nil || lived != time.Minute {
		t.Errorf("lived %s, %v", lived, err)
	}
}

// What waits for a spare hears why it never will be ready.
func TestSpareThatFails(t *testing.T) {
	t.Run("a phase", func(t *testing.T) {
		b := newBench(t)
		s := b.raise(session.SpareBuild)
		b.runner.Tell(phase(session.PhaseSetup, session.StepRunning))
		b.runner.Tell(phase(session.PhaseSetup, session.StepFailed))
		failed, ok := errors.AsType[*sandbox.BootError](s.Ready(b.ctx))
		if !ok || failed.Boot.Phase != session.PhaseSetup || failed.Boot.Output != "oh no" {
			t.Errorf("got %+v", failed)
		}
	})
	t.Run("a runner that tells too much", func(t *testing.T) {
		b := newBench(t)
		s := b.raise(session.SpareBuild)
		for n := range 100 {
			b.runner.Tell(phase(session.Phase(fmt.Sprint("phase ", n)), session.StepFailed))
		}
		long := phase(session.PhaseSetup, session.StepFailed)
		long.Boot.Detail, long.Boot.Output = strings.Repeat("detail ", 10_000), strings.Repeat("ö", 200_000)+"the end"
		b.runner.Tell(long)
		failed, ok := errors.AsType[*sandbox.BootError](s.Ready(b.ctx))
		if !ok || failed.Boot.Phase != session.PhaseSetup {
			t.Fatalf("got %+v", failed)
		}
		out := failed.Boot.Output
		if len(failed.Boot.Detail) > 1000 || len(out) > 32<<10 || !strings.HasSuffix(out, "the end") || !utf8.ValidString(out) {
			t.Errorf("kept %d bytes and %d", len(failed.Boot.Detail), len(out))
		}
		if n := len(s.Phases()); n != 1 {
			t.Errorf("%d phases are kept", n)
		}
	})
	t.Run("the sandbox is gone", func(t *testing.T) {
		b := newBench(t)
		s := b.raise(session.SpareBuild)
		b.provider.KillAll()
		if err := s.Ready(b.ctx); session.CodeOf(err) != session.NotFound {
			t.Errorf("got %v", err)
		}
	})
	t.Run("it cannot be made", func(t *testing.T) {
		b := newBench(t)
		b.provider.Fail("Create", session.Errorf(session.Internal, "broken"))
		if _, err := b.Raise(b.ctx, session.NewSpare(session.SpareWarm, session.BootFresh, repo, "main", b.clock.Now())); session.CodeOf(err) != session.Internal {
			t.Errorf("got %v", err)
		}
		if b.vault.len() != 0 || len(b.spares()) != 0 {
			t.Errorf("left: %d tokens, %v", b.vault.len(), b.spares())
		}
	})
	t.Run("too late", func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		if err := b.raise(session.SpareBuild).Ready(ctx); session.CodeOf(err) != session.Unavailable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("warm ones stop at the agent", func(t *testing.T) {
		b := newBench(t)
		s := b.raise(session.SpareWarm)
		if !b.runner.Boot().Warm {
			t.Error("it was not told that it is nobody's")
		}
		b.runner.Tell(phase(session.PhaseAgent, session.StepDone))
		if err := s.Ready(b.ctx); err != nil {
			t.Error(err)
		}
	})
}

// A build's sandbox is its record's, and an image the repository's whose newest it is; one before it goes.
func TestSweepOfImages(t *testing.T) {
	b := newBench(t)
	b.provider.Runner = func(ctx context.Context, boot link.Boot) error { return new(sandboxtest.Script).Run(ctx, boot) }
	raise := func() session.Spare {
		t.Helper()
		s, err := b.Raise(b.ctx, session.NewSpare(session.SpareBuild, session.BootBuild, repo, "main", b.clock.Now()))
		if err != nil {
			t.Fatal(err)
		}
		return s.Spare()
	}
	image := func() string {
		t.Helper()
		sp := raise()
		image, err := b.provider.Snapshot(b.ctx, sp.Handle)
		if err == nil {
			err = b.store.PutImage(b.ctx, session.Image{ID: image, Kind: session.ImagePrebuilt, Repo: repo})
		}
		if err == nil {
			err = b.store.PutPrebuilt(b.ctx, session.Prebuilt{Repo: repo, Image: image})
		}
		if err == nil {
			err = b.Discard(b.ctx, sp)
		}
		if err != nil {
			t.Fatal(err)
		}
		return image
	}
	build := raise()
	superseded, newest := image(), image()
	if err := b.store.PutPrebuilt(b.ctx, session.Prebuilt{Repo: repo, Image: newest, State: session.BuildGoesOn, Build: build.ID}); err != nil {
		t.Fatal(err)
	}
	if err := b.Sweep(b.ctx, func(session.ID, string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if list := must(b.provider.List(b.ctx)); len(list) != 1 || list[0] != build.Handle || len(b.spares()) != 1 {
		t.Errorf("left: %v, %v", list, b.spares())
	}
	if images := must(b.provider.Images(b.ctx)); !slices.Equal(images, []string{newest}) {
		t.Errorf("images %v, want %s without %s", images, newest, superseded)
	}
	if all := must(b.store.Images(b.ctx)); len(all) != 1 || all[0].ID != newest {
		t.Errorf("remembered images %v", all)
	}
}

// What a build has made is kept until the build is over, also once its sandbox has ended; what is left of a build that is over is ended.
func TestSweepOfBuilds(t *testing.T) {
	b := newBench(t)
	b.provider.Runner = func(ctx context.Context, boot link.Boot) error { return new(sandboxtest.Script).Run(ctx, boot) }
	s, err := b.Raise(b.ctx, session.NewSpare(session.SpareBuild, session.BootBuild, repo, "main", b.clock.Now()))
	if err != nil {
		t.Fatal(err)
	}
	sp := s.Spare()
	image := must(b.provider.Snapshot(b.ctx, sp.Handle))
	if err := b.store.PutImage(b.ctx, session.Image{ID: image, Kind: session.ImagePrebuilt, Repo: repo}); err != nil {
		t.Fatal(err)
	}
	sweep := func(state session.BuildState, sandboxes, images int) {
		t.Helper()
		p := session.Prebuilt{Repo: repo, State: state}
		if state == session.BuildGoesOn {
			p.Build = sp.ID
		}
		if err := b.store.PutPrebuilt(b.ctx, p); err != nil {
			t.Fatal(err)
		}
		if err := b.Sweep(b.ctx, func(session.ID, string) bool { return false }); err != nil {
			t.Fatal(err)
		}
		listed, remembered := must(b.provider.Images(b.ctx)), must(b.store.Images(b.ctx))
		if n := b.provider.Live(); n != sandboxes || len(b.spares()) != sandboxes || len(listed) != images || len(remembered) != images {
			t.Errorf("%s: %d live, spares %v, images %v, remembered %v", state, n, b.spares(), listed, remembered)
		}
	}
	sweep(session.BuildGoesOn, 1, 1)
	if err := b.Discard(b.ctx, sp); err != nil {
		t.Fatal(err)
	}
	sweep(session.BuildGoesOn, 0, 1) // it is about to be the repository's
	sweep(session.BuildFailed, 0, 0)
	if _, err = b.Raise(b.ctx, session.NewSpare(session.SpareBuild, session.BootBuild, repo, "main", b.clock.Now())); err != nil {
		t.Fatal(err)
	}
	sweep(session.BuildFailed, 0, 0) // it could not be ended when the build failed
}
