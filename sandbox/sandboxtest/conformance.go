package sandboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/session"
)

// patience is how long the suite waits for what must come; it ends failing tests, and nothing else depends on it.
const patience = 3 * time.Minute

// Conformance checks what every Provider owes its caller. The provider's runner must behave as a Script does.
func Conformance(t *testing.T, newProvider func(t *testing.T) sandbox.Provider) {
	for _, c := range []struct {
		name string
		f    func(t *testing.T, p *place)
	}{
		{"a runner is started and reached", testStarted},
		{"the same start is adopted", testAdopted},
		{"another start replaces the runner and keeps the files", testReplaced},
		{"a snapshot brings the files back", testRestored},
		{"the newest of some snapshots needs no other", testSnapshots},
		{"a handle does not mean a successor", testSuccessor},
		{"what is gone is not found", testGone},
		{"a runner that ended is not found", testEnded},
		{"a restore without anything to restore is fresh", testNothingToRestore},
		{"an image can be deleted", testImages},
		{"many begin from a prebuilt image", testPrebuilt},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			p := &place{t: t, ctx: ctx, Provider: newProvider(t)}
			t.Cleanup(p.empty)
			c.f(t, p)
		})
	}
}

// place is a provider under test.
type place struct {
	sandbox.Provider
	t   *testing.T
	ctx context.Context
}

const token = "the-token-of-every-start"

// empty destroys what a test left, and checks that nothing is listed then.
func (p *place) empty() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := p.List(ctx)
	if err != nil {
		p.t.Error(err)
	}
	for _, h := range list {
		if err := p.Destroy(ctx, h); err != nil {
			p.t.Errorf("Destroy(%s): %v", h.Name, err)
		}
	}
	if list, err = p.List(ctx); err != nil || len(list) > 0 {
		p.t.Errorf("left: %v, %v", list, err)
	}
}

func (p *place) create(name, start, image string, mode session.BootMode) session.Handle {
	p.t.Helper()
	h, err := p.Create(p.ctx, spec(name, start, image, mode))
	if err != nil {
		p.t.Fatalf("Create(%s, %s): %v", name, start, err)
	}
	if h.Name != name || h.Provider == "" {
		p.t.Fatalf("Create(%s) returned %+v", name, h)
	}
	return h
}

func spec(name, start, image string, mode session.BootMode) sandbox.Spec {
	return sandbox.Spec{Name: name, Image: image, Boot: link.Boot{
		Session: "abcdefghij", Start: start, TokenHash: link.HashToken(token), Mode: mode, Catalogue: bytes.Repeat([]byte("c"), 200_000),
	}}
}

// reach dials until the runner listens.
func (p *place) reach(h session.Handle) *link.Link {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		to, err := p.Dial(p.ctx, h)
		if err != nil {
			p.t.Fatalf("Dial(%s): %v", h.Name, err)
		}
		l, err := link.Dial(p.ctx, link.DialOptions{URL: to.URL, Token: token, Dial: to.Dial})
		if err == nil {
			p.t.Cleanup(func() { _ = l.Close() })
			return l
		}
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			p.t.Fatalf("the runner of %s cannot be reached: %v", h.Name, err)
		}
	}
}

func (p *place) status(l *link.Link) link.Status {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, "http://runner/status", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := l.Client().Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var st link.Status
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		p.t.Fatal(err)
	}
	return st
}

func (p *place) prompt(l *link.Link, text string) {
	p.t.Helper()
	b, err := json.Marshal(session.Delivery{ID: "1.1", Text: text})
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := l.Client().Post("http://runner/prompts", "application/json", bytes.NewReader(b))
	if err != nil && text == "exit" {
		return // it was quicker than its answer
	}
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		p.t.Fatalf("the prompt was answered with %s", resp.Status)
	}
}

func (p *place) notFound(what string, err error) {
	p.t.Helper()
	if session.CodeOf(err) != session.NotFound {
		p.t.Errorf("%s: %v, want not found", what, err)
	}
}

