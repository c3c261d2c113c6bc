package sandboxtest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/session"
)

// Provider is a sandbox.Provider in this process: a sandbox is a directory and a goroutine with a runner, reached by a unix socket.
// The zero value runs a Script in each; Close ends all of it.
type Provider struct {
	// Runner is the runner of every sandbox. It works until ctx ends.
	Runner func(ctx context.Context, b link.Boot) error

	mu     sync.Mutex
	root   string
	boxes  map[string]*box // by directory
	faults map[string]error
	calls  map[string]int
}

type box struct {
	dir, name, start string
	image            bool
	cancel           context.CancelFunc
	done             chan struct{}
}

var (
	_ sandbox.Provider     = (*Provider)(nil)
	_ sandbox.ImageDeleter = (*Provider)(nil)
	_ sandbox.ImageLister  = (*Provider)(nil)
)

func (b *box) alive() bool {
	if b.done == nil {
		return false
	}
	select {
	case <-b.done:
		return false
	default:
		return true
	}
}

func (b *box) end() {
	if b.done != nil {
		b.cancel()
		<-b.done
	}
}

func (b *box) handle() session.Handle {
	return session.Handle{Provider: "test", Name: b.name, ID: b.dir}
}

// Fail makes a method ("Create", "Find", …) fail with err, until it is called with nil.
func (p *Provider) Fail(method string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.faults == nil {
		p.faults = map[string]error{}
	}
	p.faults[method] = err
}

// Calls returns how often a method was called.
func (p *Provider) Calls(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[method]
}

// Kill ends a sandbox's runner, as when its computer dies.
func (p *Provider) Kill(name string) {
	p.mu.Lock()
	b := p.named(name)
	p.mu.Unlock()
	if b != nil {
		b.end()
	}
}

// KillAll ends every sandbox's runner.
func (p *Provider) KillAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.boxes {
		b.end()
	}
}

// Lose ends every sandbox and deletes its files and all images, as when a disk is gone.
func (p *Provider) Lose() error {
	p.KillAll()
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	for dir := range p.boxes {
		err = errors.Join(err, os.RemoveAll(filepath.Join(p.root, dir)))
	}
	p.boxes = map[string]*box{}
	return err
}

// Dir returns the directory of the sandbox of that name, "" if there is none.
func (p *Provider) Dir(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.named(name); b != nil {
		return filepath.Join(p.root, b.dir)
	}
	return ""
}

// Live returns how many sandboxes have a runner.
func (p *Provider) Live() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, b := range p.boxes {
		if b.alive() {
			n++
		}
	}
	return n
}

// Close ends every sandbox and deletes their files.
func (p *Provider) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.boxes {
		b.end()
	}
	p.boxes = nil
	return os.RemoveAll(p.root)
}

// enter counts a call and returns the error it is to fail with. The lock is held.
func (p *Provider) enter(method string) error {
	if p.calls == nil {
		p.calls = map[string]int{}
	}
	p.calls[method]++
	return p.faults[method]
}

func (p *Provider) named(name string) *box {
	for _, b := range p.boxes {
		if b.name == name {
			return b
		}
	}
	return nil
}

// handled returns the sandbox that h means; nil if it is gone.
func (p *Provider) handled(h session.Handle) *box {
	if b := p.boxes[h.ID]; b != nil && b.name == h.Name {
		return b
	}
	return nil
}

func gone(name string) error {
	return session.Errorf(session.NotFound, "The sandbox %s is gone.", name)
}

