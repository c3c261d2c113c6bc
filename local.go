//go:build linux

package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"path/filepath"

	"openinspect/sandbox"
	"openinspect/sandbox/local"
	"openinspect/sandbox/proxy"
	"openinspect/sandbox/runner/opencode"
	"openinspect/session"
)

// localProvider makes the provider of sandboxes on this computer.
func (a *App) localProvider(ctx context.Context) (sandbox.Provider, error) {
	if err := local.Hide(); err != nil {
		a.log.Warn("the bot's memory stays readable to processes of the same user", "error", err)
	}
	agent := a.o.Agent
	if agent == "" {
		var err error
		if agent, err = opencode.Find(ctx, a.c.OpenCode, a.o.Progress); err != nil {
			return nil, err
		}
	}
	network, err := a.localNetwork()
	if err != nil {
		return nil, err
	}
	a.local, err = local.New(local.Config{
		Dir: filepath.Join(a.c.DataDir, "sandboxes"), Isolation: local.Isolation(a.c.Isolation), Agent: agent, Network: network,
		Report: func(sandbox string, err error) { a.log.Warn("a sandbox's way out", "sandbox", sandbox, "error", err) },
	})
	if err != nil {
		return nil, err
	}
	if err := a.local.Available(ctx); err != nil {
		return nil, err
	}
	if err := a.local.Open(); err != nil {
		a.log.Warn("some sandboxes that run have no way out to the network", "error", err)
	}
	return a.local, nil
}

// localNetwork is what sandboxes may reach: the public world, and GitHub wherever it is.
func (a *App) localNetwork() (*proxy.Proxy, error) {
	u, err := url.Parse(a.c.GitHubURL)
	if err != nil {
		return nil, &ConfigError{"GITHUB_URL", "is not a URL."}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	c := proxy.Config{
		Except:   []string{net.JoinHostPort(u.Hostname(), port)},
		Upstream: http.ProxyFromEnvironment, // where the bot itself gets out only so
		Refused: func(sandbox, target string, why error) {
			a.log.Warn("refused to a sandbox", "sandbox", sandbox, "target", target, "why", session.Sentence(why))
		},
	}
	if a.o.World != nil {
		a.o.World(&c)
	}
	return proxy.New(c)
}