func (p *place) listed(h session.Handle) bool {
	p.t.Helper()
	list, err := p.List(p.ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	return slices.ContainsFunc(list, func(o session.Handle) bool { return o.Provider == h.Provider && o.Name == h.Name && o.ID == h.ID })
}

func testStarted(t *testing.T, p *place) {
	h := p.create("one", "s1", "", session.BootFresh)
	st := p.status(p.reach(h))
	if st.Start != "s1" || st.Branch != "fresh" {
		t.Errorf("the runner says %+v", st)
	}
	f, err := p.Find(p.ctx, "one")
	if err != nil || f.Handle != h || f.Start != "" && f.Start != "s1" {
		t.Errorf("found %+v, %v; created %+v", f, err, h)
	}
	if !p.listed(h) {
		t.Error("it is not listed")
	}
	other := p.create("two", "s2", "", session.BootFresh)
	if st := p.status(p.reach(other)); st.Start != "s2" {
		t.Errorf("the other runner says %+v", st)
	}
}

func testAdopted(t *testing.T, p *place) {
	h := p.create("one", "s1", "", session.BootFresh)
	first := p.status(p.reach(h))
	if again := p.create("one", "s1", "", session.BootFresh); again != h {
		t.Errorf("created again: %+v, first %+v", again, h)
	}
	if second := p.status(p.reach(h)); second.Journal != first.Journal {
		t.Error("another runner works there now")
	}
}

func testReplaced(t *testing.T, p *place) {
	h := p.create("one", "s1", "", session.BootFresh)
	l := p.reach(h)
	p.prompt(l, "kept")
	h = p.create("one", "s2", "", session.BootSnapshot)
	select {
	case <-l.Done():
	case <-p.ctx.Done():
		t.Fatal("the first runner lives on")
	}
	st := p.status(p.reach(h))
	if st.Start != "s2" || st.Head != "kept" || st.Branch != "snapshot_restore" {
		t.Errorf("the second runner says %+v", st)
	}
}

func testRestored(t *testing.T, p *place) {
	h := p.create("one", "s1", "", session.BootFresh)
	p.prompt(p.reach(h), "kept")
	image, err := p.Snapshot(p.ctx, h)
	if err != nil || image == "" {
		t.Fatalf("Snapshot: %q, %v", image, err)
	}
	if err := p.Destroy(p.ctx, h); err != nil {
		t.Fatal(err)
	}
	if p.listed(h) {
		t.Error("a sandbox that was put away is listed")
	}
	h = p.create("two", "s2", image, session.BootSnapshot)
	if st := p.status(p.reach(h)); st.Head != "kept" || st.Branch != "snapshot_restore" {
		t.Errorf("the restored runner says %+v", st)
	}
	if again, err := p.Snapshot(p.ctx, h); err != nil || again == "" {
		t.Errorf("second snapshot: %q, %v", again, err)
	}
	_, err = p.Create(p.ctx, spec("three", "s3", "no-such-image", session.BootSnapshot))
	p.notFound("a snapshot that does not exist", err)
}

func testSnapshots(t *testing.T, p *place) {
	h := p.create("one", "s1", "", session.BootFresh)
	l := p.reach(h)
	var images []string
	for _, note := range []string{"first", "second", "third"} {
		p.prompt(l, note)
		image, err := p.Snapshot(p.ctx, h)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, image)
	}
	if st := p.status(l); st.Head != "third" {
		t.Errorf("after the snapshots the runner says %+v", st)
	}
	newest := images[2]
	if d, ok := p.Provider.(sandbox.ImageDeleter); ok {
		for _, image := range images {
			if image == newest { // where it is the sandbox's own files, all are
				continue
			}
			if err := d.DeleteImage(p.ctx, image); err != nil {
				t.Errorf("DeleteImage: %v", err)
			}
		}
	}
	if err := p.Destroy(p.ctx, h); err != nil {
		t.Fatal(err)
	}
	if st := p.status(p.reach(p.create("two", "s2", newest, session.BootSnapshot))); st.Head != "third" {
		t.Errorf("the restored runner says %+v", st)
	}
}

