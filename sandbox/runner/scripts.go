package runner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"openinspect/sandbox/runner/bound"
	"openinspect/sandbox/runner/proc"
	"openinspect/session"
)

// The lifecycle scripts, below the checkout.
const (
	scriptDir   = ".openinspect"
	setupScript = "setup.sh"
	startScript = "start.sh"
)

// Defaults of their time limits, as in DESIGN's table of configuration.
const (
	defaultSetupTimeout = 300 * time.Second
	defaultStartTimeout = 120 * time.Second
)

// keptLines is how much of a failed script's output people see.
const keptLines = 50

// scriptResult is how a script went. A script that is not there is skipped.
type scriptResult struct {
	state  session.StepState // done, failed or skipped
	detail string            // one line
	output string            // the last lines, when it failed
}

// runScript runs a lifecycle script with bash in the checkout's root. Its output goes to a file and not to a pipe: a service that
// start.sh leaves in the background keeps its output open for as long as it lives, and must neither hang us nor die of a closed pipe. The file
// has no name: what a script prints may be a secret, and is in no image.
func (r *runner) runScript(ctx context.Context, name string, timeout time.Duration) scriptResult {
	path := filepath.Join(scriptDir, name)
	if info, err := os.Stat(filepath.Join(r.paths.checkout, path)); err != nil || !info.Mode().IsRegular() {
		return scriptResult{state: session.StepSkipped, detail: "no " + path}
	}
	log := filepath.Join(r.paths.run, name+".log")
	out, err := os.OpenFile(log, os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600)
	if err == nil {
		err = os.Remove(log)
	}
	if err != nil {
		return scriptResult{state: session.StepFailed, detail: fmt.Sprintf("%s could not be run: %v", path, err)}
	}
	defer out.Close()
	cmd := exec.Command("bash", path)
	mark := scriptMark + "=" + name + "-" + rand.Text()
	cmd.Dir, cmd.Env = r.paths.checkout, append(r.environ(), mark)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	bound.Command(cmd, r.bound())
	dispersed := r.dispersed.Load()
	if err := cmd.Start(); err != nil {
		return scriptResult{state: session.StepFailed, detail: fmt.Sprintf("%s could not be run: %v", path, err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	late := make(chan struct{})
	stop := r.cfg.Clock.AfterFunc(timeout, func() { close(late) })
	defer stop()

	failed := func(detail string) scriptResult {
		return scriptResult{state: session.StepFailed, detail: detail, output: fileTail(out)}
	}
	select {
	case err = <-ended:
	case <-late:
		killScript(cmd.Process.Pid, mark)
		<-ended
		return failed(fmt.Sprintf("%s did not end within %g s and was killed", path, timeout.Seconds()))
	case <-ctx.Done():
		killScript(cmd.Process.Pid, mark)
		<-ended
		return failed(path + " was interrupted")
	}
	if err != nil && (r.dispersed.Load() != dispersed || r.crowded()) {
		r.disperse() // what it left would keep the agent from starting
	}
	if err != nil && (r.dispersed.Load() != dispersed || r.bound() > 0 && noFork.MatchString(fileTail(out))) {
		return failed(fmt.Sprintf("%s wanted more than the %d processes that a sandbox may have at once", path, r.cfg.Boot.Processes))
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return failed(fmt.Sprintf("%s was ended by signal %s", path, unix.SignalName(status.Signal())))
		}
		return failed(fmt.Sprintf("%s ended with exit code %d", path, exit.ExitCode()))
	}
	if err != nil {
		return failed(fmt.Sprintf("%s could not be run: %v", path, err))
	}
	return scriptResult{state: session.StepDone, detail: "exit code 0"}
}

// noFork is what shells, and programs in the kernel's words, say when they can have no more processes.
var noFork = regexp.MustCompile(`(?i)cannot fork|fork: .*resource temporarily unavailable|\bEAGAIN\b`)

// bound is the limit of processes that the kernel is to be told; 0: none.
func (r *runner) bound() int {
	if r.cfg.Boot.Bounded {
		return r.cfg.Boot.Processes
	}
	return 0
}

// scriptMark is the variable by which everything that a run of a script has started is known, whatever became of its parents: programs inherit it.
const scriptMark = "OPENINSPECT_SCRIPT"

// killRounds bounds how often what a script started is looked for: something that is killed may have started another just before.
const killRounds = 20

// killScript kills a script, its group, its descendants, and whatever else has its mark: what took a session of its own and lost its parent, as
// daemons do.
func killScript(pid int, mark string) {
	tree := descendants(pid)
	_ = unix.Kill(-pid, unix.SIGKILL) // the group may be gone
	for range killRounds {
		for _, p := range tree {
			_ = unix.Kill(p, unix.SIGKILL) // it may be gone
		}
		if tree = marked(mark); len(tree) == 0 {
			return
		}
	}
}

// marked lists the processes, this one aside, that were started with a variable and run.
func marked(kv string) (pids []int) {
	for _, pid := range proc.IDs() {
		if pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ") // empty for one that has ended, or is another user's
		if slices.Contains(strings.Split(string(env), "\x00"), kv) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// fileTail returns the last lines of a file, as far as they fit.
func fileTail(f *os.File) string {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	b := make([]byte, min(size, maxToolOutput))
	n, err := f.ReadAt(b, size-int64(len(b)))
	if err != nil && err != io.EOF {
		return ""
	}
	return lastLines(strings.ToValidUTF8(string(b[:n]), "\uFFFD"), keptLines)
}
