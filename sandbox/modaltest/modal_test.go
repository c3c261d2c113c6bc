package modaltest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	modal "github.com/modal-labs/libmodal/modal-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAppsAndImages(t *testing.T) {
	r := newRig(t)
	if _, err := r.client.Apps.FromName(r.ctx, "other", nil); !errors.As(err, &modal.NotFoundError{}) {
		t.Errorf("an App that nobody made: %v", err)
	}
	layered := func() *modal.Image {
		return r.client.Images.FromRegistry("debian:bookworm-slim", nil).DockerfileCommands([]string{"RUN apt-get install git"}, nil)
	}
	first, err := layered().Build(r.ctx, r.app)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Calls("ImageJoinStreaming"); n != 2 {
		t.Errorf("%d layers were built, want 2", n)
	}
	second, err := layered().Build(r.ctx, r.app)
	if err != nil || second.ImageID != first.ImageID || r.Calls("ImageJoinStreaming") != 2 {
		t.Errorf("built again: %v, %v, %d builds", second, err, r.Calls("ImageJoinStreaming"))
	}
	if got := fmt.Sprint(r.Built()); !strings.Contains(got, "RUN apt-get install git") {
		t.Errorf("built: %s", got)
	}
	r.Break("ImageJoinStreaming", Failed, 1)
	_, err = layered().DockerfileCommands([]string{"RUN apt-get install nonsense"}, nil).Build(r.ctx, r.app)
	if !errors.As(err, &modal.RemoteError{}) || !strings.Contains(err.Error(), "apt-get install nonsense") {
		t.Errorf("a build that fails: %v", err)
	}
	if _, err := layered().DockerfileCommands([]string{"RUN apt-get install nonsense"}, nil).Build(r.ctx, r.app); err != nil {
		t.Errorf("the next build: %v", err)
	}
	if _, err := r.client.Images.FromID(r.ctx, "im-unknown"); !errors.As(err, &modal.NotFoundError{}) {
		t.Errorf("an image that nobody made: %v", err)
	}
	if err := r.client.Images.Delete(r.ctx, first.ImageID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Images.FromID(r.ctx, first.ImageID); !errors.As(err, &modal.NotFoundError{}) {
		t.Errorf("a deleted image: %v", err)
	}
}

