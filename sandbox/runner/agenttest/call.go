package agenttest

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"openinspect/sandbox/runner/bound"
	"openinspect/sandbox/runner/capture"
	"openinspect/session"
)

// bash runs a command as the real agent does: in a session of its own, killed whole when the turn is stopped.
func (t *turn) bash(ctx context.Context, command string) {
	t.call("bash", command, map[string]string{"command": command}, func(tool *session.Tool) error {
		cmd := exec.CommandContext(ctx, "bash", "-c", command)
		cmd.Dir, cmd.Env = t.config.Dir, t.config.Env()
		bound.Command(cmd, t.config.Processes)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		out, err := capture.New()
		if err != nil {
			return err
		}
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out.File(), out.File()
		err = cmd.Run()
		b, e := out.Bytes()
		if e != nil {
			return e
		}
		tool.Output = string(b)
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
			code := exit.ExitCode()
			tool.Exit = &code
			return nil
		}
		if err == nil {
			tool.Exit = new(int)
		}
		return err
	})
}

// tool calls one of the session's tools through the MCP server that the agent was told of.
func (t *turn) tool(ctx context.Context, name string, arguments map[string]any) {
	t.call("inspect_"+name, name, arguments, func(tool *session.Tool) error {
		if len(t.config.Tools) == 0 {
			return errors.New("there are no tools")
		}
		cmd := exec.Command(t.config.Tools[0], t.config.Tools[1:]...)
		cmd.Dir, cmd.Env = t.config.Dir, t.config.Env()
		client := mcp.NewClient(&mcp.Implementation{Name: "agenttest", Version: "1"}, nil)
		connection, err := client.Connect(ctx, &mcp.CommandTransport{Command: cmd}, nil)
		if err != nil {
			return err
		}
		defer connection.Close()
		answer, err := connection.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: arguments})
		if err != nil {
			return err
		}
		var words strings.Builder
		for _, c := range answer.Content {
			if text, ok := c.(*mcp.TextContent); ok {
				words.WriteString(text.Text)
			}
		}
		if answer.IsError {
			return errors.New(words.String())
		}
		tool.Output = words.String()
		return nil
	})
}
