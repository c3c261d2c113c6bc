package main

import (
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
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

// Bounds of what is written for "no limit". Their products are still times that can be counted in nanoseconds.
const (
	maxSandboxes = 10_000 // at once
	maxTimeout   = 86_400 // seconds, of a script
)

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

// warm returns how many sandboxes may wait for sessions.
func (c *Config) warm() int {
	switch {
	case c.WarmSandboxes != nil:
		return *c.WarmSandboxes
	case c.Sandbox == onModal:
		return 2
	}
	return 1
}

// timeouts returns the limits of the lifecycle scripts.
func (c *Config) timeouts() (setup, start time.Duration) {
	return time.Duration(c.SetupTimeout) * time.Second, time.Duration(c.StartTimeout) * time.Second
}

// hours returns how long all sandboxes together may live in a day; 0 leaves it to the hub.
func (c *Config) hours() time.Duration {
	if c.MaxHours == nil {
		return 0
	}
	return time.Duration(*c.MaxHours) * time.Hour
}

// sandboxSize is what a sandbox on Modal is like; zero values leave it to package modal.
type sandboxSize struct {
	cpu      float64 // physical cores
	memory   int     // MiB
	lifetime time.Duration
	networks []string
}

// Bounds of a sandbox's size. Modal has its own upper ones, which depend on the workspace: what it refuses beyond them the thread is told.
const (
	minCores, maxCores       = 0.125, 64      // the least that Modal gives: modal.com/docs/guide/resources
	minMemory, maxMemory     = 512, 512 << 10 // with less than half a GiB the agent itself is ended
	minLifetime, maxLifetime = 10 * time.Minute, 24 * time.Hour
)

// checkSize reads the settings that are for sandboxes on Modal alone. On this computer they would promise what nobody keeps, so they are refused there.
func (c *Config) checkSize() error {
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"INSPECT_BASE_IMAGE", c.BaseImage != ""}, // not INSPECT_RUNNER: the bot's own image sets that, wherever sandboxes are
		{"INSPECT_SANDBOX_CPU", c.SandboxCPU != ""}, {"INSPECT_SANDBOX_MEMORY", c.SandboxMemory != nil},
		{"INSPECT_SANDBOX_LIFETIME", c.SandboxLifetime != ""}, {"INSPECT_SANDBOX_NETWORKS", len(c.SandboxNetworks) > 0},
	} {
		if s.set && c.Sandbox != onModal {
			return &ConfigError{s.name, "is set, but sandboxes are on this computer, where it means nothing. Leave it out, or use Modal."}
		}
	}
	if c.SandboxCPU != "" {
		n, err := strconv.ParseFloat(c.SandboxCPU, 64)
		if err != nil || !(n >= minCores && n <= maxCores) {
			return &ConfigError{"INSPECT_SANDBOX_CPU", fmt.Sprintf("is %q. Write a number of physical cores from %v to %v, such as 2 or 0.5", c.SandboxCPU, minCores, maxCores)}
		}
		c.size.cpu = n
	}
	if c.SandboxMemory != nil {
		if c.size.memory = *c.SandboxMemory; c.size.memory < minMemory || c.size.memory > maxMemory {
			return &ConfigError{"INSPECT_SANDBOX_MEMORY", fmt.Sprintf("is %d. Write MiB from %d to %d, such as 4096.", c.size.memory, minMemory, maxMemory)}
		}
	}
	if c.SandboxLifetime != "" {
		d, err := time.ParseDuration(c.SandboxLifetime)
		if err != nil || d < minLifetime || d > maxLifetime || d%time.Second != 0 {
			return &ConfigError{"INSPECT_SANDBOX_LIFETIME", fmt.Sprintf("is %q. Write a time from 10m to 24h, such as 8h or 90m", c.SandboxLifetime)}
		}
		if setup, start := c.timeouts(); setup+start > d*3/4 { // the last quarter is for moving to a new one
			return &ConfigError{"INSPECT_SANDBOX_LIFETIME", fmt.Sprintf(
				"is %s, of which the scripts alone may take %.0f s (SETUP_TIMEOUT_SECONDS and START_TIMEOUT_SECONDS). Make it longer, or them shorter.",
				c.SandboxLifetime, (setup + start).Seconds())}
		}
		c.size.lifetime = d
	} else if setup, start := c.timeouts(); c.Sandbox == onModal && setup+start > maxLifetime*3/4 {
		return &ConfigError{"SETUP_TIMEOUT_SECONDS", fmt.Sprintf("and START_TIMEOUT_SECONDS are %.0f s together. A sandbox on Modal lives 24 hours, of which the scripts may take 18: 64800 s.", (setup + start).Seconds())}
	}
	for _, s := range c.SandboxNetworks {
		p, err := cidr(s)
		if err != nil {
			return err
		}
		c.size.networks = append(c.size.networks, p)
	}
	return nil
}

// cidr reads one of the networks that sandboxes may reach.
func cidr(s string) (string, error) {
	const name = "INSPECT_SANDBOX_NETWORKS"
	s = strings.TrimSpace(s)
	p, err := netip.ParsePrefix(s)
	a, single := netip.ParseAddr(s)
	switch {
	case single == nil:
		return "", &ConfigError{name, fmt.Sprintf("has %q, an address without a length. For that address alone write %s", s, netip.PrefixFrom(a, a.BitLen()))}
	case err != nil:
		return "", &ConfigError{name, fmt.Sprintf("has %q, which is no network. Write networks such as 140.82.112.0/20, with commas between them; names are not known there.", s)}
	case p != p.Masked():
		return "", &ConfigError{name, fmt.Sprintf("has %q, whose address is longer than its network. Did you mean %s?", s, p.Masked())}
	case p.Bits() == 0:
		return "", &ConfigError{name, fmt.Sprintf("has %q, which is everything. Leave the setting out for no limit.", s)}
	}
	return p.String(), nil
}
