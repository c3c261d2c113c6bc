package modal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	sdk "github.com/modal-labs/libmodal/modal-go"

	"openinspect/sandbox"
	"openinspect/session"
)

// providerName is the provider in every Handle of this package.
const providerName = "modal"

// How long Modal may take. The SDK tries most calls again by itself within these.
const (
	callLimit     = 30 * time.Second // of an ordinary call
	createLimit   = time.Minute      // to take a sandbox in; it may not run yet
	scheduleLimit = 5 * time.Minute  // until it runs
	endLimit      = time.Minute

	// Modal's SDK of this version passes on how long a snapshot may take, and its service does not keep to more than about a minute.
	snapshotLimit = 55 * time.Second
)

// maxLifetime is the longest that Modal lets a sandbox live: modal.com/docs/guide/sandbox.
const maxLifetime = 24 * time.Hour

// ErrNoEnvironment is in the chain of an error when Modal does not have the environment that Config names.
var ErrNoEnvironment = errors.New("modal: there is no such environment")

// Config says how Modal is used. TokenID, TokenSecret, App and Agent (or BaseImage) are required.
type Config struct {
	TokenID     string
	TokenSecret string
	Environment string // of the Modal workspace; default: its own default
	ServerURL   string // default: Modal's
	App         string // of this installation alone: what is in it and not known is destroyed

	Agent     Package // the agent in the base image
	BaseImage string  // of a registry, in place of the base image; has git, a POSIX shell with GNU grep, gzip, setsid, and the agent on its PATH as opencode
	AgentPath string  // the agent's executable in a sandbox; default opencode, looked for on PATH
	Runner    string  // path of our own executable for linux/amd64; default: the running one

	CPU       float64       // physical cores to reserve; default 1
	MemoryMiB int           // to reserve; default 2048
	Lifetime  time.Duration // whole seconds; default and at most 24 hours

	Networks []string // the only ones, in CIDR form, that sandboxes may reach; none: all

	// Listen names the address on which a new sandbox's runner listens, inside. Default: ":8420" for each. Only sandboxes that share a network, those of
	// modaltest, need another.
	Listen func() (string, error)
}

// Provider is sandbox.Provider on Modal.
type Provider struct {
	c        Config
	client   *sdk.Client
	building chan struct{} // held by whoever builds the base image, or reads built
	built    string        // its id
	patience time.Duration // of who waits for a sandbox
	runner   runner

	mu        sync.Mutex
	appID     string
	launched  bool                // a runner has been started
	failed    map[string]int      // how often none could be, by the snapshot
	sightings map[string]sighting // by sandbox id
}

// sighting is what was last heard of a sandbox that lived.
type sighting struct {
	at       time.Time
	noRunner bool
}

var (
	_ sandbox.Provider     = (*Provider)(nil)
	_ sandbox.ImageDeleter = (*Provider)(nil)
	_ sandbox.Mortal       = (*Provider)(nil)
)

// New makes a provider. It does no I/O but looking up paths.
func New(c Config) (*Provider, error) {
	const op = "modal.New"
	switch {
	case c.TokenID == "" || c.TokenSecret == "":
		return nil, session.Errorf(session.Invalid, "Modal needs a token: set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET.")
	case c.App == "":
		return nil, session.Errorf(session.Invalid, "sandboxes on Modal need an App of their own")
	case c.Lifetime < 0 || c.Lifetime > maxLifetime || c.Lifetime%time.Second != 0:
		return nil, session.Errorf(session.Invalid, "a sandbox on Modal lives whole seconds, at most 24 hours, and not %s", c.Lifetime)
	}
	if c.BaseImage == "" {
		if _, _, err := layers(c.Agent); err != nil {
			return nil, session.Wrap(op, err)
		}
	}
	c.AgentPath = cmp.Or(c.AgentPath, "opencode")
	c.CPU, c.MemoryMiB, c.Lifetime = cmp.Or(c.CPU, 1), cmp.Or(c.MemoryMiB, 2048), cmp.Or(c.Lifetime, maxLifetime)
	if c.Listen == nil {
		c.Listen = func() (string, error) { return ":8420", nil }
	}
	if c.Runner == "" {
		var err error
		if c.Runner, err = os.Executable(); err != nil {
			return nil, session.Wrap(op, err)
		}
	}
	client, err := connect(c)
	if err != nil {
		return nil, err
	}
	return &Provider{c: c, client: client, building: make(chan struct{}, 1), patience: buildPatience, failed: map[string]int{}, runner: runner{path: c.Runner}, sightings: map[string]sighting{}}, nil
}

