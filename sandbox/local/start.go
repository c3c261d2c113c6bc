package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/session"
)

const (
	socketFile = "run/link.sock" // below the sandbox's directory
	startLimit = 30 * time.Second
)

// start starts a runner in r's directory and keeps its identity in r and on the disk. The runner waits for the Boot on its standard input
// until the record is there, so that a bot that is killed in between leaves none behind: the pipe ends, and the runner with it.
func (p *Provider) start(ctx context.Context, r *record, boot link.Boot) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	dir := p.path(r.Dir)
	defer func() {
		if err != nil && r.fresh { // there will be no record to find the door by
			p.shut(r.Dir)
			_ = os.RemoveAll(dir + doorSuffix)
		}
	}()
	for _, d := range []string{"checkout", "home", "run"} {
		path := filepath.Join(dir, d)
		if info, err := os.Lstat(path); err == nil && !info.IsDir() { // an agent's doing; its session would never start again
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
	}
	runner, err := p.keepRunner()
	if err != nil {
		return err
	}
	agent := p.agent
	if agent != "" && agent != ScriptAgent {
		if agent, err = filepath.EvalSymlinks(agent); err != nil {
			return session.Errorf(session.Invalid, "The agent's executable %s cannot be found.", p.agent)
		}
	}
	if r.fresh && boot.Mode == session.BootSnapshot {
		boot.Mode = session.BootFresh
	}
	boot.Listen, boot.Proxy = "", ""
	out, err := os.OpenFile(dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	p.bound(r)
	defer func() {
		if err != nil {
			p.logs.forget(dir + ".log")
		}
	}()

	stdin, bootPipe, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	defer bootPipe.Close()

	var cmd *exec.Cmd
	var id func(context.Context) (int, error)
	if p.isolation == Bubblewrap {
		var done func()
		if err := p.open(r); err != nil {
			return err
		}
		doorDir := ""
		if p.network != nil {
			doorDir, boot.Proxy = dir+doorSuffix, insideDoor+"/"+doorFile
		}
		if cmd, id, done, err = p.boxed(dir, doorDir, runner, agent); err != nil {
			return err
		}
		defer done()
		boot.Alone, boot.Processes, boot.Bounded = true, p.processes, counted()
		boot.Dir, boot.Socket, boot.Agent = insideDir, insideDir+"/"+socketFile, insideAgent(agent)
	} else {
		cmd = plain(dir, runner)
		id = func(context.Context) (int, error) { return cmd.Process.Pid, nil }
		boot.Dir, boot.Socket, boot.Agent = dir, filepath.Join(dir, socketFile), agent
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a ^C at our terminal is not for it
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the runner: %w", err)
	}
	stdin.Close()
	go func() { _ = cmd.Wait() }() // it is ours to collect while we live

	failed := func(err error) error {
		_ = cmd.Process.Kill() // with bubblewrap this may leave process 1, which ends when it reads the end of its input
		return err
	}
	pid, err := id(ctx)
	if err != nil {
		return failed(p.notStarted(r.Dir, err))
	}
	if r.process = identify(pid); r.Began == "" {
		return failed(p.notStarted(r.Dir, errors.New("the process ended at once")))
	}
	if err := giveWay(pid); err != nil {
		p.report(r.Name, fmt.Errorf("the sandbox does not give way when memory is short: %w", err))
	}
	if err := p.write(r); err != nil {
		return failed(err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = bootPipe.SetWriteDeadline(deadline) // a pipe has deadlines
	}
	if err := json.NewEncoder(bootPipe).Encode(boot); err != nil {
		return errors.Join(p.notStarted(r.Dir, err), p.end(context.WithoutCancel(ctx), r))
	}
	return nil
}

// plain is the runner's command without isolation: nothing of the bot's environment but the search path goes along.
func plain(dir, runner string) *exec.Cmd {
	cmd := exec.Command(runner, "runner")
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "USER=sandbox", "LANG=C.UTF-8", Marker + "=" + dir,
	}
	return cmd
}

// bound keeps a sandbox's log within bounds. Without that it can still be used.
func (p *Provider) bound(r *record) {
	if err := p.logs.watch(p.path(r.Dir) + ".log"); err != nil {
		p.report(r.Name, fmt.Errorf("nothing bounds the sandbox's log: %w", err))
	}
}

// notStarted explains err with the last lines of the log. They are bubblewrap's or the runner's, and for operators.
func (p *Provider) notStarted(dir string, err error) error {
	if last := logTail(p.path(dir) + ".log"); last != "" {
		err = fmt.Errorf("%w; its log ends: %s", err, last)
	}
	return &session.Error{Code: session.Internal, Op: "local.start", Message: "The sandbox's process did not start; the operator's log says why.", Err: err}
}

func logTail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	b := make([]byte, min(info.Size(), 1000))
	n, err := f.ReadAt(b, info.Size()-int64(len(b)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return session.OneLine(string(bytes.ToValidUTF8(b[:n], nil)), 500)
}

// Dial implements sandbox.Provider: the link's socket is in the sandbox's directory, where the agent can write, so no link is followed
// on the way there.
func (p *Provider) Dial(_ context.Context, h session.Handle) (sandbox.Endpoint, error) {
	r, err := p.handled(h)
	if err != nil {
		return sandbox.Endpoint{}, session.Wrap("local.Dial", err)
	}
	if r == nil || !r.alive() {
		return sandbox.Endpoint{}, &session.Error{Code: session.NotFound, Op: "local.Dial", Message: "The sandbox " + h.Name + " does not run any more."}
	}
	if err := p.open(r); err != nil {
		return sandbox.Endpoint{}, session.Wrap("local.Dial", err)
	}
	path := filepath.Join(p.path(r.Dir), socketFile)
	dir, file := filepath.Dir(path), filepath.Base(path) // no slash at dir's end, which would follow a link
	return sandbox.Endpoint{URL: "http://runner/link", Dial: func(ctx context.Context) (net.Conn, error) {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &session.Error{Code: session.Unavailable, Op: "local.Dial", Message: "The sandbox does not listen yet.", Err: err}
		}
		defer unix.Close(fd)
		return link.DialUnix(ctx, "/proc/self/fd/"+strconv.Itoa(fd)+"/"+file, os.Getuid())
	}}, nil
}
