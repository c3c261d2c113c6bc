package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"openinspect/sandbox"
	"openinspect/session"
)

// Isolation is how a sandbox is shut in.
type Isolation string

const (
	Bubblewrap Isolation = "bwrap" // the default
	None       Isolation = "none"  // not at all
)

// providerName is the provider in every Handle of this package.
const providerName = "local"

// ScriptAgent as Config.Agent is the scripted agent of tests, which is part of the runner.
const ScriptAgent = "script"

// Config says where and how sandboxes run. Dir is required.
type Config struct {
	Dir       string    // holds the sandboxes; this installation's own
	Isolation Isolation // default Bubblewrap
	Runner    string    // path of our own executable; default: the running one
	Agent     string    // path of the agent's executable, or ScriptAgent
	CacheDir  string    // where executables are kept by hash; default: openinspect in the user's cache directory
	Processes int       // that programs of an isolated sandbox may have at once; default 2048
	Network   Network   // the way out of isolated sandboxes; nil: there is none

	Report func(sandbox string, err error) // takes why a way out ended, or a log is not bounded; nil: nobody
}

// Provider is sandbox.Provider on this computer. Its images are directories, which it can list and delete.
type Provider struct {
	dir       string
	isolation Isolation
	runner    string
	agent     string
	cache     string
	busy      chan struct{} // held by whoever changes records or processes
	kept      string        // the runner's copy in the cache, once made
	processes int
	network   Network
	report    func(string, error)
	logs      logs
	lent      map[string]int // images that are being copied; whoever holds busy may look

	mu    sync.Mutex
	doors map[string]*door // by directory
}

var (
	_ sandbox.Provider     = (*Provider)(nil)
	_ sandbox.ImageDeleter = (*Provider)(nil)
	_ sandbox.ImageLister  = (*Provider)(nil)
)

// New makes a provider. It does no I/O but looking up paths.
func New(c Config) (*Provider, error) {
	p := &Provider{isolation: c.Isolation, runner: c.Runner, agent: c.Agent, cache: c.CacheDir, busy: make(chan struct{}, 1),
		processes: cmp.Or(c.Processes, 2048), network: c.Network, report: c.Report, doors: map[string]*door{}, lent: map[string]int{}}
	if p.report == nil {
		p.report = func(string, error) {}
	}
	p.logs.report = p.report
	switch p.isolation {
	case "":
		p.isolation = Bubblewrap
	case Bubblewrap, None:
	default:
		return nil, session.Errorf(session.Invalid, "local isolation is %q; it must be %q or %q", c.Isolation, Bubblewrap, None)
	}
	var err error
	if c.Dir == "" {
		return nil, session.Errorf(session.Invalid, "a local provider needs a directory")
	}
	if p.dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, session.Wrap("local.New", err)
	}
	if p.runner == "" {
		if p.runner, err = os.Executable(); err != nil {
			return nil, session.Wrap("local.New", err)
		}
	}
	if p.cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, session.Wrap("local.New", err)
		}
		p.cache = filepath.Join(base, "openinspect")
	}
	if p.cache, err = filepath.Abs(p.cache); err != nil {
		return nil, session.Wrap("local.New", err)
	}
	return p, nil
}

// lock waits for the right to change things.
func (p *Provider) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case p.busy <- struct{}{}:
		return func() { <-p.busy }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Create implements sandbox.Provider.
func (p *Provider) Create(ctx context.Context, s sandbox.Spec) (session.Handle, error) {
	const op = "local.Create"
	if !validName(s.Name) || s.Boot.Start == "" {
		return session.Handle{}, &session.Error{Code: session.Invalid, Op: op, Message: fmt.Sprintf("a sandbox cannot have the name %q", s.Name)}
	}
	if s.Image != "" && s.Boot.Mode == session.BootImage {
		if err := p.copyOf(ctx, s); err != nil {
			return session.Handle{}, session.Wrap(op, err)
		}
	}
	unlock, err := p.lock(ctx)
	if err != nil {
		return session.Handle{}, session.Wrap(op, err)
	}
	defer unlock()
	r, err := p.place(s)
	if err != nil {
		return session.Handle{}, session.Wrap(op, err)
	}
	if r.Name == s.Name && r.Start == s.Boot.Start && r.alive() {
		return r.handle(), session.Wrap(op, p.open(r))
	}
	if err := p.end(ctx, r); err != nil {
		return session.Handle{}, session.Wrap(op, err)
	}
	r.Name, r.Start, r.Isolation = s.Name, s.Boot.Start, p.isolation
	if err := p.start(ctx, r, s.Boot); err != nil {
		if r.fresh && s.Boot.Mode == session.BootImage {
			err = errors.Join(err, p.remove(r.Dir)) // the copy, which nobody would look for
		}
		return session.Handle{}, session.Wrap(op, err)
	}
	return r.handle(), nil
}

