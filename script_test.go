//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
	"openinspect/sandbox/local"
	"openinspect/sandbox/modaltest"
	"openinspect/sandbox/runner/opencode"
	"openinspect/session"
	"openinspect/session/model/modeltest"
)

// waitLimit bounds every wait of a script. Nothing waits that long unless it fails: the real agent can take a minute on a machine that is busy.
const waitLimit = 2 * time.Minute

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"openinspect": func() {
		tune = tuneFromEnvironment
		os.Exit(command(os.Args[1:]))
	}})
}

// isolation is what scripts run with: bubblewrap where it works.
func isolation(t *testing.T) string {
	t.Helper()
	p, err := local.New(local.Config{Dir: t.TempDir(), Agent: local.ScriptAgent})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Available(t.Context()); err != nil {
		if os.Getenv("TEST_ALL") == "1" {
			t.Fatal(err)
		}
		t.Logf("scripts run without isolation: %v", err)
		return string(local.None)
	}
	return string(local.Bubblewrap)
}

// TestScripts plays testdata/script: each file is a conversation with the product, from Slack to the pull request. The bot is a process of its
// own; Slack, GitHub and the model are the stage's.
func TestScripts(t *testing.T) {
	t.Parallel()
	agent, err := opencode.Find(t.Context(), os.Getenv("INSPECT_OPENCODE"), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	box := isolation(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			s, err := newStage(nil, func(c *slacktest.Config, _ *githubtest.Config) { c.TriggerLife = waitLimit }) // forms open late on a busy machine
			if err != nil {
				return err
			}
			p := &play{stage: s, dir: e.WorkDir, agent: agent, cache: cache, isolation: box}
			e.Values[playKey{}] = p
			e.Defer(func() {
				if err := errors.Join(p.end(), p.unmount()); err != nil {
					t.Errorf("sandboxes were left: %v", err)
				}
				s.close()
				if p.world != nil {
					p.world.close()
				}
			})
			return nil
		},
		Condition: func(what string) (bool, error) {
			switch what {
			case "smalldisk":
				return canMount(t), nil
			case "modal":
				return canModal(t), nil
			}
			return inside(box, what)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"bot": verb((*play).cmdBot), "restart": verb((*play).cmdRestart), "crash": verb((*play).cmdCrash), "clock": verb((*play).cmdClock),
			"slack": verb((*play).cmdSlack), "view": verb((*play).cmdView), "thread": verb((*play).cmdThread), "private": verb((*play).cmdPrivate), "link": verb((*play).cmdLink),
			"github": verb((*play).cmdGitHub), "crowd": verb((*play).cmdCrowd), "model": verb((*play).cmdModel), "release": verb((*play).cmdRelease), "page": verb((*play).cmdPage), "disk": verb((*play).cmdDisk),
			"sandbox": verb((*play).cmdSandbox), "operator": verb((*play).cmdOperator), "ended": verb((*play).cmdEnded),
			"world": verb((*play).cmdWorld), "probe": verb((*play).cmdProbe), "missing": verb((*play).cmdMissing), "modal": verb((*play).cmdModal), "image": verb((*play).cmdImage),
			"secret": verb((*play).cmdSecret), "forgotten": verb((*play).cmdForgotten),
		},
	})
}

type playKey struct{}

// verb makes a script's command of a method. Its error fails the script, with what the thread and the bot's log say.
func verb(f func(p *play, ctx context.Context, ts *testscript.TestScript, args []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		p := ts.Value(playKey{}).(*play)
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		err := f(p, ctx, ts, args)
		switch {
		case neg && err == nil:
			ts.Fatalf("this should have failed")
		case !neg && err != nil:
			ts.Fatalf("%v\n--- thread\n%s--- bot\n%s--- boots that failed\n%s", err, p.stage.slack.Render(p.channel, p.thread), p.logTail(), p.failedBoots(ctx))
		}
	}
}