func TestPrograms(t *testing.T) {
	r := newRig(t)
	sb := r.create(&modal.SandboxCreateParams{Name: "one", Workdir: "/work", Env: map[string]string{"WHERE": "here"}})
	out, errOut, code := r.run(sb, `echo $WHERE $WHO; pwd; echo bad >&2; echo kept > /opt/note; exit 3`, nil)
	if out != "here ada\n/work\n" || errOut != "bad\n" || code != 3 {
		t.Errorf("printed %q and %q, ended with %d", out, errOut, code)
	}
	if out, _, _ := r.run(sb, `cat /opt/note; ls /proc | grep -c '^[0-9]'`, nil); !strings.HasPrefix(out, "kept\n") {
		t.Errorf("the next program sees %q", out)
	}
	if _, _, code = r.run(sb, `kill -9 $$`, nil); code != 137 {
		t.Errorf("killed, it ended with %d", code)
	}
	if _, _, code = r.run(sb, `exec no-such-program`, nil); code != 127 {
		t.Errorf("without a program, it ended with %d", code)
	}

	in := make([]byte, 5<<20+17)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(in) // never fails
	for _, fault := range []struct {
		method string
		fault  Fault
	}{{"TaskExecStdinWrite", LostAnswer}, {"TaskExecStdinWrite", Unavailable}, {"TaskExecStdioRead", Unavailable}, {"TaskExecStart", LostAnswer}, {"TaskExecWait", LostAnswer}} {
		r.Break(fault.method, fault.fault, 1)
		out, _, code := r.run(sb, `sha256sum`, in)
		if want := fmt.Sprintf("%x  -\n", sha256.Sum256(in)); out != want || code != 0 {
			t.Errorf("with %s of %s: %q, %d; want %q", fault.fault, fault.method, out, code, want)
		}
	}
	if _, err := sb.Exec(r.ctx, []string{"cat"}, nil); err != nil {
		t.Fatal(err)
	}

	// A child that has let go of the output lives on when its parent has ended.
	mark := strconv.Itoa(300_000_000 + os.Getpid()) // seconds, and nobody else's on this computer
	if out, _, code := r.run(sb, `sleep `+mark+` >/dev/null 2>&1 & echo started`, nil); out != "started\n" || code != 0 {
		t.Errorf("%q, %d", out, code)
	}
	if processes(t, mark) == 0 {
		t.Error("the child ended with its parent")
	}
	if code, err := sb.Terminate(r.ctx, &modal.SandboxTerminateParams{Wait: true}); code != 137 || err != nil {
		t.Errorf("terminated: %d, %v", code, err)
	}
	if n := processes(t, mark); n != 0 {
		t.Errorf("%d processes have survived their sandbox", n)
	}
	again, err := r.client.Sandboxes.FromID(r.ctx, sb.SandboxID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Exec(r.ctx, []string{"true"}, nil); err == nil || !strings.Contains(err.Error(), "has already completed") {
		t.Errorf("a program in a sandbox that ended: %v", err)
	}
}

func TestNamesTagsAndLists(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Page = 2 })
	var ids []string
	for _, name := range []string{"one", "two", "three", "four", "five"} {
		sb := r.create(&modal.SandboxCreateParams{Name: name})
		if err := sb.SetTags(r.ctx, map[string]string{"odd": fmt.Sprint(len(ids)%2 == 0)}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sb.SandboxID)
	}
	list := func(tags map[string]string) (got []string) {
		t.Helper()
		seq, err := r.client.Sandboxes.List(r.ctx, &modal.SandboxListParams{AppID: r.app.AppID, Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		for sb, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, sb.SandboxID)
		}
		slices.Reverse(got) // newest came first
		return got
	}
	if got := list(nil); !slices.Equal(got, ids) {
		t.Errorf("listed %v, want %v", got, ids)
	}
	if got := list(map[string]string{"odd": "false"}); !slices.Equal(got, []string{ids[1], ids[3]}) {
		t.Errorf("listed by tag: %v of %v", got, ids)
	}
	if _, err := r.client.Sandboxes.Create(r.ctx, r.app, r.image, &modal.SandboxCreateParams{Name: "one"}); !errors.As(err, &modal.AlreadyExistsError{}) {
		t.Errorf("a name that is taken: %v", err)
	}
	sb, err := r.client.Sandboxes.FromName(r.ctx, "inspect", "two", nil)
	if err != nil || sb.SandboxID != ids[1] {
		t.Fatalf("found %v, %v", sb, err)
	}
	if code, err := sb.Poll(r.ctx); code != nil || err != nil {
		t.Errorf("while it runs: %v, %v", code, err)
	}
	if _, err := sb.Terminate(r.ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Sandboxes.FromName(r.ctx, "inspect", "two", nil); !errors.As(err, &modal.NotFoundError{}) {
		t.Errorf("one that has ended, by name: %v", err)
	}
	if got := list(nil); slices.Contains(got, ids[1]) || len(got) != 4 {
		t.Errorf("listed %v", got)
	}
	if got := r.Live(); !slices.Equal(got, []string{"five", "four", "one", "three"}) {
		t.Errorf("live: %v", got)
	}
	r.create(&modal.SandboxCreateParams{Name: "two"}) // the name is free again
}

