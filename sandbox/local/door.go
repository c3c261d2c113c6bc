package local

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"

	"openinspect/sandbox/link"
)

// Network is the way out for sandboxes that have a network of their own.
type Network interface {
	// Serve serves what one sandbox asks of the world, the connections that come to ln, until ctx ends; then it closes ln and them, and returns.
	Serve(ctx context.Context, sandbox string, ln net.Listener) error
}

// Where a sandbox finds its door: a directory that the agent can see and not write to, so that nothing but the bot's socket is ever there.
const (
	doorSuffix = ".net" // of the directory beside the sandbox's own
	doorFile   = "proxy.sock"
	insideDoor = "/run/openinspect"
)

// door is a sandbox's way out: a socket, and who serves it.
type door struct {
	shut   context.CancelFunc
	closed chan struct{}
}

// Open opens the doors of all sandboxes that live, bounds their logs, and removes what was half made. A bot calls it when it starts: theirs went with
// the one before.
func (p *Provider) Open() error {
	all, err := p.records()
	err = errors.Join(err, p.clear())
	for _, r := range all {
		if r.alive() {
			p.bound(r)
			err = errors.Join(err, p.open(r))
		}
	}
	return err
}

// Close shuts all doors and lets the logs be. Sandboxes live on without.
func (p *Provider) Close() {
	p.logs.close()
	p.mu.Lock()
	var dirs []string
	for dir := range p.doors {
		dirs = append(dirs, dir)
	}
	p.mu.Unlock()
	for _, dir := range dirs {
		p.shut(dir)
	}
}

// open opens a sandbox's door, if it is not open.
func (p *Provider) open(r *record) error {
	if p.network == nil || r.Isolation != Bubblewrap {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doors[r.Dir] != nil {
		return nil
	}
	dir := p.path(r.Dir) + doorSuffix
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ln, err := link.ListenUnix(filepath.Join(dir, doorFile))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &door{shut: cancel, closed: make(chan struct{})}
	p.doors[r.Dir] = d
	name := r.Name
	go func() {
		defer close(d.closed)
		err := p.network.Serve(ctx, name, ln)
		_ = ln.Close() // as a rule it is
		if err == nil {
			return
		}
		p.report(name, err)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.doors[r.Dir] == d {
			delete(p.doors, r.Dir) // the next Dial opens another
		}
	}()
	return nil
}

// shut shuts a sandbox's door and returns when no connection through it is left.
func (p *Provider) shut(dir string) {
	p.mu.Lock()
	d := p.doors[dir]
	delete(p.doors, dir)
	p.mu.Unlock()
	if d != nil {
		d.shut()
		<-d.closed
	}
}
