package local

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"openinspect/session"
)

// What cannot be seen or done from inside.
func TestHidden(t *testing.T) {
	t.Setenv("SLACK_BOT_TOKEN", "xoxb"+"-the-bots-own")
	c := config(t, Bubblewrap)
	base := t.TempDir()
	c.Dir = filepath.Join(base, "sandboxes")
	secret := filepath.Join(base, "bot.db")
	if err := os.WriteFile(secret, []byte("the-bots-data"), 0o644); err != nil {
		t.Fatal(err)
	}
	user, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	h := started(t, c)
	for what, s := range map[string]struct{ script, want string }{
		"the user's home":         {`ls -A ` + user + ` 2>/dev/null | wc -l`, "0"},
		"the bot's data":          {`cat ` + secret + ` 2>/dev/null | wc -c`, "0"},
		"what the provider knows": {`ls -d /sandbox/../one* ` + c.Dir + ` 2>/dev/null | wc -l`, "0"},
		"the bot's environment":   {`cat /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -c the-bots-own`, "0\n\nexit status 1"},
		"the bot's process":       {`kill -0 ` + strconv.Itoa(os.Getpid()) + ` 2>/dev/null && echo there || echo hidden`, "hidden"},
		"the computer's keys":     {`find /etc/ -path '*/private/*' 2>/dev/null | wc -l`, "0"},
		"capabilities":            {`grep CapEff /proc/self/status | cut -f2`, "0000000000000000"},
		"writing programs":        {`touch /usr/x /etc/x /x /opt/openinspect 2>/dev/null && echo written || echo refused`, "refused"},
		"the kernel's settings":   {`for f in sys/kernel/core_pattern sys/kernel/modprobe sys/vm/drop_caches irq/default_smp_affinity sysrq-trigger; do test -w /proc/$f && echo $f; done; true`, ""},
		"host name":               {`hostname 2>/dev/null || cat /proc/sys/kernel/hostname`, "sandbox"},
		"who it is":               {`echo $HOME $OPENINSPECT_SANDBOX; pwd`, "/sandbox/home /sandbox\n/sandbox/checkout"},
		"what works":              {`echo a >f && git init -q . && git add f && git -c user.name=a -c user.email=a@b commit -qm m && git log --oneline | wc -l && touch /tmp/x ~/y && ls ~`, "1\ny"},
	} {
		if got := h.sh(s.script); got != s.want {
			t.Errorf("%s: %q, want %q", what, got, s.want)
		}
	}
}

// What the runner without isolation inherits of the bot's environment: nothing but the search path.
func TestCleanEnvironment(t *testing.T) {
	t.Setenv("SLACK_BOT_TOKEN", "xoxb"+"-the-bots-own")
	h := started(t, config(t, None))
	dir := h.path("one")
	if got, want := h.sh(`env | grep -v ^PATH= | grep -v ^PWD= | grep -v ^_= | grep -v ^SHLVL= | grep -v ^OLDPWD= | sort`),
		"HOME="+dir+"/home\nLANG=C.UTF-8\n"+Marker+"="+dir+"\nUSER=sandbox"; got != want {
		t.Errorf("it has\n%s\nwant\n%s", got, want)
	}
}

// The agent may put anything where its socket should be; nothing but a socket of ours in that very directory is dialled.
func TestDialFollowsNoLink(t *testing.T) {
	h := started(t, config(t, None))
	h.sh("true")
	elsewhere := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(elsewhere, "link.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dial := func() error {
		to, err := h.Dial(t.Context(), h.h)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := to.Dial(t.Context())
		if err == nil {
			conn.Close()
		}
		return err
	}
	until(t, "the runner listens", func() bool { return dial() == nil })
	run := filepath.Join(h.path("one"), "run")
	for _, step := range []string{
		"rm link.sock && ln -s " + elsewhere + "/link.sock link.sock",
		"rm link.sock && echo x >link.sock",
		"cd .. && mv run away && ln -s " + elsewhere + " run",
	} {
		if out, err := exec.Command("sh", "-c", "cd "+run+" && "+step).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", step, err, out)
		}
		if err := dial(); err == nil {
			t.Errorf("after %q something else was dialled", step)
		}
	}
}