func testSuccessor(t *testing.T, p *place) {
	first := p.create("one", "s1", "", session.BootFresh)
	p.reach(first)
	image, err := p.Snapshot(p.ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Destroy(p.ctx, first); err != nil {
		t.Fatal(err)
	}
	second := p.create("two", "s2", image, session.BootSnapshot)
	if err := p.Destroy(p.ctx, first); err != nil {
		t.Errorf("the first, once more: %v", err)
	}
	_, err = p.Dial(p.ctx, first)
	p.notFound("dialling the first", err)
	if st := p.status(p.reach(second)); st.Start != "s2" {
		t.Errorf("the second says %+v", st)
	}
}

func testGone(t *testing.T, p *place) {
	_, err := p.Find(p.ctx, "never")
	p.notFound("Find of one that never was", err)
	h := p.create("one", "s1", "", session.BootFresh)
	l := p.reach(h)
	for range 2 {
		if err := p.Destroy(p.ctx, h); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-l.Done():
	case <-p.ctx.Done():
		t.Error("its link still stands")
	}
	_, err = p.Find(p.ctx, "one")
	p.notFound("Find", err)
	_, err = p.Dial(p.ctx, h)
	p.notFound("Dial", err)
	_, err = p.Snapshot(p.ctx, h)
	p.notFound("Snapshot", err)
	if p.listed(h) {
		t.Error("it is listed")
	}
}

func testEnded(t *testing.T, p *place) {
	h := p.create("one", "s1", "", session.BootFresh)
	p.prompt(p.reach(h), "exit")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := p.Find(p.ctx, "one"); session.CodeOf(err) == session.NotFound {
			break
		}
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			t.Fatal("it is still found")
		}
	}
	_, err := p.Dial(p.ctx, h)
	p.notFound("Dial", err)
	if !p.listed(h) {
		t.Error("what it left is not listed, so it would never be swept away")
	}
}

func testNothingToRestore(t *testing.T, p *place) {
	h := p.create("one", "s1", "", session.BootSnapshot)
	if st := p.status(p.reach(h)); st.Branch != "fresh" {
		t.Errorf("booted as %s", st.Branch)
	}
}

func testImages(t *testing.T, p *place) {
	d, ok := p.Provider.(sandbox.ImageDeleter)
	if !ok {
		t.Log("this provider's images take no room")
		return
	}
	h := p.create("one", "s1", "", session.BootFresh)
	p.reach(h)
	image, err := p.Snapshot(p.ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	switch err := d.DeleteImage(p.ctx, image); session.CodeOf(err) {
	case session.Conflict: // it is the sandbox's own files
	case "":
		if p.status(p.reach(h)).Start != "s1" {
			t.Error("a sandbox ended with the image that was made of it")
		}
		if image, err = p.Snapshot(p.ctx, h); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("while in use: %v", err)
	}
	if err := p.Destroy(p.ctx, h); err != nil {
		t.Fatal(err)
	}
	lister, lists := p.Provider.(sandbox.ImageLister)
	if lists {
		if list, err := lister.Images(p.ctx); err != nil || !slices.Contains(list, image) {
			t.Errorf("images %v, %v", list, err)
		}
	}
	for range 2 {
		if err := d.DeleteImage(p.ctx, image); err != nil {
			t.Fatal(err)
		}
	}
	if lists {
		if list, err := lister.Images(p.ctx); err != nil || len(list) > 0 {
			t.Errorf("images left: %v, %v", list, err)
		}
	}
	_, err = p.Create(p.ctx, spec("two", "s2", image, session.BootSnapshot))
	p.notFound("the deleted image", err)
}

// testPrebuilt: an image that was built stays as it is, whatever happens in the sandboxes that begin from it.
func testPrebuilt(t *testing.T, p *place) {
	h := p.create("build", "b1", "", session.BootBuild)
	p.prompt(p.reach(h), "built")
	image, err := p.Snapshot(p.ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Destroy(p.ctx, h); err != nil {
		t.Fatal(err)
	}
	one := p.create("one", "s1", image, session.BootImage)
	l := p.reach(one)
	if st := p.status(l); st.Head != "built" || st.Branch != "repo_image" {
		t.Errorf("the first runner says %+v", st)
	}
	p.prompt(l, "changed")
	if again := p.create("one", "s1", image, session.BootImage); again != one {
		t.Errorf("created again: %+v, first %+v", again, one)
	}
	one = p.create("one", "s2", image, session.BootImage) // as it was left, and not the image again
	if st := p.status(p.reach(one)); st.Start != "s2" || st.Head != "changed" {
		t.Errorf("the next runner of the first says %+v", st)
	}
	two := p.create("two", "t1", image, session.BootImage)
	if st := p.status(p.reach(two)); st.Head != "built" {
		t.Errorf("the second runner says %+v", st)
	}
	if d, ok := p.Provider.(sandbox.ImageDeleter); ok {
		if err := d.DeleteImage(p.ctx, image); err != nil {
			t.Errorf("deleting the image: %v", err)
		}
		if st := p.status(p.reach(two)); st.Head != "built" {
			t.Errorf("without its image the second runner says %+v", st)
		}
	}
	if err := p.Destroy(p.ctx, two); err != nil {
		t.Fatal(err)
	}
	_, err = p.Create(p.ctx, spec("three", "u1", "no-such-image", session.BootImage))
	p.notFound("an image that does not exist", err)
}
