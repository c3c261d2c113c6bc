package modal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/modaltest"
	"openinspect/session"
)

// A session may have an image of another provider, from before Modal was used: it is gone, and the session goes on without it.
func TestImageOfAnotherProvider(t *testing.T) {
	r := newRig(t, false)
	for _, mode := range []session.BootMode{session.BootSnapshot, session.BootImage} {
		_, err := r.Create(r.ctx, spec("one", "s1", "inspect-aaaaaaaaaa-1", mode))
		code(t, "create, "+string(mode), err, session.NotFound)
	}
	code(t, "delete", r.DeleteImage(r.ctx, "inspect-aaaaaaaaaa-1"), "")
}

// While the base image is being built, which is minutes, a session is told so and comes again. What nobody waits for waits for it.
func TestBaseImageIsBeingBuilt(t *testing.T) {
	r := newRig(t, false)
	r.Break("ImageJoinStreaming", modaltest.Held, 1)
	prepared, warm := make(chan error, 1), make(chan error, 1)
	go func() { prepared <- r.Prepare(r.ctx) }()
	if err := r.Wait(r.ctx, "ImageJoinStreaming", 1); err != nil {
		t.Fatal(err)
	}
	r.patience = time.Millisecond
	_, err := r.Create(r.ctx, spec("one", "s1", "", session.BootFresh))
	code(t, "create", err, session.Unavailable)
	if said := session.Sentence(err); !errors.Is(err, sandbox.ErrFull) || !strings.Contains(said, "still builds the image") {
		t.Errorf("it says %v", err)
	}
	go func() {
		s := spec("two", "s1", "", session.BootFresh)
		s.Boot.Warm = true
		_, err := r.Create(r.ctx, s)
		warm <- err
	}()
	r.Mend("ImageJoinStreaming")
	if err := errors.Join(<-prepared, <-warm); err != nil {
		t.Error(err)
	}
	r.patience = buildPatience
	r.create("one", "s1")
}

// An agent can break what its runner needs. Its session then begins without those files, once that is certain to be their fault.
func TestSnapshotInWhichNoRunnerStarts(t *testing.T) {
	r := newRig(t, false)
	h := r.create("one", "s1")
	run := filepath.Join(r.Root("one"), "sandbox", "run")
	if err := errors.Join(os.Rename(run, run+"-away"), os.WriteFile(run, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	image, err := r.Snapshot(r.ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	again := r.provider()
	restore := func(want session.Code) {
		t.Helper()
		_, err := again.Create(r.ctx, spec("two", "s2", image, session.BootSnapshot))
		code(t, "restore", err, want)
		r.live("one")
	}
	for range maxUnfit + 1 { // perhaps none starts anywhere
		restore(session.Internal)
	}
	three, err := again.Create(r.ctx, spec("three", "s3", "", session.BootFresh))
	if err = errors.Join(err, again.Destroy(r.ctx, three)); err != nil {
		t.Fatal(err)
	}
	restore(session.NotFound)
}
