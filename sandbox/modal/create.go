package modal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	sdk "github.com/modal-labs/libmodal/modal-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/session"
)

// insideDir is the runner's directory in a sandbox.
const insideDir = "/sandbox"

// idle is a sandbox's own command. It takes care of orphans, as a first process has to.
var idle = []string{"sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait; done"}

// Create implements sandbox.Provider.
func (p *Provider) Create(ctx context.Context, s sandbox.Spec) (session.Handle, error) {
	const op = "modal.Create"
	if !validName(s.Name) || !validName(s.Boot.Start) {
		return session.Handle{}, &session.Error{Code: session.Invalid, Op: op, Message: fmt.Sprintf("a sandbox cannot have the name %q and the start %q", s.Name, s.Boot.Start)}
	}
	if !imageID(s.Image) {
		return session.Handle{}, session.Wrap(op, noSnapshot(s.Image, nil))
	}
	listen, err := p.c.Listen()
	if err != nil {
		return session.Handle{}, session.Wrap(op, err)
	}
	sb, made, err := p.createOrFind(ctx, s, listen)
	if err != nil {
		return session.Handle{}, session.Wrap(op, err)
	}
	defer detach(sb)
	h, err := p.start(ctx, sb, s, listen, made)
	if p.endedMeanwhile(ctx, sb.SandboxID, err) { // what it was made of is there
		err = &session.Error{Code: session.Unavailable, Message: "The sandbox ended while it was being started.", Err: err}
	}
	if errors.Is(err, errRunner) && s.Image != "" && s.Boot.Mode == session.BootSnapshot && p.unfit(s.Image) {
		err = &session.Error{Code: session.NotFound, Message: "No runner starts from the snapshot " + s.Image + " any more.", Err: err}
	}
	if err != nil && ctx.Err() == nil && (made || s.Boot.Mode != session.BootSnapshot) {
		// Nobody would know of it, and it costs. One that was there before may have files that nothing else has. If it cannot be ended, the next Create finds it
		// by its name, or a sweep does.
		err = errors.Join(err, p.Destroy(ctx, handle(s.Name, sb, "")))
	}
	return h, session.Wrap(op, err)
}

// endedMeanwhile reports whether err, of something that was done in a sandbox, comes of that it has ended.
func (p *Provider) endedMeanwhile(ctx context.Context, id string, err error) bool {
	switch session.CodeOf(err) {
	case session.NotFound:
		return true
	case session.Internal, session.Conflict: // Modal has several words for it
		sb, err := p.alive(ctx, id)
		if err == nil {
			detach(sb)
		}
		return session.CodeOf(err) == session.NotFound
	case "", session.Unavailable, session.Invalid, session.Forbidden:
	}
	return false
}

// start starts the runner s.Boot.Start in a sandbox, unless it works there already. made: nothing has worked there yet.
func (p *Provider) start(ctx context.Context, sb *sdk.Sandbox, s sandbox.Spec, listen string, made bool) (session.Handle, error) {
	url, port, err := p.address(ctx, sb)
	if err != nil {
		return session.Handle{}, err
	}
	boot := s.Boot
	boot.Dir, boot.Socket, boot.Proxy, boot.Agent = insideDir, "", "", p.c.AgentPath
	boot.Listen = net.JoinHostPort(hostOf(listen), strconv.Itoa(port))
	boot.Alone, boot.Processes, boot.Bounded = false, 0, false // process 1 is not bubblewrap's
	how := launchAlways
	if boot.Mode == session.BootSnapshot && s.Image == "" { // the files that are there are asked for
		if how = launchWithFiles; made {
			how, boot.Mode = launchAlways, session.BootFresh
		}
	}
	err = p.launch(ctx, sb, boot, how)
	if errors.Is(err, errNoFiles) {
		boot.Mode = session.BootFresh
		err = p.launch(ctx, sb, boot, launchAlways)
	}
	if err != nil {
		return session.Handle{}, err
	}
	p.noteSeen(sb.SandboxID, false)
	p.mu.Lock()
	p.launched = true
	delete(p.failed, s.Image)
	p.mu.Unlock()
	return handle(s.Name, sb, url), nil
}

// errRunner is in the chain of an error when a sandbox is there and the runner does not start in it.
var errRunner = errors.New("the runner did not start")

// maxUnfit is how often a runner may fail to start from a snapshot, where it starts from other images, before that is taken to be the snapshot's fault: an
// agent can break what its runner needs, and its session would never start again.
const maxUnfit = 2

// unfit notes that a runner did not start from a snapshot, and reports whether nothing is to be expected of it any more.
func (p *Provider) unfit(image string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed[image]++
	if !p.launched || p.failed[image] < maxUnfit {
		return false
	}
	delete(p.failed, image) // its session lets go of it
	return true
}

