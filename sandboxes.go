package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// Where agents work.
const (
	onModal = "modal"
	onLocal = "local"
)

// checkSandbox decides where agents work: on Modal if there is a token for it, unless something else is said.
func (c *Config) checkSandbox() error {
	id, secret := c.Secrets.ModalTokenID, c.Secrets.ModalTokenSecret
	const howTo = "Make a token on https://modal.com/settings/tokens, and set MODAL_TOKEN_ID (ak-…) and MODAL_TOKEN_SECRET (as-…)."
	if c.Sandbox == "" {
		if c.Sandbox = onLocal; id != "" || secret != "" {
			c.Sandbox = onModal
		}
	}
	switch {
	case c.Sandbox == onLocal:
		return nil
	case c.Sandbox != onModal:
		return &ConfigError{"INSPECT_SANDBOX", fmt.Sprintf("is %q. Use modal or local.", c.Sandbox)}
	case id == "":
		return &ConfigError{"MODAL_TOKEN_ID", "is not set, and sandboxes are to be on Modal. " + howTo}
	case secret == "":
		return &ConfigError{"MODAL_TOKEN_SECRET", "is not set, and sandboxes are to be on Modal. " + howTo}
	case !strings.HasPrefix(id, "ak-"):
		return &ConfigError{"MODAL_TOKEN_ID", "does not begin with ak-. " + howTo}
	case !strings.HasPrefix(secret, "as-"):
		return &ConfigError{"MODAL_TOKEN_SECRET", "does not begin with as-. " + howTo}
	}
	return nil
}

// room returns how many sandboxes may live at once.
func (c *Config) room() int {
	if c.MaxSandboxes != nil {
		return *c.MaxSandboxes
	}
	if c.Sandbox == onModal {
		return 20
	}
	return runtime.NumCPU()
}

// timeouts returns the limits of the lifecycle scripts.
func (c *Config) timeouts() (setup, start time.Duration) {
	return time.Duration(c.SetupTimeout) * time.Second, time.Duration(c.StartTimeout) * time.Second
}
