package modaltest

import (
	"context"
	"io"
	"os"
	"sync"
)

// Program is what Config.Run is asked to be.
type Program struct {
	Sandbox string // the name
	Args    []string
	Stdin   io.Reader
	Stdout  io.Writer
}

// home is where a sandbox's programs run: a room of its own, or this process.
type home interface {
	start(argv []string, dir string, env []string, quietOut, quietErr bool) (*process, error)
	close()
}

// light is a home without processes: its programs are calls of a function. They do not listen to what the double does not pass on: directories and environments.
type light struct {
	name   string
	run    func(context.Context, Program) int
	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup
}

func openLight(b *sandbox, run func(context.Context, Program) int) (*light, error) {
	l := &light{name: b.name, run: run}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l, os.MkdirAll(b.root, 0o700) // what a snapshot copies
}

func (l *light) start(argv []string, _ string, _ []string, _, _ bool) (*process, error) {
	in, inW := io.Pipe()
	ctx, cancel := context.WithCancel(l.ctx)
	p := &process{kill: cancel, done: make(chan struct{}), stdin: inW}
	p.err.close()
	l.all.Go(func() {
		defer cancel()
		p.code = l.run(ctx, Program{Sandbox: l.name, Args: argv, Stdin: in, Stdout: &p.out})
		p.out.close()
		in.Close() // never fails
		close(p.done)
	})
	return p, nil
}

func (l *light) close() {
	l.cancel()
	l.all.Wait()
}
