package modaltest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// process is a program that runs in a sandbox.
type process struct {
	cmd      *exec.Cmd // nil for one that is a function's
	kill     func()    // ends it with its group
	out, err output
	done     chan struct{} // it has ended; its output may go on as long as a child has it
	code     int           // after done
	signal   int           // after done: what ended it, 0 if nothing did

	mu    sync.Mutex
	stdin io.WriteCloser
	taken uint64 // bytes of its input
}

// start starts a program. quietOut and quietErr throw its output away.
func (r *room) start(argv []string, dir string, env []string, quietOut, quietErr bool) (*process, error) {
	p := &process{cmd: r.command(argv, dir, env), done: make(chan struct{})}
	p.kill = func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) } // it may have ended
	var inside []*os.File                                                     // our copies of the process's ends
	defer func() {
		for _, f := range inside {
			f.Close()
		}
	}()
	in, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	inside = append(inside, in)
	p.cmd.Stdin, p.stdin = in, inW
	// Pipes of our own: exec.Cmd would not tell that the process has ended before its children have let go of its output.
	for _, s := range []struct {
		to    *output
		quiet bool
		end   *io.Writer
	}{{&p.out, quietOut, &p.cmd.Stdout}, {&p.err, quietErr, &p.cmd.Stderr}} {
		if s.quiet {
			s.to.close()
			continue
		}
		from, w, err := os.Pipe()
		if err != nil {
			inW.Close()
			return nil, err
		}
		inside = append(inside, w)
		*s.end = w
		go func() {
			defer from.Close()
			defer s.to.close()
			_, _ = io.Copy(s.to, from) // ends with the last process that can write
		}()
	}
	if err := p.cmd.Start(); err != nil {
		inW.Close()
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // what it says is read below
		inW.Close()
		switch ws := p.cmd.ProcessState.Sys().(syscall.WaitStatus); {
		case ws.Signaled():
			p.signal = int(ws.Signal())
		default:
			p.code = ws.ExitStatus()
		}
	}()
	return p, nil
}

// write gives a process input that begins at an offset. What it has already is left out.
func (p *process) write(offset uint64, data []byte, eof bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if offset > p.taken {
		return status.Errorf(codes.InvalidArgument, "input begins at %d, and %d bytes have come", offset, p.taken)
	}
	if skip := p.taken - offset; skip < uint64(len(data)) {
		n, err := p.stdin.Write(data[skip:])
		p.taken += uint64(n)
		if err != nil {
			return status.Error(codes.FailedPrecondition, "the process takes no more input: "+err.Error())
		}
	}
	if !eof {
		return nil
	}
	if err := p.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}
