//go:build linux

package main

import (
	"context"
	"os"
	"sync/atomic"

	"openinspect/sandbox/local"
	"openinspect/sandbox/runner"
	"openinspect/sandbox/runner/agenttest"
	"openinspect/sandbox/runner/modelport"
	"openinspect/sandbox/runner/opencode"
	"openinspect/session"
)

// runnerCommand is what this program does inside a sandbox.
type runnerCommand struct {
	Run           runnerRun           `cmd:"" default:"1"`
	MCP           runnerMCP           `cmd:"" name:"mcp"`
	GitCredential runnerGitCredential `cmd:"" name:"git-credential"`
}

type runnerRun struct{}

func (runnerRun) Run(ctx context.Context) error {
	boot, err := runner.ReadBoot(os.Stdin)
	if err != nil {
		return err
	}
	var port atomic.Pointer[modelport.Port]
	var agent runner.Agent = opencode.New(opencode.Config{Binary: boot.Agent})
	if boot.Agent == local.ScriptAgent {
		agent = &agenttest.Agent{}
	}
	return runner.Run(ctx, runner.Config{
		Boot: boot, Agent: agent,
		Models: func(ctx context.Context, bot *runner.Bot) (url, token string, err error) {
			p := modelport.New(bot, session.SystemClock{})
			port.Store(p)
			url, err = p.Serve(ctx)
			return url, p.Token(), err
		},
		InFlight: func() int {
			if p := port.Load(); p != nil {
				return p.InFlight()
			}
			return 0
		},
		Reap: true,
	})
}

type runnerMCP struct {
	Socket string `required:""`
}

func (c *runnerMCP) Run(ctx context.Context) error {
	return runner.MCP(ctx, c.Socket, os.Stdin, os.Stdout)
}

type runnerGitCredential struct {
	Socket    string `required:""`
	Operation string `arg:""`
}

func (c *runnerGitCredential) Run(ctx context.Context) error {
	return runner.GitCredential(ctx, c.Socket, c.Operation, os.Stdin, os.Stdout)
}
