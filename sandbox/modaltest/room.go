package modaltest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// room is what a sandbox's processes are shut up in: a root, a pid namespace, and in it a first process that does nothing but collect orphans.
type room struct {
	init *exec.Cmd // bubblewrap, outside
	pid  int       // of the first process, as seen from here
	gone chan struct{}
}

// insidePath is the search path of a sandbox's processes. Config.Files can put programs into its first directory.
const insidePath = "/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// openRoom makes a room with root as its root directory, which is made if it is not there.
func openRoom(root string, files map[string]string) (*room, error) {
	for _, d := range []string{"usr", "etc", "dev", "proc", "root", "run", "tmp", "var/tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return nil, err
		}
	}
	args := []string{
		"--die-with-parent", "--unshare-user", "--uid", "0", "--gid", "0", "--unshare-pid", "--unshare-ipc", "--as-pid-1", "--info-fd", "3",
		"--bind", root, "/", "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc", "--proc", "/proc",
		"--dev-bind", "/dev", "/dev", // --dev would make one more user namespace, which cannot be entered
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib32", "lib64"} { // links into /usr, or directories on older systems
		to, err := os.Readlink("/" + d)
		if err != nil {
			args = append(args, "--ro-bind-try", "/"+d, "/"+d)
			continue
		}
		if err := os.Symlink(to, filepath.Join(root, d)); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	for _, inside := range slices.Sorted(maps.Keys(files)) {
		args = append(args, "--ro-bind", files[inside], inside)
	}
	args = append(args, "--", "sh", "-c", "echo; exec >/dev/null; while :; do sleep 3600 & wait; done")
	info, infoW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer info.Close()
	r := &room{init: exec.Command("bwrap", args...), gone: make(chan struct{})}
	r.init.Env = []string{"PATH=" + insidePath}
	r.init.ExtraFiles = []*os.File{infoW}
	stderr := &output{}
	r.init.Stderr = stderr
	ready, err := r.init.StdoutPipe()
	if err == nil {
		err = r.init.Start()
	}
	infoW.Close()
	if err != nil {
		return nil, err
	}
	var told struct {
		PID int `json:"child-pid"`
	}
	err = json.NewDecoder(info).Decode(&told)
	if err == nil { // the root is in place when the first process speaks
		_, err = bufio.NewReader(ready).ReadByte()
	}
	if err != nil {
		_ = r.init.Process.Kill()
		_ = r.init.Wait()
		return nil, fmt.Errorf("bubblewrap does not work here: %w: %s", err, stderr.text())
	}
	r.pid = told.PID
	go func() { defer close(r.gone); _ = r.init.Wait() }() // how it ends is known
	return r, nil
}

// command is a program that will run in the room, in a process group of its own.
func (r *room) command(argv []string, dir string, env []string) *exec.Cmd {
	args := []string{"--target", strconv.Itoa(r.pid), "--user", "--preserve-credentials", "--mount", "--pid", "--ipc", "--root", "--wd", "--",
		"sh", "-c", `mkdir -p "$0" && cd "$0" && exec "$@"`, dir}
	cmd := exec.Command("nsenter", append(args, argv...)...)
	cmd.Env = append([]string{"PATH=" + insidePath, "HOME=/root", "LANG=C.UTF-8"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// close ends every process in the room, and returns when none is left: the kernel ends a namespace with its first process.
func (r *room) close() {
	_ = syscall.Kill(r.pid, syscall.SIGKILL) // it may have ended
	<-r.gone
}