// play is a script being played.
type play struct {
	stage     *stage
	dir       string
	agent     string
	cache     string
	isolation string
	web       string            // address of the log pages
	world     *world            // the public internet; nil: this computer's
	modal     *modaltest.Server // where sandboxes are; nil: on this computer
	wire      wire              // what went to Modal and back
	vault     string            // file with the repositories' secrets; empty: there are none
	disk      string            // a small one, for that

	channel, thread string // the newest conversation
	threads         map[string][2]string
	bot             *botProcess
	began           time.Time     // on a quick clock
	settings        []string      // of bot, kept for restart
	mounted         bool          // the data directory is a small disk
	crowd           []string      // of the verb crowd
	dying           chan struct{} // closed when the bot was killed by the verb github kill
}

func (p *play) logTail() string {
	b, err := os.ReadFile(filepath.Join(p.dir, "bot.log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n") + "\n"
}

// failedBoots returns what the sessions' logs say of boots that failed, git's own words too: the thread has only a sentence.
func (p *play) failedBoots(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	client, ok := dialControl(filepath.Join(p.dir, "data"))
	if !ok {
		return "the bot does not run\n"
	}
	said := &strings.Builder{}
	sessions, err := remote{client}.List(ctx, maxListed)
	for _, s := range sessions {
		events, e := remote{client}.Events(ctx, s.ID, 0, eventPage)
		err = errors.Join(err, e)
		for _, e := range events {
			if e.Boot != nil && e.Boot.State == session.StepFailed {
				fmt.Fprintf(said, "%s %+v\n", s.ID, *e.Boot)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(said, err)
	}
	return said.String()
}

func (p *play) end() error {
	var unknown error
	if p.modal != nil {
		p.modal.Break("SandboxSnapshotFs", modaltest.Held, modaltest.Always) // no image is made while nobody is there to note it
		unknown = p.noted()
	}
	if p.bot != nil {
		p.bot.kill()
		p.bot = nil
	}
	if p.vault != "" {
		defer os.Remove(p.vault)
	}
	if p.modal != nil {
		names, err := owned(filepath.Join(p.dir, "data", "openinspect.db"))
		unknown = errors.Join(unknown, err, p.modal.Close(names...))
	}
	return errors.Join(unknown, endSandboxes(p.dir, local.Isolation(p.isolation)))
}

// usage is the error of a verb that was called wrongly.
func usage(text string) error { return fmt.Errorf("usage: %s", text) }

// bot [script] [clock|quick] [openai] [modal] [NAME=value …]: starts the bot and waits until it is connected. script: the scripted agent instead of OpenCode;
// clock: its time stands still but for the verb clock; quick: see quickClock; openai: there is a key for OpenAI's models and none for Anthropic's;
// modal: sandboxes are on a Modal of the script's own.
// bot second: starts another one beside it, which has to fail, and prints what it says.
func (p *play) cmdBot(ctx context.Context, ts *testscript.TestScript, args []string) error {
	if len(args) == 1 && args[0] == "second" {
		said, err := p.bot.second(ctx)
		fmt.Fprint(ts.Stdout(), said)
		return err
	}
	if p.bot != nil {
		return fmt.Errorf("the bot runs already")
	}
	if len(args) > 0 || p.settings == nil {
		p.settings = args
	}
	// A socket that is not known to have gone with its bot would take what is never sent again: commands, presses and forms.
	if err := p.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool { return n.Sockets() == 0 }); err != nil {
		return fmt.Errorf("the sockets of the last bot are still there: %w", err)
	}
	env := p.stage.environ(p.dir)
	if p.web == "" {
		var err error
		if p.web, err = freeAddress(); err != nil { // the same after a restart, so that links stay good
			return err
		}
	}
	env["INSPECT_OPENCODE"], env["INSPECT_LOCAL_ISOLATION"], env["INSPECT_HTTP_ADDR"], env["INSPECT_PUBLIC_URL"] = p.agent, p.isolation, p.web, "http://"+p.web
	env["PATH"], env["XDG_CACHE_HOME"], env["INSPECT_LOG_LEVEL"] = os.Getenv("PATH"), p.cache, "debug"
	env[envPatient] = waitLimit.String() // a sandbox may stand for longer on a busy machine than people should wait for it
	if p.world != nil {
		env[envWorld] = p.world.environment()
	}
	if p.vault != "" {
		env[envSecrets] = p.vault
	}
	for _, a := range p.settings {
		switch name, value, ok := strings.Cut(a, "="); {
		case ok:
			env[name] = value
		case a == "script":
			env[envAgent] = local.ScriptAgent
		case a == "clock":
			env[envClock] = "pipe"
		case a == "quick":
			if p.began.IsZero() {
				p.began = time.Now()
			}
			env[envClock] = fmt.Sprintf("quick %d 0", p.began.UnixNano())
		case a == "openai":
			env["OPENAI_API_KEY"], env["OPENAI_BASE_URL"] = modeltest.OpenAIKey, p.stage.model.URL()
			delete(env, "ANTHROPIC_API_KEY")
		case a == "modal":
			if err := p.openModal(env); err != nil {
				return err
			}
		default:
			return usage("bot [script] [clock|quick] [openai] [modal] [NAME=value …]")
		}
	}
	var err error
	if p.bot, err = startBot(p.dir, env); err != nil {
		return err
	}
	return p.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool {
		return n.Sockets() > 0 || p.bot.ended()
	})
}

// freeAddress returns an address on loopback on which nobody listens just now, and which the kernel gives to nobody before a bot listens on it.
func freeAddress() (string, error) {
	port, err := modaltest.FreePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// restart: stops the bot in good order and starts it again.
func (p *play) cmdRestart(ctx context.Context, ts *testscript.TestScript, _ []string) error {
	if err := p.bot.stop(ctx); err != nil {
		return err
	}
	p.bot = nil
	return p.cmdBot(ctx, ts, nil)
}

// crash: ends the bot with SIGKILL, or waits until "github kill" has done so. The verb bot without arguments starts it again.
func (p *play) cmdCrash(ctx context.Context, _ *testscript.TestScript, _ []string) error {
	if p.dying != nil {
		select {
		case <-p.dying:
		case <-ctx.Done():
			return errors.New("the bot did not come to what it was to be killed at")
		}
		p.dying = nil
	}
	if err := p.noted(); err != nil {
		return err
	}
	p.bot.kill()
	p.bot = nil
	return nil
}

// clock advance DURATION. clock until PATTERN: second by second, until the thread shows it.
func (p *play) cmdClock(ctx context.Context, _ *testscript.TestScript, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "advance":
		return p.bot.advance(args[1])
	case len(args) == 2 && args[0] == "until":
		re, err := regexp.Compile("(?s)" + args[1])
		if err != nil {
			return err
		}
		for {
			if err := p.bot.advance("1s"); err != nil {
				return err
			}
			moment, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			err := p.stage.slack.Wait(moment, func(n *slacktest.Snapshot) bool { return re.MatchString(p.told(n)) })
			cancel()
			if err == nil {
				return nil
			}
			if ctx.Err() != nil {
				return fmt.Errorf("the thread never showed %q: %w", args[1], ctx.Err())
			}
		}
	}
	return usage("clock advance DURATION, clock until PATTERN")
}

// release NAME: lets the scripted agent go on that waits for NAME, in every sandbox.
func (p *play) cmdRelease(_ context.Context, _ *testscript.TestScript, args []string) error {
	homes, err := filepath.Glob(filepath.Join(p.dir, "data", "sandboxes", "*", "home"))
	if p.modal != nil {
		homes = p.modalHomes()
	}
	if err != nil || len(homes) == 0 || len(args) != 1 {
		return fmt.Errorf("no sandbox to release %v in: %v", args, err)
	}
	for _, home := range homes {
		if err := os.WriteFile(filepath.Join(home, args[0]), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// TestRealAgentScriptsAreFew keeps the scripts that use the real agent few: it is heavy.
func TestRealAgentScriptsAreFew(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	var realAgent []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(strings.Fields(string(b)), "bot") && !strings.Contains(string(b), "bot script") {
			realAgent = append(realAgent, f)
		}
	}
	if len(realAgent) == 0 || len(realAgent) > 25 {
		t.Errorf("%d scripts use the real agent: %v", len(realAgent), realAgent)
	}
}
