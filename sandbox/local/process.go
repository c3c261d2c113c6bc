package local

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"openinspect/sandbox/runner/proc"
)

// process is how a process is found again: process ids are used again, and all begin anew when the computer starts.
type process struct {
	PID   int    `json:"pid,omitempty"`
	Began string `json:"began,omitempty"` // see proc.Process
	Boot  string `json:"boot,omitempty"`  // the kernel's boot id
}

// identify returns the identity of a living process, with no Began if there is none.
func identify(pid int) process {
	id := process{PID: pid, Boot: bootID()}
	if p := proc.Read(pid); !p.Ended() {
		id.Began = p.Began
	}
	return id
}

// alive reports whether that very process lives. A zombie does not.
func (p process) alive() bool {
	if p.PID <= 0 || p.Began == "" || p.Boot != bootID() {
		return false
	}
	q := proc.Read(p.PID)
	return !q.Ended() && q.Began == p.Began
}

// signal sends a signal to that very process; it is no error when it has ended.
func (p process) signal(s unix.Signal) error {
	fd, ok, err := p.open()
	if !ok {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// open returns a descriptor of that very process; not ok when it has ended.
func (p process) open() (fd int, ok bool, err error) {
	if !p.alive() {
		return 0, false, nil
	}
	fd, err = unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, os.NewSyscallError("pidfd_open", err)
	}
	if !p.alive() { // the id may have passed to another between the two
		unix.Close(fd)
		return 0, false, nil
	}
	return fd, true, nil
}

// wait returns when the process has ended, or with ctx's error. Process 1 of a pid namespace ends after all others of it.
func (p process) wait(ctx context.Context) error {
	fd, ok, err := p.open()
	if !ok {
		return err
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 50)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// How long a runner without isolation has to end its own descendants, and how long they may take to die of SIGKILL.
const (
	termGrace = 5 * time.Second
	killLimit = 10 * time.Second
)

// end ends every process of a sandbox, and its connections, and returns when none is left.
func (p *Provider) end(ctx context.Context, r *record) error {
	if r.fresh || r.Isolation == "" {
		return nil
	}
	defer p.logs.forget(p.path(r.Dir) + ".log")
	if r.Isolation == None {
		return endTree(ctx, r.process, p.path(r.Dir))
	}
	if err := r.signal(unix.SIGKILL); err != nil {
		return err
	}
	if err := r.wait(ctx); err != nil {
		return err
	}
	p.shut(r.Dir)
	return os.RemoveAll(p.path(r.Dir) + doorSuffix)
}

// endTree asks a runner to end, and then ends what is left of its descendants: those that were below it, and those that are
// marked as this directory's because they lost their parent.
func endTree(ctx context.Context, runner process, dir string) error {
	var tree []process
	if runner.alive() {
		tree = append(below([]int{runner.PID}), runner)
		if err := runner.signal(unix.SIGTERM); err != nil {
			return err
		}
		graceful, cancel := context.WithTimeout(ctx, termGrace)
		err := runner.wait(graceful)
		cancel()
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	for {
		tree = append(slices.DeleteFunc(tree, func(q process) bool { return !q.alive() }), marked(dir)...)
		if len(tree) == 0 {
			return nil
		}
		var roots []int
		for _, q := range tree {
			roots = append(roots, q.PID)
		}
		tree = append(below(roots), tree...)
		for _, q := range tree {
			if err := q.signal(unix.SIGKILL); err != nil {
				return err
			}
		}
		for _, q := range tree {
			if err := q.wait(ctx); err != nil {
				return err
			}
		}
	}
}

// below returns the living descendants of some processes.
func below(roots []int) []process {
	children := map[int][]int{}
	for _, p := range proc.All() {
		children[p.Parent] = append(children[p.Parent], p.ID)
	}
	var found []process
	seen := map[int]bool{}
	for queue := slices.Clone(roots); len(queue) > 0; queue = queue[1:] {
		for _, pid := range children[queue[0]] {
			if !seen[pid] && pid != os.Getpid() {
				seen[pid] = true
				queue = append(queue, pid)
				if q := identify(pid); q.Began != "" {
					found = append(found, q)
				}
			}
		}
	}
	return found
}

// Marker is the environment variable that names a sandbox's directory to its processes.
const Marker = "OPENINSPECT_SANDBOX"

// marked returns the living processes that carry a sandbox's mark in their environment, or have its home as theirs.
func marked(dir string) []process {
	var found []process
	for _, pid := range proc.IDs() {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil || pid == os.Getpid() {
			continue
		}
		for v := range bytes.SplitSeq(env, []byte{0}) {
			if s := string(v); s == Marker+"="+dir || s == "HOME="+filepath.Join(dir, "home") {
				if q := identify(pid); q.Began != "" {
					found = append(found, q)
				}
				break
			}
		}
	}
	return found
}