// place finds the directory that a sandbox is to work in, or makes one. Boot's mode becomes fresh if there was nothing to go on with.
func (p *Provider) place(s sandbox.Spec) (*record, error) {
	r, err := p.named(s.Name)
	if err != nil || r != nil {
		return r, err
	}
	if s.Image == "" || s.Boot.Mode == session.BootImage { // that is copied by now
		return &record{Dir: s.Name, fresh: true}, nil
	}
	if !validName(s.Image) {
		return nil, session.Errorf(session.NotFound, "The snapshot %q does not exist.", s.Image)
	}
	r, err = p.read(s.Image)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !r.Image:
		return nil, session.Errorf(session.NotFound, "The snapshot %s does not exist any more.", s.Image)
	case err != nil:
		return nil, err
	case r.Name != "" && r.alive():
		return nil, session.Errorf(session.Conflict, "The snapshot %s is in use by the sandbox %s.", s.Image, r.Name)
	}
	return r, nil
}

// Find implements sandbox.Provider.
func (p *Provider) Find(_ context.Context, name string) (sandbox.Found, error) {
	r, err := p.named(name)
	if err != nil {
		return sandbox.Found{}, session.Wrap("local.Find", err)
	}
	if r == nil || !r.alive() {
		return sandbox.Found{}, &session.Error{Code: session.NotFound, Op: "local.Find", Message: "The sandbox " + name + " does not run any more."}
	}
	return sandbox.Found{Handle: r.handle(), Start: r.Start}, nil
}

// List implements sandbox.Provider.
func (p *Provider) List(context.Context) ([]session.Handle, error) {
	all, err := p.records()
	if err != nil {
		return nil, session.Wrap("local.List", err)
	}
	var list []session.Handle
	for _, r := range all {
		if r.Name != "" {
			list = append(list, r.handle())
		}
	}
	return list, nil
}

// Snapshot implements sandbox.Provider: the directory is kept when the sandbox is destroyed.
func (p *Provider) Snapshot(ctx context.Context, h session.Handle) (string, error) {
	const op = "local.Snapshot"
	unlock, err := p.lock(ctx)
	if err != nil {
		return "", session.Wrap(op, err)
	}
	defer unlock()
	r, err := p.handled(h)
	if err != nil {
		return "", session.Wrap(op, err)
	}
	if r == nil {
		return "", &session.Error{Code: session.NotFound, Op: op, Message: "The sandbox " + h.Name + " is gone."}
	}
	if !r.Image {
		r.Image = true
		if err := p.write(r); err != nil {
			return "", session.Wrap(op, err)
		}
	}
	return r.Dir, nil
}

// Destroy implements sandbox.Provider. The directory stays if a snapshot was made of it.
func (p *Provider) Destroy(ctx context.Context, h session.Handle) error {
	const op = "local.Destroy"
	unlock, err := p.lock(ctx)
	if err != nil {
		return session.Wrap(op, err)
	}
	defer unlock()
	r, err := p.handled(h)
	if err != nil || r == nil {
		return session.Wrap(op, err)
	}
	if err := p.end(ctx, r); err != nil {
		return session.Wrap(op, err)
	}
	if !r.Image {
		return session.Wrap(op, p.remove(r.Dir))
	}
	r.Name, r.Start, r.process = "", "", process{}
	return session.Wrap(op, p.write(r))
}

// Images implements sandbox.ImageLister.
func (p *Provider) Images(context.Context) ([]string, error) {
	all, err := p.records()
	if err != nil {
		return nil, session.Wrap("local.Images", err)
	}
	var list []string
	for _, r := range all {
		if r.Image {
			list = append(list, r.Dir)
		}
	}
	return list, nil
}

// DeleteImage implements sandbox.ImageDeleter.
func (p *Provider) DeleteImage(ctx context.Context, image string) error {
	const op = "local.DeleteImage"
	unlock, err := p.lock(ctx)
	if err != nil {
		return session.Wrap(op, err)
	}
	defer unlock()
	if !validName(image) {
		return nil
	}
	r, err := p.read(image)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !r.Image:
		return nil
	case err != nil:
		return session.Wrap(op, err)
	case r.Name != "":
		return &session.Error{Code: session.Conflict, Op: op, Message: "The snapshot " + image + " is in use by the sandbox " + r.Name + "."}
	case p.lent[image] > 0:
		return &session.Error{Code: session.Conflict, Op: op, Message: "The image " + image + " is being copied."}
	}
	return session.Wrap(op, p.remove(image))
}

// validName reports whether s can name a sandbox: letters, digits, dashes and underscores, at most 64, so that it is a
// file name that means nothing else.
func validName(s string) bool {
	return s != "" && len(s) <= 64 && s[0] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}