// Close lets go of Modal. Sandboxes live on.
func (p *Provider) Close() error {
	p.client.Close()
	return p.runner.close()
}

// app returns this installation's App, which is made at the first call.
func (p *Provider) app(ctx context.Context) (*sdk.App, error) {
	p.mu.Lock()
	id := p.appID
	p.mu.Unlock()
	if id == "" {
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		app, err := p.client.Apps.FromName(ctx, p.c.App, &sdk.AppFromNameParams{CreateIfMissing: true})
		if isNotFound(err) { // not the App, which would have been made: it must not look as if a sandbox or an image were gone
			return nil, &session.Error{Code: session.Internal, Message: msgNoEnvironment, Err: errors.Join(ErrNoEnvironment, err)}
		}
		if err != nil {
			return nil, sessionError(err)
		}
		id = app.AppID
		p.mu.Lock()
		p.appID = id
		p.mu.Unlock()
	}
	return &sdk.App{AppID: id, Name: p.c.App}, nil
}

// forgetApp has the App looked up anew.
func (p *Provider) forgetApp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.appID = ""
}

// noteSeen notes that a sandbox lives, and whether no runner works there. forget is for one that is gone.
func (p *Provider) noteSeen(id string, noRunner bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sightings[id] = sighting{at: time.Now(), noRunner: noRunner}
}

func (p *Provider) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sightings, id)
}

func gone(op string, err error) error {
	return &session.Error{Code: session.NotFound, Op: op, Message: msgGone, Err: err}
}

// alive returns a handle of the SDK's for a sandbox that runs; NotFound for one that does not any more. The caller detaches it.
func (p *Provider) alive(ctx context.Context, id string) (*sdk.Sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	sb, err := p.client.Sandboxes.FromID(ctx, id)
	if err != nil {
		return nil, sessionError(err)
	}
	code, err := sb.Poll(ctx)
	switch {
	case err != nil:
		return nil, sessionError(err)
	case code != nil:
		return nil, gone("modal.alive", fmt.Errorf("it ended with %d", *code))
	}
	return sb, nil
}

// byName returns a handle of the SDK's for the running sandbox of a name. The caller detaches it.
func (p *Provider) byName(ctx context.Context, name string) (*sdk.Sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	sb, err := p.client.Sandboxes.FromName(ctx, p.c.App, name, &sdk.SandboxFromNameParams{Environment: p.c.Environment})
	return sb, sessionError(err)
}

// handle makes our handle of a sandbox. url is where its runner listens; "": Dial has to ask.
func handle(name string, sb *sdk.Sandbox, url string) session.Handle {
	return session.Handle{Provider: providerName, Name: name, ID: sb.SandboxID, Address: url}
}

// detach lets go of a handle of the SDK's. The sandbox lives on.
func detach(sb *sdk.Sandbox) { _ = sb.Detach() } // closing a connection that is not needed any more

// address returns where a sandbox's port is reached, and the port.
func (p *Provider) address(ctx context.Context, sb *sdk.Sandbox) (url string, port int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	tunnels, err := sb.Tunnels(ctx, callLimit-5*time.Second)
	if err != nil {
		return "", 0, sessionError(err)
	}
	for port, t := range tunnels { // there is one
		return t.URL(), port, nil
	}
	return "", 0, session.Errorf(session.Unavailable, "Modal has not opened the way into the sandbox yet.")
}

// Find implements sandbox.Provider.
func (p *Provider) Find(ctx context.Context, name string) (sandbox.Found, error) {
	const op = "modal.Find"
	sb, err := p.byName(ctx, name)
	if err != nil {
		return sandbox.Found{}, session.Wrap(op, err)
	}
	defer detach(sb)
	start, err := p.runningStart(ctx, sb)
	if session.CodeOf(err) == session.NotFound {
		p.noteSeen(sb.SandboxID, true)
	}
	if err != nil {
		return sandbox.Found{}, session.Wrap(op, err)
	}
	url, _, err := p.address(ctx, sb)
	if err != nil {
		return sandbox.Found{}, session.Wrap(op, err)
	}
	p.noteSeen(sb.SandboxID, false)
	return sandbox.Found{Handle: handle(name, sb, url), Start: start}, nil
}