func TestSnapshots(t *testing.T) {
	r := newRig(t)
	sb := r.create(&modal.SandboxCreateParams{Name: "one"})
	r.run(sb, "mkdir -p /sandbox/checkout && echo kept > /sandbox/checkout/note", nil)
	snap, err := sb.SnapshotFilesystem(r.ctx, 55*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	r.run(sb, "echo later > /sandbox/checkout/note", nil)
	r.Break("SandboxSnapshotFs", Failed, 1)
	if _, err := sb.SnapshotFilesystem(r.ctx, 55*time.Second); !errors.As(err, &modal.ExecutionError{}) {
		t.Errorf("a snapshot that fails: %v", err)
	}
	if _, err := sb.Terminate(r.ctx, nil); err != nil {
		t.Fatal(err)
	}
	if r.Snapshots() != 1 {
		t.Errorf("%d snapshots", r.Snapshots())
	}
	if r.image, err = r.client.Images.FromID(r.ctx, snap.ImageID); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"two", "three"} { // an image is as good as often as it is used
		if out, _, _ := r.run(r.create(&modal.SandboxCreateParams{Name: name}), "cat /sandbox/checkout/note; echo more >> /sandbox/checkout/note", nil); out != "kept\n" {
			t.Errorf("%s has %q", name, out)
		}
	}
	if b, err := os.ReadFile(filepath.Join(r.Root("two"), "sandbox/checkout/note")); err != nil || string(b) != "kept\nmore\n" {
		t.Errorf("from outside: %q, %v", b, err)
	}
	if _, err := r.client.Images.FromID(r.ctx, "im-gone"); !errors.As(err, &modal.NotFoundError{}) {
		t.Error(err)
	}
	r.ForgetImages()
	_, err = r.client.Sandboxes.Create(r.ctx, r.app, r.image, nil)
	if status.Code(err) != codes.NotFound {
		t.Errorf("an image that has expired: %v", err)
	}
}

