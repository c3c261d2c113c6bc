//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// botProcess is a bot that runs as a process of its own.
type botProcess struct {
	cmd     *exec.Cmd
	done    chan struct{}
	err     error // of Wait, once done is closed
	step    *os.File
	answers *bufio.Scanner
}

// startBot runs "openinspect serve" with an environment of its own; what it logs goes to bot.log in dir.
func startBot(dir string, env map[string]string) (*botProcess, error) {
	program, err := exec.LookPath("openinspect") // the test binary, under the program's name
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "bot.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	stepIn, step, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stepIn.Close()
	answers, answersOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer answersOut.Close()
	b := &botProcess{cmd: exec.Command(program, "serve"), done: make(chan struct{}), step: step, answers: bufio.NewScanner(answers)}
	b.cmd.Dir, b.cmd.Stdout, b.cmd.Stderr = dir, log, log
	b.cmd.ExtraFiles = []*os.File{stepIn, answersOut}
	for k, v := range env {
		b.cmd.Env = append(b.cmd.Env, k+"="+v)
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		b.err = b.cmd.Wait()
		close(b.done)
	}()
	return b, nil
}

// second runs another bot with the same environment, which has to end by itself with status 1, and returns what it said.
func (b *botProcess) second(ctx context.Context) (string, error) {
	stepIn, step, err := os.Pipe() // a clock that stands still: without one it would take its test for dead
	if err != nil {
		return "", err
	}
	defer step.Close()
	defer stepIn.Close()
	cmd := exec.CommandContext(ctx, b.cmd.Path, "serve")
	cmd.Dir, cmd.Env, cmd.ExtraFiles = b.cmd.Dir, b.cmd.Env, []*os.File{stepIn}
	said, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 {
		return string(said), fmt.Errorf("the second bot ended with %v: %s", err, said)
	}
	return string(said), nil
}

func (b *botProcess) ended() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// killed reports whether the bot has ended, and not of its own will.
func (b *botProcess) killed() bool {
	return b.ended() && b.cmd.ProcessState.String() == "signal: killed"
}

// stop asks the bot to stop and waits for its exit status 0.
func (b *botProcess) stop(ctx context.Context) error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-b.done:
		if b.err != nil {
			return fmt.Errorf("the bot did not stop in good order: %w", b.err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dump has a bot that does not do what it should log where its goroutines are, and ends it.
func (b *botProcess) dump() {
	_ = b.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended
	<-b.done
}

func (b *botProcess) kill() {
	_ = b.cmd.Process.Kill() // it may have ended
	<-b.done
}

// advance steps the bot's clock and returns when every timer that was due has fired.
func (b *botProcess) advance(by string) error {
	if _, err := fmt.Fprintln(b.step, by); err != nil {
		return err
	}
	if !b.answers.Scan() {
		return errors.Join(errors.New("the bot's clock does not answer"), b.answers.Err())
	}
	return nil
}