// maxCreateTries is how often a sandbox is tried to be made whose name, image or App turn out to be others than was thought: what has the name may be
// about to end, or to begin. The pause between two tries is twice the one before.
const (
	maxCreateTries = 6
	createPause    = 50 * time.Millisecond
)

// createOrFind makes the sandbox s.Name, or finds the one that has the name. The caller detaches the handle.
func (p *Provider) createOrFind(ctx context.Context, s sandbox.Spec, listen string) (sb *sdk.Sandbox, made bool, err error) {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, false, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, false, err
	}
	for try := range maxCreateTries {
		if try > 0 && pause(ctx, createPause<<try) != nil {
			break
		}
		var image *sdk.Image
		if sb, image, err = p.create(ctx, s, n); err == nil {
			return sb, true, nil
		}
		switch code := session.CodeOf(err); {
		case code == session.Conflict: // the name is taken
		case code == session.NotFound && image != nil: // the image or the App is gone; the sandbox may be there all the same
			p.forgetApp()
			if s.Image == "" {
				if err := p.rebuild(ctx, image.ImageID); err != nil {
					return nil, false, err
				}
			}
		default:
			return nil, false, err
		}
		sb, found := p.byName(ctx, s.Name)
		switch {
		case found == nil:
			return sb, false, nil
		case session.CodeOf(found) != session.NotFound:
			return nil, false, found
		case s.Image != "" && session.CodeOf(err) == session.NotFound:
			if err := p.exists(ctx, s.Image); err != nil {
				return nil, false, err
			}
		}
	}
	return nil, false, &session.Error{Code: session.Unavailable, Message: msgNoAnswer, Err: err}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// create makes the sandbox s.Name from its image, which it returns too unless that could not be had.
func (p *Provider) create(ctx context.Context, s sandbox.Spec, port int) (*sdk.Sandbox, *sdk.Image, error) {
	app, err := p.app(ctx)
	if err != nil {
		return nil, nil, err
	}
	image := &sdk.Image{ImageID: s.Image}
	if s.Image == "" {
		limit := p.patience
		if s.Boot.Mode == session.BootBuild || s.Boot.Warm { // nobody waits for those
			limit = 0
		}
		if image, err = p.base(ctx, limit); err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, createLimit)
	defer cancel()
	sb, err := p.client.Sandboxes.Create(ctx, app, image, &sdk.SandboxCreateParams{
		Name: s.Name, Command: idle, Workdir: "/root", EncryptedPorts: []int{port},
		CPU: p.c.CPU, MemoryMiB: p.c.MemoryMiB, Timeout: p.c.Lifetime, CIDRAllowlist: p.c.Networks,
	})
	if status.Code(err) == codes.ResourceExhausted {
		err = &session.Error{Code: session.Unavailable, Message: msgNoRoom, Err: fmt.Errorf("%w: %w", sandbox.ErrFull, err)}
	}
	return sb, image, sessionError(err)
}

// exists returns NotFound for an image that does not exist.
func (p *Provider) exists(ctx context.Context, image string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err := p.client.Images.FromID(ctx, image)
	if isNotFound(err) {
		return noSnapshot(image, err)
	}
	return sessionError(err)
}

func noSnapshot(image string, err error) error {
	return &session.Error{Code: session.NotFound, Message: "The snapshot " + image + " does not exist any more.", Err: err}
}

// imageID reports whether Modal can have made an image. A session may have one of another provider, from before Modal was used: Modal's answer to that need
// not be that there is none.
func imageID(id string) bool { return id == "" || strings.HasPrefix(id, "im-") }

// What launch asks for beside a start.
const (
	launchAlways    = ""
	launchWithFiles = "restore" // errNoFiles if no runner has worked there yet
)

var errNoFiles = errors.New("no runner has worked in this sandbox")

// launch starts a runner, in place of any other. The program is sent first where it is not there yet.
func (p *Provider) launch(ctx context.Context, sb *sdk.Sandbox, boot link.Boot, how string) error {
	order, err := json.Marshal(boot)
	if err != nil {
		return err
	}
	hash, err := p.runner.hash()
	if err != nil {
		return err
	}
	for sent := false; ; sent = true {
		out, code, err := p.run(ctx, sb, launchLimit, launchScript, bytes.NewReader(order), boot.Dir, runnerPath(hash), boot.Start, how)
		switch {
		case err != nil:
			return err
		case code == exitDone:
			return nil
		case code == exitNoFiles:
			return errNoFiles
		case code == exitNoProgram && !sent:
			if err := p.push(ctx, sb, hash); err != nil {
				return err
			}
			continue
		}
		return &session.Error{Code: session.Internal, Op: "modal.launch", Message: "The sandbox's runner did not start; the operator's log says why. Please send your message again.",
			Err: fmt.Errorf("%w: %w", errRunner, scriptError(code, out))}
	}
}