func TestDeaths(t *testing.T) {
	r := newRig(t)
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	old := r.create(&modal.SandboxCreateParams{Name: "old", Timeout: time.Hour})
	idle := r.create(&modal.SandboxCreateParams{Name: "idle", Timeout: 24 * time.Hour, IdleTimeout: 10 * time.Minute})
	busy := r.create(&modal.SandboxCreateParams{Name: "busy", Timeout: 24 * time.Hour, IdleTimeout: 10 * time.Minute})
	linked := r.create(&modal.SandboxCreateParams{Name: "linked", Timeout: 24 * time.Hour, IdleTimeout: 10 * time.Minute, EncryptedPorts: []int{port}})
	p, err := busy.Exec(r.ctx, []string{"cat"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := r.echo(linked, port)
	live := func(want ...string) {
		t.Helper()
		if got := r.Live(); !slices.Equal(got, want) {
			t.Errorf("live: %v, want %v", got, want)
		}
	}
	r.clock.Advance(9 * time.Minute)
	live("busy", "idle", "linked", "old")
	r.clock.Advance(time.Minute)
	if code, err := idle.Wait(r.ctx); code != 0 || err != nil { // the SDK cannot tell it from success
		t.Errorf("idle: %d, %v", code, err)
	}
	live("busy", "linked", "old")
	r.clock.Advance(50 * time.Minute)
	if code, err := old.Wait(r.ctx); code != 124 || err != nil {
		t.Errorf("old: %d, %v", code, err)
	}
	live("busy", "linked")
	if err := p.Stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(r.ctx); err != nil {
		t.Fatal(err)
	}
	r.clock.Wait(3) // two lives, and the idle time that began with the program's end
	r.clock.Advance(10 * time.Minute)
	if _, err := busy.Wait(r.ctx); err != nil {
		t.Fatal(err)
	}
	live("linked")
	if err := r.Vanish("linked"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes came from a sandbox that is gone", n)
	}
	live()
	if err := r.Vanish("linked"); err == nil {
		t.Error("it vanished twice")
	}
	short := r.create(&modal.SandboxCreateParams{Name: "short", Command: []string{"sh", "-c", "echo hello; exit 7"}})
	if code, err := short.Wait(r.ctx); code != 7 || err != nil {
		t.Errorf("a command that ends: %d, %v", code, err)
	}
	if b, err := io.ReadAll(short.Stdout); err != nil || !bytes.Equal(b, []byte("hello\n")) {
		t.Errorf("its output: %q, %v", b, err)
	}
}

func TestTunnels(t *testing.T) {
	r := newRig(t)
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	sb := r.create(&modal.SandboxCreateParams{Name: "one", EncryptedPorts: []int{port}})
	c := r.echo(sb, port)
	r.CutTunnels("one")
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that was cut gives bytes")
	}
	r.echo(sb, port).Close()
}

// A port is nobody else's, whichever of the processes that run tests at the same time asks for one.
func TestFreePort(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if took, err := reserve(port); err == nil {
		took.Close()
		t.Errorf("%d can be had once more", port)
	}
}

func TestFaults(t *testing.T) {
	r := newRig(t)
	create := func() error {
		_, err := r.client.Sandboxes.Create(r.ctx, r.app, r.image, &modal.SandboxCreateParams{Name: "one"})
		return err
	}
	for _, c := range []struct {
		fault Fault
		times int
		code  codes.Code // OK: it is made all the same
		calls int        // the SDK makes by itself
	}{
		{Unavailable, 2, codes.OK, 3},
		{Unavailable, Always, codes.Unavailable, 4},
		{Refused, 1, codes.FailedPrecondition, 1},
		{Denied, 1, codes.PermissionDenied, 1},
		{Throttled, 1, codes.ResourceExhausted, 1},
	} {
		before := r.Calls("SandboxCreate")
		r.Break("SandboxCreate", c.fault, c.times)
		if err := create(); status.Code(err) != c.code {
			t.Errorf("%s: %v", c.fault, err)
		}
		if n := r.Calls("SandboxCreate") - before; n != c.calls {
			t.Errorf("%s: %d calls, want %d", c.fault, n, c.calls)
		}
		r.Mend("SandboxCreate")
		if want := c.code == codes.OK; want != (len(r.Live()) == 1) {
			t.Errorf("%s: live %v", c.fault, r.Live())
		}
		_ = r.Vanish("one") // of those that were made
	}

	// What was made before the answer was lost is there: asked again, its name is taken.
	r.Break("SandboxCreate", LostAnswer, 1)
	if err := create(); !errors.As(err, &modal.AlreadyExistsError{}) || len(r.Live()) != 1 {
		t.Errorf("a lost answer: %v, live %v", err, r.Live())
	}
	if err := r.Vanish("one"); err != nil {
		t.Fatal(err)
	}

	r.Break("SandboxCreate", Held, 1)
	n := r.Calls("SandboxCreate")
	made := make(chan error, 1)
	go func() { made <- create() }()
	if err := r.Wait(r.ctx, "SandboxCreate", n+1); err != nil {
		t.Fatal(err)
	}
	if len(r.Live()) != 0 {
		t.Error("it was made while its making is held")
	}
	r.Mend("SandboxCreate")
	if err := <-made; err != nil || len(r.Live()) != 1 {
		t.Errorf("held: %v, live %v", err, r.Live())
	}

	wrong := r.connect(TokenID, "as-wrong")
	if _, err := wrong.Apps.FromName(r.ctx, "inspect", nil); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a wrong token: %v", err)
	}
	none := r.connect("", "")
	if _, err := none.Apps.FromName(r.ctx, "inspect", nil); err == nil {
		t.Error("no token was taken")
	}
}

func TestTooMuchAtOnceIsRefused(t *testing.T) {
	r := newRig(t)
	sb := r.create(nil)
	p, err := sb.Exec(r.ctx, []string{"cat"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Stdin.Write(make([]byte, maxMessage+1)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message of more than 4 MiB: %v", err)
	}
}

func TestOrphans(t *testing.T) {
	r := newRig(t)
	one := r.create(&modal.SandboxCreateParams{Name: "one"})
	r.create(&modal.SandboxCreateParams{Name: "two"})
	if err := r.Orphans("one", "gone"); err == nil || !strings.Contains(err.Error(), `"two"`) || strings.Contains(err.Error(), `"one"`) {
		t.Errorf("nobody owns two: %v", err)
	}
	if _, err := one.Terminate(r.ctx, &modal.SandboxTerminateParams{Wait: true}); err != nil {
		t.Fatal(err)
	}
	if err := r.Orphans("two"); err != nil {
		t.Error(err)
	}
}
