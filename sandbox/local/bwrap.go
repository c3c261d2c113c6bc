package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"openinspect/session"
)

// Where things are inside.
const (
	insideDir    = "/sandbox"
	insideRunner = "/opt/openinspect"
	agentPath    = "/opt/agent"
	insidePath   = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin"
)

// insideEtc are the files of /etc that programs need. All of it would show the host's keys and configuration.
var insideEtc = []string{
	"alternatives", "ca-certificates", "ca-certificates.conf", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
	"mime.types", "nsswitch.conf", "os-release", "passwd", "pki", "protocols", "services", "ssl", // no resolv.conf: there is nobody to ask inside
}

// hiddenEtc are directories with keys below those of insideEtc. A bot that runs as root could read them, and so could its sandboxes.
var hiddenEtc = []string{"ssl/private", "pki/tls/private", "pki/CA/private"}

func insideAgent(agent string) string {
	if agent == "" || agent == ScriptAgent {
		return agent
	}
	return agentPath
}

// arguments are bubblewrap's, up to the command: bwrap(1). door, runner and agent may be empty.
func arguments(dir, door, runner, agent string) []string {
	a := []string{
		"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
		"--unshare-net",     // leaves a loopback of its own, which bubblewrap brings up, and abstract sockets of its own
		"--cap-drop", "ALL", // started by root, it would keep them otherwise
		"--new-session", // no controlling terminal to type into
		"--hostname", "sandbox",
		"--clearenv",
		"--ro-bind", "/usr", "/usr",
		"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/var/tmp",
		"--bind", dir, insideDir, "--chdir", insideDir + "/checkout",
	}
	if os.Getuid() == 0 {
		// The kernel's settings are files of root's, and capabilities are not asked for: by one of them (core_pattern) a sandbox of a bot that runs as
		// root could have a program run outside. Bubblewrap covers them only where it sees that they can be written to, which of directories it does not.
		a = append(a, "--remount-ro", "/proc")
	}
	if door != "" {
		a = append(a, "--ro-bind", door, insideDoor) // a socket takes connections there all the same
	}
	for _, f := range insideEtc {
		a = append(a, "--ro-bind-try", "/etc/"+f, "/etc/"+f)
	}
	for _, d := range hiddenEtc {
		if info, err := os.Stat("/etc/" + d); err == nil && info.IsDir() {
			a = append(a, "--tmpfs", "/etc/"+d)
		}
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib32", "lib64"} { // links into /usr, or directories on older systems
		if to, err := os.Readlink("/" + d); err == nil {
			a = append(a, "--symlink", to, "/"+d)
		} else {
			a = append(a, "--ro-bind-try", "/"+d, "/"+d)
		}
	}
	if runner != "" {
		a = append(a, "--ro-bind", runner, insideRunner)
	}
	if agent != "" && agent != ScriptAgent {
		a = append(a, "--ro-bind", agent, agentPath)
	}
	a = append(a, "--remount-ro", "/") // the root is a tmpfs, which would take files
	for _, v := range [][2]string{
		{"PATH", insidePath}, {"HOME", insideDir + "/home"}, {"USER", "sandbox"}, {"LANG", "C.UTF-8"}, {"TMPDIR", "/tmp"}, {Marker, insideDir},
	} {
		a = append(a, "--setenv", v[0], v[1])
	}
	return a
}

// boxed is the runner's command in bubblewrap. id waits for the pid, outside, of the namespace's process 1; done frees what it needs.
func (p *Provider) boxed(dir, door, runner, agent string) (cmd *exec.Cmd, id func(context.Context) (int, error), done func(), err error) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return nil, nil, nil, missing(err)
	}
	info, infoW, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	args := append([]string{"--info-fd", "3"}, arguments(dir, door, runner, agent)...)
	cmd = exec.Command(bwrap, append(args, "--", insideRunner, "runner")...)
	cmd.ExtraFiles = []*os.File{infoW}
	// Bubblewrap stays as process 1 inside, where /proc/1/environ is the environment it was given, whatever --clearenv says.
	cmd.Env = []string{}
	cmd.Dir = "/"
	id = func(ctx context.Context) (int, error) {
		infoW.Close()
		if deadline, ok := ctx.Deadline(); ok {
			_ = info.SetReadDeadline(deadline) // a pipe has deadlines
		}
		var v struct {
			PID int `json:"child-pid"`
		}
		if err := json.NewDecoder(info).Decode(&v); err != nil {
			return 0, fmt.Errorf("bubblewrap did not tell its process id: %w", err)
		}
		return v.PID, nil
	}
	return cmd, id, func() { info.Close(); infoW.Close() }, nil
}

// Available reports whether sandboxes can be shut in, by shutting a program in. The error is a session.Error of code Invalid that
// names the package to install or the setting to change.
func (p *Provider) Available(ctx context.Context) error {
	if p.isolation == None {
		return nil
	}
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return missing(err)
	}
	dir, err := os.MkdirTemp("", "openinspect-probe-")
	if err != nil {
		return session.Wrap("local.Available", err)
	}
	defer os.RemoveAll(dir)
	for _, d := range []string{"checkout", "door"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			return session.Wrap("local.Available", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bwrap, append(arguments(dir, filepath.Join(dir, "door"), "", ""), "--", "true")...)
	cmd.Env = []string{}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return unusable(out.String(), err)
	}
	return nil
}

func missing(err error) error {
	return &session.Error{Code: session.Invalid, Op: "local.Available", Err: err,
		Message: "Local sandboxes need bubblewrap: install the package \"bubblewrap\" (apt install bubblewrap, dnf install bubblewrap)."}
}

// network matches what bubblewrap says when it may make namespaces, but not set the loopback of a new network up, or not make one.
var network = regexp.MustCompile(`(?i)\bloopback\b|\bRTM_|network namespace|unshare-net`)

// unusable tells why bubblewrap, which is there, does not work: as a rule the kernel was told not to let ordinary users make namespaces.
func unusable(out string, err error) error {
	hint := "Run it by hand to see why."
	for _, s := range []struct{ file, bad, hint string }{
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "Set the sysctl kernel.apparmor_restrict_unprivileged_userns=0, or install an AppArmor profile for bwrap."},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "Set the sysctl kernel.unprivileged_userns_clone=1."},
		{"/proc/sys/user/max_user_namespaces", "0", "Set the sysctl user.max_user_namespaces to a number above 0."},
	} {
		if b, e := os.ReadFile(s.file); e == nil && strings.TrimSpace(string(b)) == s.bad {
			hint = s.hint
			break
		}
	}
	if network.MatchString(out) {
		return &session.Error{Code: session.Invalid, Op: "local.Available", Err: errors.Join(err, errors.New(session.OneLine(out, 300))),
			Message: "Bubblewrap is installed, but the kernel does not let it give a sandbox a network of its own. " + hint}
	}
	return &session.Error{Code: session.Invalid, Op: "local.Available", Err: errors.Join(err, errors.New(session.OneLine(out, 300))),
		Message: "Bubblewrap is installed but does not work here. " + hint}
}