// List implements sandbox.Provider. The handles have no addresses, which would have to be asked for one by one.
func (p *Provider) List(ctx context.Context) ([]session.Handle, error) {
	const op = "modal.List"
	app, err := p.app(ctx)
	if err != nil {
		return nil, session.Wrap(op, err)
	}
	n := names{}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, namesKey{}, n), 4*callLimit)
	defer cancel()
	seq, err := p.client.Sandboxes.List(ctx, &sdk.SandboxListParams{AppID: app.AppID, Environment: p.c.Environment})
	if err != nil {
		return nil, session.Wrap(op, sessionError(err))
	}
	var list []session.Handle
	for sb, err := range seq {
		if err != nil {
			return nil, session.Wrap(op, sessionError(err))
		}
		list = append(list, handle(n[sb.SandboxID], sb, ""))
	}
	return list, nil
}

// sightingLifetime is how long a sighting of a sandbox is believed when it is dialled.
const sightingLifetime = 5 * time.Second

// Dial implements sandbox.Provider. It asks Modal at most every five seconds, and never the sandbox itself: whether a runner works there, Find tells.
func (p *Provider) Dial(ctx context.Context, h session.Handle) (sandbox.Endpoint, error) {
	const op = "modal.Dial"
	if h.Provider != providerName || h.ID == "" {
		return sandbox.Endpoint{}, gone(op, errors.New("not a sandbox on Modal"))
	}
	p.mu.Lock()
	k, ok := p.sightings[h.ID]
	p.mu.Unlock()
	if ok && k.noRunner {
		return sandbox.Endpoint{}, gone(op, errors.New("its runner has ended"))
	}
	if !ok || h.Address == "" || time.Since(k.at) > sightingLifetime {
		sb, err := p.alive(ctx, h.ID)
		if err != nil {
			if session.CodeOf(err) == session.NotFound {
				p.forget(h.ID)
			}
			return sandbox.Endpoint{}, session.Wrap(op, err)
		}
		defer detach(sb)
		if h.Address == "" {
			if h.Address, _, err = p.address(ctx, sb); err != nil {
				return sandbox.Endpoint{}, session.Wrap(op, err)
			}
		}
		p.noteSeen(h.ID, false)
	}
	return sandbox.Endpoint{URL: h.Address + "/link"}, nil
}

// Snapshot implements sandbox.Provider. One that takes longer than Modal gives it fails with Unavailable; the sandbox goes on.
func (p *Provider) Snapshot(ctx context.Context, h session.Handle) (string, error) {
	const op = "modal.Snapshot"
	if h.ID == "" {
		return "", gone(op, nil)
	}
	sb, err := p.alive(ctx, h.ID)
	if err != nil {
		return "", session.Wrap(op, err)
	}
	defer detach(sb)
	ctx, cancel := context.WithTimeout(ctx, snapshotLimit+10*time.Second)
	defer cancel()
	image, err := sb.SnapshotFilesystem(ctx, snapshotLimit)
	if err == nil {
		return image.ImageID, nil
	}
	if _, now := p.alive(ctx, h.ID); session.CodeOf(now) == session.NotFound { // it ended meanwhile
		return "", session.Wrap(op, now)
	}
	err = sessionError(err)
	if session.CodeOf(err) == session.Unavailable {
		err = &session.Error{Code: session.Unavailable, Err: err, Message: "Modal could not keep the sandbox's files in time."}
	}
	return "", session.Wrap(op, err)
}

// DeleteImage implements sandbox.ImageDeleter. Sandboxes that were made of it go on.
func (p *Provider) DeleteImage(ctx context.Context, image string) error {
	if !imageID(image) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	err := p.client.Images.Delete(ctx, image, nil)
	if isNotFound(err) {
		return nil
	}
	return session.Wrap("modal.DeleteImage", sessionError(err))
}

// Lifetime implements sandbox.Mortal.
func (p *Provider) Lifetime() time.Duration { return p.c.Lifetime }

// Destroy implements sandbox.Provider.
func (p *Provider) Destroy(ctx context.Context, h session.Handle) error {
	const op = "modal.Destroy"
	if h.Provider != providerName || h.ID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	sb, err := p.client.Sandboxes.FromID(ctx, h.ID)
	if err == nil {
		defer detach(sb)
		_, err = sb.Terminate(ctx, &sdk.SandboxTerminateParams{Wait: true})
	}
	if err = sessionError(err); err != nil && session.CodeOf(err) != session.NotFound {
		return session.Wrap(op, err)
	}
	p.forget(h.ID)
	return nil
}

// validName reports whether s can name a sandbox: letters, digits, dashes and underscores, fewer than 64.
func validName(s string) bool {
	return s != "" && len(s) < 64 && s[0] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// hostOf returns the host part of an address to listen on, which may be empty.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return host
}
