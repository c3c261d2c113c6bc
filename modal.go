//go:build linux

package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/local"
	"openinspect/sandbox/modal"
	"openinspect/sandbox/runner/opencode"
	"openinspect/session"
)

// modalProvider makes the provider of sandboxes on Modal. A token that Modal refuses is the operator's to mend; a Modal that does not answer may do so later.
func (a *App) modalProvider(ctx context.Context) (sandbox.Provider, error) {
	app, err := modalApp(a.c.Secrets.MasterKey)
	if err != nil {
		return nil, err
	}
	c := modal.Config{
		TokenID: a.c.Secrets.ModalTokenID, TokenSecret: a.c.Secrets.ModalTokenSecret, Environment: a.c.ModalEnv, ServerURL: a.c.ModalURL, App: app,
		BaseImage: a.c.BaseImage, Runner: a.c.Runner, Listen: a.o.Listen,
		CPU: a.c.size.cpu, MemoryMiB: a.c.size.memory, Lifetime: a.c.size.lifetime, Networks: a.c.size.networks,
	}
	c.Agent.Name, c.Agent.Version, c.Agent.Integrity = opencode.Pinned()
	if a.o.Agent == local.ScriptAgent {
		c.AgentPath = local.ScriptAgent
	}
	if a.modal, err = modal.New(c); err != nil {
		return nil, err
	}
	a.log.Info("sandboxes are on Modal", "app", app, "environment", a.c.ModalEnv)
	err = a.modal.Check(ctx)
	if errors.Is(err, modal.ErrNoEnvironment) {
		return nil, &ConfigError{"MODAL_ENVIRONMENT", environmentProblem(a.c.ModalEnv)}
	}
	switch session.CodeOf(err) {
	case "":
	case session.Forbidden:
		return nil, &ConfigError{"MODAL_TOKEN_ID", "is refused by Modal, with MODAL_TOKEN_SECRET. Make a token on https://modal.com/settings/tokens, in the workspace that is to pay, and set both."}
	case session.Invalid:
		problem := "is needed: "
		if a.c.Runner != "" {
			problem = "cannot be used: "
		}
		return nil, &ConfigError{"INSPECT_RUNNER", problem + session.Sentence(err)}
	case session.NotFound, session.Conflict, session.Unavailable, session.Internal:
		a.log.Warn("sandboxes cannot be started on Modal right now; each session tries again", "error", err)
	}
	return a.modal, nil
}

func environmentProblem(name string) string {
	if name == "" {
		return "is not set, and the workspace of the Modal token has no environment of its own to begin with. Set it to one that modal environment list shows."
	}
	return fmt.Sprintf("is %q, which the workspace of the Modal token does not have. Set it to one that modal environment list shows, or leave it out for the workspace's own default.", name)
}

// basis names what repositories' images are made with, and upon: with another one they are made anew.
func (a *App) basis() string {
	if a.modal != nil {
		return version() + " " + a.modal.Basis()
	}
	return version()
}

// prepareBase has Modal build the image that sandboxes start from, which takes some minutes the first time.
func (a *App) prepareBase(ctx context.Context) {
	if a.modal == nil {
		return
	}
	a.background.Go(func() {
		began := a.o.Clock.Now()
		switch err := a.modal.Prepare(ctx); {
		case err == nil:
			a.log.Info("the image that sandboxes start from is there", "took", a.o.Clock.Now().Sub(began).Round(time.Millisecond).String())
		case ctx.Err() == nil:
			a.log.Warn("the image that sandboxes start from is not built; the next session tries again", "error", err)
		}
	})
}

// modalApp is the name of this installation's App on Modal. It comes of the master key, so that two installations in one workspace do not take each
// other's sandboxes for forgotten ones, and one that was restored finds its own.
func modalApp(masterKey []byte) (string, error) {
	b, err := hkdf.Key(sha256.New, masterKey, nil, "modal app", 10)
	return "openinspect-" + strings.ToLower(base32.StdEncoding.EncodeToString(b)), err
}
