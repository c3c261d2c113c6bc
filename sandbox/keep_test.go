package sandbox_test

import (
	"errors"
	"slices"
	"testing"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// image remembers one as made of the bench's session.
func (b *bench) image(image string, version int) {
	b.t.Helper()
	if err := b.store.PutImage(b.ctx, session.Image{ID: image, Kind: session.ImageSnapshot, Session: id, Version: version}); err != nil {
		b.t.Fatal(err)
	}
}

// images returns what is remembered.
func (b *bench) images() (ids []string) {
	b.t.Helper()
	all, err := b.store.Images(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, i := range all {
		ids = append(ids, i.ID)
	}
	return ids
}

// An image of a sandbox that goes on: the journal is read before, what nothing begins from any more is deleted, and the link stays.
func TestSnapshot(t *testing.T) {
	b := attached(t)
	for _, old := range []string{"older", "newest", "from"} {
		b.image(old, link.Version)
	}
	if err := b.store.PutImage(b.ctx, session.Image{ID: "another's", Kind: session.ImageSnapshot, Session: "zzzzzzzzzz"}); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		b.runner.Tell(text("x"))
	}
	kept, err := b.Keep(b.ctx, id, session.KeepRequest{Handle: b.handle, Image: "newest", From: "from"})
	if err != nil || kept.Image == "" {
		t.Fatalf("%+v, %v", kept, err)
	}
	if n := len(b.inputs); n == 0 {
		t.Error("the journal was not read before")
	}
	b.texts(500)
	if got, want := b.images(), []string{"another's", "from", kept.Image, "newest"}; !slices.Equal(got, want) {
		t.Errorf("remembered: %q, not %q", got, want)
	}
	if b.provider.Live() != 1 || b.runner.Dials() != 1 {
		t.Errorf("%d sandboxes live, %d links", b.provider.Live(), b.runner.Dials())
	}
	// One that has all that is in the sandbox is as good as another.
	made := b.provider.Calls("Snapshot")
	again, err := b.Keep(b.ctx, id, session.KeepRequest{Handle: b.handle, Image: kept.Image, From: "from", Same: true, End: true})
	if err != nil || again.Image != kept.Image || b.provider.Live() != 0 || b.provider.Calls("Snapshot") != made {
		t.Errorf("%+v, %v, %d live", again, err, b.provider.Live())
	}
	if got, want := b.images(), []string{"another's", kept.Image}; !slices.Equal(got, want) {
		t.Errorf("remembered: %q, not %q", got, want)
	}
}

// What cannot be remembered could never be deleted.
func TestSnapshotThatCannotBeRemembered(t *testing.T) {
	b := attached(t)
	b.store.Fail = func(method string) error {
		if method == "PutImage" {
			return session.Errorf(session.Unavailable, "The disk is full.")
		}
		return nil
	}
	if _, err := b.Keep(b.ctx, id, session.KeepRequest{Handle: b.handle}); session.CodeOf(err) != session.Unavailable {
		t.Errorf("got %v", err)
	}
	if got := b.images(); len(got) != 0 {
		t.Errorf("remembered: %q", got)
	}
}

// What another version of the runner has left is not for this one.
func TestImageOfAnotherVersion(t *testing.T) {
	b := newBench(t)
	b.image("old", link.Version+1)
	_, err := b.Start(b.ctx, session.StartRequest{Session: id, Name: "inspect-1", Start: "s1", Mode: session.BootSnapshot, Image: "old"})
	if session.CodeOf(err) != session.NotFound || b.provider.Calls("Create") != 0 {
		t.Errorf("got %v", err)
	}
}

// Images that the provider does not list are swept by what is remembered of them; one that cannot be deleted is remembered on.
func TestSweepOfRememberedImages(t *testing.T) {
	b := newBench(t)
	b.image("known", 0)
	b.image("unknown", 0)
	asked := ""
	known := func(owner session.ID, name string) bool { asked = string(owner); return name == "known" }
	b.provider.Fail("DeleteImage", errors.New("no"))
	if err := b.Sweep(b.ctx, known); err == nil {
		t.Error("a failure was swallowed")
	}
	if got := b.images(); len(got) != 2 {
		t.Errorf("remembered: %q", got)
	}
	b.provider.Fail("DeleteImage", nil)
	if err := b.Sweep(b.ctx, known); err != nil {
		t.Error(err)
	}
	if got := b.images(); !slices.Equal(got, []string{"known"}) || asked != string(id) {
		t.Errorf("remembered: %q; asked of %s", got, asked)
	}
}
