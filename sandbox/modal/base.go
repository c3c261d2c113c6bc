package modal

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	sdk "github.com/modal-labs/libmodal/modal-go"

	"openinspect/sandbox"
	"openinspect/session"
)

//go:embed base.dockerfile
var baseDockerfile string

// Package is the agent as a registry of npm packages has it. Integrity is "sha512-" and base64, as npm view PACKAGE@VERSION dist.integrity says.
type Package struct{ Name, Version, Integrity string }

// buildLimit is how long the base image may take to be built, the first time.
const buildLimit = 30 * time.Minute

// layers are the base image's Dockerfile commands, the first without its FROM, and the image that it begins with.
func layers(agent Package) (from string, all [][]string, err error) {
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(agent.Integrity, "sha512-"))
	if err != nil || len(sum) != 64 {
		return "", nil, session.Errorf(session.Invalid, "The agent's package %s@%s has no SHA-512 hash to check it by.", agent.Name, agent.Version)
	}
	text := strings.NewReplacer("@package@", agent.Name, "@version@", agent.Version, "@sha512@", hex.EncodeToString(sum)).Replace(baseDockerfile)
	for block := range strings.SplitSeq(text, "\n\n") {
		var layer []string
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			switch {
			case line == "" || strings.HasPrefix(line, "#"):
			case len(layer) > 0 && strings.HasSuffix(layer[len(layer)-1], `\`):
				layer[len(layer)-1] = strings.TrimSuffix(layer[len(layer)-1], `\`) + line
			case strings.HasPrefix(line, "FROM ") && from == "":
				from = strings.TrimPrefix(line, "FROM ")
			default:
				layer = append(layer, line)
			}
		}
		if len(layer) > 0 {
			all = append(all, layer)
		}
	}
	return from, all, nil
}

// Basis names what the base image is made of: another name is another image.
func (p *Provider) Basis() string {
	if p.c.BaseImage != "" {
		return p.c.BaseImage
	}
	from, all, err := layers(p.c.Agent)
	if err != nil {
		return from // New has looked at them
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(fmt.Sprint(from, all))))[:16]
}

// buildPatience is how long somebody who waits for a sandbox waits without a word while the base image is being built.
const buildPatience = 10 * time.Second

// base returns the image that sandboxes without one of their own start from. The first call has it built; others wait for that one, or with a limit get
// sandbox.ErrFull after that.
func (p *Provider) base(ctx context.Context, limit time.Duration) (*sdk.Image, error) {
	late := make(<-chan time.Time)
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	select {
	case p.building <- struct{}{}:
		defer func() { <-p.building }()
	case <-late:
		return nil, &session.Error{Code: session.Unavailable, Message: msgBuilding, Err: sandbox.ErrFull}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.built != "" {
		return &sdk.Image{ImageID: p.built}, nil
	}
	app, err := p.app(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	from := p.c.BaseImage
	var all [][]string
	if from == "" {
		if from, all, err = layers(p.c.Agent); err != nil {
			return nil, err
		}
	}
	image := p.client.Images.FromRegistry(from, nil)
	for _, layer := range all {
		image = image.DockerfileCommands(layer, nil)
	}
	if image, err = image.Build(ctx, app); err != nil {
		return nil, notBuilt(err)
	}
	p.built = image.ImageID
	return &sdk.Image{ImageID: p.built}, nil
}

// rebuild makes the next call of base have it built anew, if Modal has lost it.
func (p *Provider) rebuild(ctx context.Context, lost string) error {
	select {
	case p.building <- struct{}{}:
		defer func() { <-p.building }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.built == lost {
		p.built = ""
	}
	return nil
}

// Check asks Modal whether it takes the token, and looks at the program that sandboxes are to run. Forbidden when the token is refused, Invalid when
// the program cannot be used.
func (p *Provider) Check(ctx context.Context) error {
	const op = "modal.Check"
	if _, err := p.runner.hash(); err != nil {
		return session.Wrap(op, err)
	}
	_, err := p.app(ctx)
	return session.Wrap(op, err)
}

// Prepare has the base image built, so that no session waits for that.
func (p *Provider) Prepare(ctx context.Context) error {
	_, err := p.base(ctx, 0)
	return session.Wrap("modal.Prepare", err)
}

// shownLog is how many lines of a failed build are shown.
const shownLog = 20

// notBuilt tells what went wrong in a build.
func notBuilt(err error) error {
	remote, ok := errors.AsType[sdk.RemoteError](err)
	if !ok {
		return sessionError(err)
	}
	lines := strings.Split(strings.TrimSpace(remote.Exception), "\n")
	return &session.Error{Code: session.Internal, Err: fmt.Errorf("modal: %s", strings.Join(lines[max(0, len(lines)-shownLog):], "\n")),
		Message: "Modal could not build the image that sandboxes start from; the operator's log has the build's last lines. Please send your message again once that is mended."}
}
