//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/github/githubtest"
	"openinspect/sandbox/local"
	"openinspect/session/model/modeltest"
)

// world open: there is a public internet from now on, for bots that are started later. world hanging N: waits until N requests hang in it.
func (p *play) cmdWorld(ctx context.Context, _ *testscript.TestScript, args []string) (err error) {
	switch {
	case len(args) == 1 && args[0] == "open":
		dir := filepath.Join(p.dir, "world")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		p.world, err = newWorld(dir)
		return err
	case len(args) == 2 && args[0] == "hanging":
		return eventually(ctx, func() error {
			if n := strconv.Itoa(int(p.world.hanging.Load())); n != args[1] {
				return fmt.Errorf("%s requests hang in the world", n)
			}
			return nil
		})
	}
	return usage("world open, world hanging N")
}

// probe files FILE: commits FILE as probe.sh, and with it what it needs to know: targets.sh, patterns (of everything that no sandbox may have), the
// world's authority.pem and a canary, which has the form of a secret. probe processes N: waits until N processes of the probe live.
func (p *play) cmdProbe(ctx context.Context, ts *testscript.TestScript, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "files":
		service, err := net.Listen("tcp", "0.0.0.0:0") // of this computer, on all its addresses
		if err != nil {
			return err
		}
		ts.Defer(func() { _ = service.Close() })
		_, servicePort, err := net.SplitHostPort(service.Addr().String())
		if err != nil {
			return err
		}
		hostPort := func(address string) string { return strings.TrimPrefix(address, "http://") }
		var targets strings.Builder
		for _, v := range [][2]string{
			{"github", hostPort(p.stage.github.URL())}, {"pages", p.web}, {"model", hostPort(p.stage.model.URL())}, {"slack", strings.Split(hostPort(p.stage.slack.URL()), "/")[0]},
			{"service", "127.0.0.1:" + servicePort}, {"bot", strconv.Itoa(p.bot.cmd.Process.Pid)}, {"data", filepath.Join(p.dir, "data")}, {"mark", p.mark()},
		} {
			fmt.Fprintf(&targets, "%s='%s'\n", v[0], v[1])
		}
		_, err = p.stage.github.Commit(stageRepo, githubtest.Change{Message: "A probe", Files: map[string]string{
			"probe.sh": ts.ReadFile(args[1]), "targets.sh": targets.String(), "patterns": p.patterns(), "authority.pem": string(p.world.authority), "canary": canary + "\n",
		}})
		return err
	case len(args) == 2 && args[0] == "processes":
		return eventually(ctx, func() error {
			if n := strconv.Itoa(living(p.mark())); n != args[1] {
				return fmt.Errorf("%s processes of the probe live", n)
			}
			return nil
		})
	}
	return usage("probe files FILE, probe processes N")
}

// mark is a number in the arguments of the probe's processes, in no others of this computer.
func (p *play) mark() string { return strconv.Itoa(200_000_000 + os.Getpid()) }

const canary = "canary-of-a-script"

// patterns are expressions that match what no sandbox may have, and do not match themselves.
func (p *play) patterns() string {
	secrets := []string{canary, p.stage.slack.BotToken(), p.stage.slack.AppToken(), modeltest.AnthropicKey}
	key := strings.Split(string(p.stage.github.PrivateKeyPEM()), "\n")
	secrets = append(secrets, key[len(key)/2])
	for _, s := range p.settings {
		if v, ok := strings.CutPrefix(s, "INSPECT_MASTER_KEY="); ok {
			secrets = append(secrets, v)
			if raw, err := base64.StdEncoding.DecodeString(v); err == nil && !bytes.ContainsAny(raw, "\n\x00") {
				secrets = append(secrets, string(raw)) // the script's key is text
			}
		}
	}
	for _, t := range p.stage.github.Tokens() {
		if t.Login != "" || t.Permissions["contents"] == "write" {
			secrets = append(secrets, t.Value)
		}
	}
	var b strings.Builder
	for _, s := range secrets { // basic expressions, in which + and / are themselves
		fmt.Fprintf(&b, "[%s]%s\n", s[:1], strings.ReplaceAll(s[1:], ".", `\.`))
	}
	return b.String()
}

// eventually waits until ok has no error.
func eventually(ctx context.Context, ok func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// living counts the processes of this computer that have a word in their arguments.
func living(word string) int {
	n := 0
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is good
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(word)) {
			n++
		}
	}
	return n
}

// missing PROGRAM: says that a program is not there, and that what it would show is not shown; where everything is to be tested that is a failure.
func (p *play) cmdMissing(_ context.Context, ts *testscript.TestScript, args []string) error {
	if os.Getenv("TEST_ALL") == "1" {
		return fmt.Errorf("%v is not installed for everybody, in a directory such as /usr/bin", args)
	}
	fmt.Fprintf(os.Stderr, "%s: not tested with %v, which is not installed for everybody\n", ts.Name(), args)
	return nil
}

// inside knows the conditions [isolated]: sandboxes are shut in, and [inside:PROGRAM]: sandboxes have the program.
func inside(isolation, what string) (bool, error) {
	if what == "isolated" {
		return isolation == string(local.Bubblewrap), nil
	}
	program, ok := strings.CutPrefix(what, "inside:")
	if !ok {
		return false, fmt.Errorf("there is no condition %q", what)
	}
	for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
		if info, err := os.Stat(filepath.Join(dir, program)); err == nil && info.Mode()&0o111 != 0 {
			return true, nil
		}
	}
	return false, nil
}
