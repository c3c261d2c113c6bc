package sandbox_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/sandboxtest"
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

// opened makes the store know the bench's session: what is kept is kept beside it.
func (b *bench) opened() {
	b.t.Helper()
	ready, err := session.NewMachine(session.State{}).Step(b.clock.Now(), session.Opened{Opening: session.Opening{ID: id, Model: "m"}})
	if err == nil {
		err = b.store.Commit(b.ctx, ready)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// A patch is taken while the runner can still be asked, and the newest that could be had is what counts; it is handed out to a checkout that it fits.
func TestPatch(t *testing.T) {
	b := attached(t)
	b.opened()
	give := func(patch string) {
		b.runner.Answer("GET /patch", func(w http.ResponseWriter, r *http.Request) {
			if from := r.FormValue("from"); from != "aaaa" {
				t.Errorf("asked for what is beyond %q", from)
			}
			if patch == "" {
				w.WriteHeader(http.StatusNoContent)
			}
			_, _ = io.WriteString(w, patch) // the bot may have had enough
		})
	}
	keep := func(want session.Patch) {
		t.Helper()
		kept, err := b.Keep(b.ctx, id, session.KeepRequest{Handle: b.handle, Patch: true, Collected: "aaaa"})
		if err != nil || kept.Patch == nil || *kept.Patch != want {
			t.Errorf("kept %+v, %v, not %+v", kept.Patch, err, want)
		}
	}
	give("first")
	keep(session.Patch{From: "aaaa", Size: 5})
	give("")
	keep(session.Patch{})
	give("second one")
	keep(session.Patch{From: "aaaa", Size: 10})
	give(strings.Repeat("x", link.MaxPatch+1))
	keep(session.Patch{From: "aaaa", Size: 10})
	b.runner.Answer("GET /patch", nil)
	b.runner.Refuse("GET /patch", link.Problem{Code: session.Conflict, Message: "That commit is not there."})
	keep(session.Patch{From: "aaaa", Size: 10})

	// It is kept though the image cannot be made.
	b.runner.Refuse("GET /patch", link.Problem{})
	give("third")
	b.provider.Fail("Snapshot", session.Errorf(session.Unavailable, "not in time"))
	kept, err := b.Keep(b.ctx, id, session.KeepRequest{Handle: b.handle, End: true, Patch: true, Collected: "aaaa"})
	if session.CodeOf(err) != session.Unavailable || kept.Patch == nil || *kept.Patch != (session.Patch{From: "aaaa", Size: 5}) {
		t.Errorf("kept %+v, %v", kept.Patch, err)
	}
	kept, err = b.Keep(b.ctx, id, session.KeepRequest{Handle: b.handle, End: true, Bare: true, Patch: true, Collected: "aaaa"})
	if err != nil || kept.Image != "" || *kept.Patch != (session.Patch{From: "aaaa", Size: 5}) || b.provider.Live() != 0 {
		t.Errorf("kept %+v, %v, %d live", kept, err, b.provider.Live())
	}

	give("") // of one that did not begin, and may not have got it: nothing is asked of it
	for _, c := range []struct {
		collected string
		may       bool
		status    int
		body      string
	}{
		{"aaaa", true, http.StatusOK, "third"},
		{"bbbb", true, http.StatusNoContent, ""}, // more was collected since
		{"aaaa", false, http.StatusNotFound, ""},
	} {
		b.start("s2")
		r := b.request("s2", session.Cursor{})
		r.Collected, r.Patch = c.collected, c.may
		if err := b.Attach(b.ctx, r, b.send); err != nil {
			t.Fatal(err)
		}
		status, body, err := b.runner.Call(b.ctx, "/git/patch", nil)
		if err != nil || status != c.status || c.body != "" && body != c.body {
			t.Errorf("%+v: %d, %q, %v", c, status, body, err)
		}
		kept, err := b.Keep(b.ctx, id, session.KeepRequest{Handle: b.handle, End: true, Bare: true, Patch: true, Collected: "aaaa"})
		if err != nil || *kept.Patch != (session.Patch{From: "aaaa", Size: 5}) {
			t.Errorf("kept %+v, %v", kept.Patch, err)
		}
	}
}

// A patch is in the bot's memory while it is taken: of many at once some wait.
func TestPatchesTakeTurns(t *testing.T) {
	b := attached(t)
	b.opened()
	var inside, most atomic.Int32
	asked, give := make(chan struct{}), make(chan struct{})
	b.runner.Answer("GET /patch", func(w http.ResponseWriter, r *http.Request) {
		for n := inside.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		asked <- struct{}{}
		<-give
		inside.Add(-1)
		w.WriteHeader(http.StatusNoContent)
	})
	const all = 20
	var done sync.WaitGroup
	for range all {
		done.Go(func() { b.TakePatch(b.ctx, id) })
	}
	for range sandbox.MaxPatches {
		<-asked
	}
	for range all { // meanwhile the others would have come, too
		if _, _, err := b.runner.Call(b.ctx, "/nothing", nil); err != nil {
			t.Fatal(err)
		}
	}
	for n := range all {
		give <- struct{}{}
		if n < all-sandbox.MaxPatches {
			<-asked
		}
	}
	done.Wait()
	if n := most.Load(); n > sandbox.MaxPatches {
		t.Errorf("%d at once", n)
	}
}

// slow is a provider whose snapshots wait until they are let go.
type slow struct {
	*sandboxtest.Provider
	asked chan struct{}
	free  chan struct{}
}

func (s slow) Snapshot(ctx context.Context, h session.Handle) (string, error) {
	s.asked <- struct{}{}
	select {
	case <-s.free:
		return s.Provider.Snapshot(ctx, h)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// An image that is being made when a sandbox is to be put away is waited for, and is as good as another if nothing has been done since.
func TestPutAwayWhileAnImageIsMade(t *testing.T) {
	for _, c := range []struct{ work, snapshots int }{{1, 1}, {2, 2}} {
		b := newBench(t)
		p := slow{b.provider, make(chan struct{}, 2), make(chan struct{})}
		m := b.manager(func(c *sandbox.Config) { c.Provider = p })
		b.start("s1")
		dropped, drop := context.WithCancel(b.ctx)
		first := make(chan error)
		go func() {
			_, err := m.Keep(dropped, id, session.KeepRequest{Handle: b.handle, Work: 1})
			first <- err
		}()
		<-p.asked
		drop() // nobody wants it any more: it is made all the same
		away := make(chan session.Kept)
		go func() {
			kept, err := m.Keep(b.ctx, id, session.KeepRequest{Handle: b.handle, End: true, Work: c.work})
			if err != nil {
				t.Error(err)
			}
			away <- kept
		}()
		close(p.free)
		if err := <-first; err != nil {
			t.Error(err)
		}
		if kept := <-away; kept.Image == "" || b.provider.Live() != 0 || b.provider.Calls("Snapshot") != c.snapshots {
			t.Errorf("kept %+v, %d live, %d snapshots, not %d", kept, b.provider.Live(), b.provider.Calls("Snapshot"), c.snapshots)
		}
	}
}

// A bot that stops in the middle of a snapshot does not take it for failed.
func TestStopInASnapshot(t *testing.T) {
	b := newBench(t)
	p := slow{b.provider, make(chan struct{}, 1), nil}
	m := b.manager(func(c *sandbox.Config) { c.Provider = p })
	b.start("s1")
	done := make(chan error)
	go func() {
		_, err := m.Keep(b.ctx, id, session.KeepRequest{Handle: b.handle, End: true})
		done <- err
	}()
	<-p.asked
	if err := m.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, session.ErrStopped) || b.provider.Live() != 1 {
		t.Errorf("got %v; %d live", err, b.provider.Live())
	}
}

// An image that was made before its sandbox could not be ended is not lost when that is given up; and is not taken for a newer one later.
func TestImageOfAnEarlierTry(t *testing.T) {
	for _, c := range []struct {
		name string
		then session.KeepRequest
		gone bool // by itself, before
		want bool
	}{
		{name: "given up", then: session.KeepRequest{Work: 2, Bare: true, Soon: true}, want: true},
		{name: "gone meanwhile", then: session.KeepRequest{Work: 2}, gone: true, want: true},
		{name: "gone after more work", then: session.KeepRequest{Work: 3}, gone: true},
		{name: "given up after more work", then: session.KeepRequest{Work: 3, Bare: true, Soon: true}},
		{name: "nothing in it", then: session.KeepRequest{Work: 2, Bare: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.start("s1")
			b.provider.Fail("Destroy", session.Errorf(session.Unavailable, "not now"))
			if _, err := b.Keep(b.ctx, id, session.KeepRequest{Handle: b.handle, End: true, Work: 2}); session.CodeOf(err) != session.Unavailable {
				t.Fatal(err)
			}
			b.provider.Fail("Destroy", nil)
			made := b.images()
			if err := b.Close(b.ctx); err != nil { // and the bot was killed
				t.Fatal(err)
			}
			b.Manager = b.manager()
			if c.gone {
				b.provider.Kill(b.handle.Name)
				if err := b.provider.Destroy(b.ctx, b.handle); err != nil {
					t.Fatal(err)
				}
			}
			r := c.then
			r.Handle, r.End = b.handle, true
			kept, err := b.Keep(b.ctx, id, r)
			if err != nil || len(made) != 1 || (kept.Image == made[0]) != c.want || kept.Image != "" && !c.want {
				t.Errorf("kept %+v of %v, %v", kept, made, err)
			}
			if n := b.provider.Live(); n != 0 {
				t.Errorf("%d live", n)
			}
		})
	}
}