func TestAvailable(t *testing.T) {
	t.Run("without the package", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		err := provider(t, Config{Dir: t.TempDir(), CacheDir: t.TempDir()}).Available(t.Context())
		if session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), `"bubblewrap"`) {
			t.Error(err)
		}
	})
	t.Run("where it fails", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "bwrap"), []byte("#!/bin/sh\necho no permission >&2\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		err := provider(t, Config{Dir: t.TempDir(), CacheDir: t.TempDir()}).Available(t.Context())
		if session.CodeOf(err) != session.Invalid || !strings.Contains(err.Error(), "no permission") {
			t.Error(err)
		}
	})
	t.Run("where it may not have a network", func(t *testing.T) {
		dir := t.TempDir()
		bwrap := "#!/bin/sh\ncase \" $* \" in *' --unshare-net '*) echo 'bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted' >&2; exit 1;; esac\n"
		if err := os.WriteFile(filepath.Join(dir, "bwrap"), []byte(bwrap), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		err := provider(t, Config{Dir: t.TempDir(), CacheDir: t.TempDir()}).Available(t.Context())
		if session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "a network of its own") || !strings.Contains(err.Error(), "RTM_NEWADDR") {
			t.Error(err)
		}
	})
	t.Run("not wanted", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if err := provider(t, Config{Dir: t.TempDir(), Isolation: None, CacheDir: t.TempDir()}).Available(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestHide(t *testing.T) {
	if os.Getenv("HIDE_TEST") == "1" {
		if err := Hide(); err != nil {
			t.Fatal(err)
		}
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		if err != nil || dumpable != 0 {
			t.Errorf("dumpable is %d, %v", dumpable, err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHide$", "-test.v")
	cmd.Env = append(os.Environ(), "HIDE_TEST=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS: TestHide") {
		t.Errorf("%v: %s", err, out)
	}
}

// A process that only has the recorded id, and not the start time, is left alone.
func TestProcessIdentity(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	p := identify(cmd.Process.Pid)
	for what, other := range map[string]process{
		"another start": {p.PID, p.Began + "0", p.Boot},
		"another boot":  {p.PID, p.Began, "other"},
		"none":          {},
		"no start time": {p.PID, "", p.Boot},
	} {
		if other.alive() {
			t.Errorf("%s counts as alive", what)
		}
		if err := errors.Join(other.signal(unix.SIGKILL), other.wait(t.Context())); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !p.alive() {
		t.Fatal("it was killed")
	}
	if err := errors.Join(p.signal(unix.SIGKILL), p.wait(t.Context())); err != nil || p.alive() {
		t.Errorf("not killed: %v", err)
	}
}

// Executables are kept by hash: the same one once, a damaged copy is mended.
func TestKeepRunner(t *testing.T) {
	dir := t.TempDir()
	exe := filepath.Join(dir, "exe")
	keep := func(content string) string {
		t.Helper()
		if err := errors.Join(os.RemoveAll(exe), os.WriteFile(exe, []byte(content), 0o755)); err != nil {
			t.Fatal(err)
		}
		p := provider(t, Config{Dir: dir, Isolation: None, CacheDir: filepath.Join(dir, "cache"), Runner: exe})
		path, err := p.keepRunner()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := p.keepRunner(); err != nil || again != path {
			t.Fatalf("second time %s, %v", again, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != content {
			t.Fatalf("%s has %q, %v", path, b, err)
		}
		return path
	}
	one := keep("one")
	two := keep("two")
	if one == two {
		t.Error("two executables, one path")
	}
	if err := errors.Join(os.Remove(one), os.WriteFile(one, []byte("damaged"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if again := keep("one"); again != one {
		t.Errorf("moved to %s", again)
	}
}