// Create implements sandbox.Provider.
func (p *Provider) Create(_ context.Context, s sandbox.Spec) (session.Handle, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter("Create"); err != nil {
		return session.Handle{}, err
	}
	if p.root == "" {
		root, err := os.MkdirTemp("", "sbx")
		if err != nil {
			return session.Handle{}, err
		}
		p.root, p.boxes = root, map[string]*box{}
	}
	b := p.named(s.Name)
	switch {
	case b != nil && b.start == s.Boot.Start && b.alive():
		return b.handle(), nil
	case b != nil:
		b.end()
	case s.Image != "" && s.Boot.Mode == session.BootImage:
		image := p.boxes[s.Image]
		if image == nil || !image.image {
			return session.Handle{}, session.Errorf(session.NotFound, "The image %s does not exist.", s.Image)
		}
		b = &box{dir: s.Name}
		to := filepath.Join(p.root, b.dir)
		if err := errors.Join(os.CopyFS(to, regular{os.DirFS(filepath.Join(p.root, image.dir))}), os.RemoveAll(filepath.Join(to, "run"))); err != nil {
			return session.Handle{}, err
		}
	case s.Image != "":
		b = p.boxes[s.Image]
		if b == nil || !b.image {
			return session.Handle{}, session.Errorf(session.NotFound, "The snapshot %s does not exist.", s.Image)
		}
		if b.alive() {
			return session.Handle{}, session.Errorf(session.Conflict, "The snapshot %s is in use.", s.Image)
		}
	default:
		b = &box{dir: s.Name}
		if s.Boot.Mode == session.BootSnapshot {
			s.Boot.Mode = session.BootFresh
		}
	}
	s.Boot.Dir = filepath.Join(p.root, b.dir)
	s.Boot.Socket = filepath.Join(s.Boot.Dir, "run", "link.sock")
	s.Boot.Agent = "script"
	if err := os.MkdirAll(filepath.Dir(s.Boot.Socket), 0o700); err != nil {
		return session.Handle{}, err
	}
	run := p.Runner
	if run == nil {
		run = new(Script).Run
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.name, b.start, b.cancel, b.done = s.Name, s.Boot.Start, cancel, make(chan struct{})
	p.boxes[b.dir] = b
	go func(done chan struct{}) {
		defer close(done)
		defer cancel()
		_ = run(ctx, s.Boot) // how a runner ends is not the provider's business
	}(b.done)
	return b.handle(), nil
}

// Find implements sandbox.Provider.
func (p *Provider) Find(_ context.Context, name string) (sandbox.Found, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter("Find"); err != nil {
		return sandbox.Found{}, err
	}
	b := p.named(name)
	if b == nil || !b.alive() {
		return sandbox.Found{}, gone(name)
	}
	return sandbox.Found{Handle: b.handle(), Start: b.start}, nil
}

// List implements sandbox.Provider.
func (p *Provider) List(context.Context) ([]session.Handle, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter("List"); err != nil {
		return nil, err
	}
	var list []session.Handle
	for _, b := range p.boxes {
		if b.name != "" {
			list = append(list, b.handle())
		}
	}
	return list, nil
}

// Dial implements sandbox.Provider.
func (p *Provider) Dial(_ context.Context, h session.Handle) (sandbox.Endpoint, error) {
	socket, err := p.socket(h)
	if err != nil {
		return sandbox.Endpoint{}, err
	}
	return endpoint(socket), nil
}

// Snapshot implements sandbox.Provider.
func (p *Provider) Snapshot(_ context.Context, h session.Handle) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter("Snapshot"); err != nil {
		return "", err
	}
	b := p.handled(h)
	if b == nil {
		return "", gone(h.Name)
	}
	b.image = true
	return b.dir, nil
}

// Destroy implements sandbox.Provider.
func (p *Provider) Destroy(_ context.Context, h session.Handle) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter("Destroy"); err != nil {
		return err
	}
	b := p.handled(h)
	if b == nil {
		return nil
	}
	b.end()
	b.name, b.start = "", ""
	if b.image {
		return nil
	}
	delete(p.boxes, b.dir)
	return os.RemoveAll(filepath.Join(p.root, b.dir))
}

// Images implements sandbox.ImageLister.
func (p *Provider) Images(context.Context) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, b := range p.boxes {
		if b.image {
			list = append(list, b.dir)
		}
	}
	return list, nil
}

// DeleteImage implements sandbox.ImageDeleter.
func (p *Provider) DeleteImage(_ context.Context, image string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter("DeleteImage"); err != nil {
		return err
	}
	b := p.boxes[image]
	switch {
	case b == nil || !b.image:
		return nil
	case b.name != "":
		return session.Errorf(session.Conflict, "The snapshot %s is in use.", image)
	}
	delete(p.boxes, image)
	return os.RemoveAll(filepath.Join(p.root, image))
}

// regular is a file system without what cannot be copied: the sockets of a runner that was killed.
type regular struct{ fs.FS }

func (f regular) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(f.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return !e.IsDir() && !e.Type().IsRegular() }), err
}
