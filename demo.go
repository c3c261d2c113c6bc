//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/fatih/color"

	"openinspect/bot/slacktest"
	"openinspect/sandbox/local"
	"openinspect/sandbox/runner/opencode"
	"openinspect/session"
	"openinspect/session/model/modeltest"
)

// demoLimit is how long the demo may take; it needs some ten seconds, a real model some minutes.
const demoLimit = 15 * time.Minute

type demoCommand struct {
	Prompt string `help:"What to ask the agent; with a real model it may be anything." default:"fix the failing checkout test"`
	Keep   bool   `help:"Stay up afterwards, so that the links work, until Ctrl-C."`
}

// Run plays one session from mention to pull request.
func (c *demoCommand) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	d := &demo{c: c, out: os.Stdout}
	return d.run(ctx)
}

// demo is one showing.
type demo struct {
	c     *demoCommand
	out   io.Writer
	mu    sync.Mutex
	stage *stage
	dir   string
}

func (d *demo) run(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "openinspect-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	scripts, err := demoScripts()
	if err != nil {
		return err
	}
	if d.stage, err = newStage(scripts); err != nil {
		return err
	}
	defer d.stage.close()
	config, err := d.config(ctx)
	if err != nil {
		return err
	}
	agent, err := opencode.Find(ctx, os.Getenv("INSPECT_OPENCODE"), d.out)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	config.PublicURL = "http://" + listener.Addr().String()
	logFile, err := os.Create(filepath.Join(d.dir, "bot.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	ready := make(chan struct{})
	hide := config.Secrets.redactor()
	app, err := NewApp(config, Options{Logger: newLogger(logFile, "debug", hide), Redactor: hide, Agent: agent, Listener: listener, Ready: func() { close(ready) }})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(running) }()
	defer func() {
		stop()
		if e := errors.Join(<-ended, endSandboxes(d.dir, local.Isolation(config.Isolation))); err == nil {
			err = e
		}
		if err != nil && ctx.Err() == nil {
			d.showLog(logFile.Name())
		}
	}()
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		return err
	}
	if err := d.play(ctx, app); err != nil {
		return err
	}
	if d.c.Keep {
		d.say("\nEverything stays up; open the links above. Ctrl-C ends it.\n")
		<-ctx.Done()
	}
	return nil
}

// config is the bot's: the stage's doubles, the model, and as much isolation as this computer has.
func (d *demo) config(ctx context.Context) (Config, error) {
	env := d.stage.environ(d.dir)
	config, err := configFrom(env)
	if err != nil {
		return config, err
	}
	d.say("%s\n", color.New(color.Bold).Sprint("openinspect demo: Slack, GitHub and their people are doubles on this computer; git and the agent are real."))
	probe, err := local.New(local.Config{Dir: filepath.Join(d.dir, "probe"), Agent: local.ScriptAgent})
	if err != nil {
		return config, err
	}
	isolated := true
	if err := probe.Available(ctx); err != nil {
		isolated = false
		config.Isolation = string(local.None)
		d.say("Isolation: none. %s Without it the demo runs its own sample with the scripted model only.\n", session.Sentence(err))
	} else {
		d.say("Isolation: bubblewrap.\n")
	}
	if key := os.Getenv("ANTHROPIC_API_KEY"); key != "" && isolated {
		config.Secrets.AnthropicKey, config.AnthropicURL = key, "https://api.anthropic.com"
		if u := os.Getenv("ANTHROPIC_BASE_URL"); u != "" {
			config.AnthropicURL = u
		}
		d.say("Model: %s, the real one (ANTHROPIC_API_KEY is set).\n\n", config.Model)
		return config, config.check()
	}
	if os.Getenv("ANTHROPIC_API_KEY") != "" {
		d.say("Model: scripted. ANTHROPIC_API_KEY is set, but is not used without isolation.\n\n")
	} else {
		d.say("Model: scripted; set ANTHROPIC_API_KEY to see a real one.\n\n")
	}
	config.Secrets.AnthropicKey = modeltest.AnthropicKey
	return config, nil
}

// play is the story: two people link their accounts, one asks, the other approves.
func (d *demo) play(ctx context.Context, app *App) error {
	s := d.stage
	for _, who := range []string{"ada", "bob"} {
		if err := s.link(ctx, who); err != nil {
			return err
		}
		d.say("%s linked the GitHub account %s: /inspect link, a code by direct message, GitHub's page.\n", color.CyanString(who), cast[who])
	}
	d.say("\n#%s\n", stageChannel)
	s.slack.OnChange(d.show)
	root, err := s.slack.As("ada").Mention(stageChannel, d.c.Prompt)
	if err != nil {
		return err
	}
	card, over, err := d.outcome(ctx, app, root.TS)
	if err != nil || over {
		return err
	}
	if err := s.slack.As("bob").React(stageChannel, card.TS, app.c.EmojiApprove); err != nil {
		return err
	}
	if err := s.github.Wait(ctx, func() bool { return len(s.github.Pulls(stageRepo)) > 0 }); err != nil {
		return fmt.Errorf("no pull request appeared: %w", err)
	}
	if _, err := s.message(ctx, stageChannel, root.TS, func(m slacktest.Message, text string) bool {
		return m.TS != card.TS && strings.Contains(text, "/pull/1")
	}); err != nil {
		return err
	}
	return d.summary(ctx, app)
}

// outcome waits until the turn has ended and returns the message with its card. It is over when there is none: the agent changed nothing.
func (d *demo) outcome(ctx context.Context, app *App, thread string) (card slacktest.Message, over bool, err error) {
	id, err := app.hub.Find(ctx, session.Thread{Team: d.stage.slack.TeamID(), Channel: d.channel(), TS: thread})
	for session.CodeOf(err) == session.NotFound && ctx.Err() == nil {
		if _, err := d.stage.message(ctx, stageChannel, thread, func(slacktest.Message, string) bool { return true }); err != nil {
			return card, false, err
		}
		id, err = app.hub.Find(ctx, session.Thread{Team: d.stage.slack.TeamID(), Channel: d.channel(), TS: thread})
	}
	if err != nil {
		return card, false, err
	}
	feed, err := app.hub.Feed(ctx, id, 0)
	if err != nil {
		return card, false, err
	}
	defer feed.Close()
	for {
		item, err := feed.Next(ctx)
		if err != nil {
			return card, false, err
		}
		for _, e := range item.Events {
			if e.Turn == nil || e.Turn.State != session.TurnEnded {
				continue
			}
			if e.Turn.Outcome != session.PromptDone {
				return card, false, session.Errorf(session.Unavailable, "The turn did not end well: %s", e.Turn.Reason)
			}
			if e.Turn.Card == "" {
				_, err := d.stage.message(ctx, stageChannel, thread, func(_ slacktest.Message, text string) bool { return strings.Contains(text, "Done for") })
				d.say("\nThe agent changed nothing, so there is nothing to approve.\n")
				return card, true, err
			}
			card, err = d.stage.message(ctx, stageChannel, thread, func(_ slacktest.Message, text string) bool { return strings.Contains(text, "opens the pull request") })
			return card, false, err
		}
	}
}

// channel is the id of the stage's channel.
func (d *demo) channel() string {
	messages := d.stage.slack.Snapshot().Messages(stageChannel)
	if len(messages) == 0 {
		return ""
	}
	return messages[0].Channel
}

// summary shows what exists on GitHub now.
func (d *demo) summary(ctx context.Context, app *App) error {
	pull := d.stage.github.Pulls(stageRepo)[0]
	commits, err := d.stage.github.Log(stageRepo, pull.Base+".."+pull.Head)
	if err != nil {
		return err
	}
	bold := color.New(color.Bold)
	d.say("\n%s %s\n", bold.Sprintf("Pull request #%d, opened by %s:", pull.Number, pull.Author), pull.Title)
	d.say("  %s → %s  %s\n", pull.Head, pull.Base, pull.URL)
	for _, c := range commits {
		subject, _, _ := strings.Cut(c.Message, "\n")
		d.say("  commit %.7s  %s\n    author    %s <%s>\n    committer %s <%s>\n", c.SHA, subject, c.Author.Name, c.Author.Email, c.Committer.Name, c.Committer.Email)
	}
	list, err := app.db.List(ctx, 1)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		d.say("  log       %s\n", app.web.Link(list[0].ID))
	}
	if !d.c.Keep {
		d.say("With --keep everything stays up, and the links work.\n")
	}
	return nil
}

func (d *demo) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, format, args...)
}

// eventLink is the address of one event in a log: in Slack nobody sees it, and here it would hide what it belongs to.
var eventLink = regexp.MustCompile(` \(http[^)\s]*#e\d+\)`)

// show prints a change of the channel as somebody would notice it.
func (d *demo) show(c slacktest.Change) {
	n := d.stage.slack.Snapshot()
	name := func(id string) string {
		u, _ := n.User(id)
		return u.Name
	}
	switch c.Kind {
	case slacktest.Posted, slacktest.Edited, slacktest.EphemeralPosted:
		text := eventLink.ReplaceAllString(strings.TrimRight(n.RenderMessage(slacktest.Rendering{URLs: true}, c.Message), "\n"), "")
		mark := ""
		switch c.Kind {
		case slacktest.Edited:
			mark = color.New(color.Faint).Sprint("↻ ")
		case slacktest.EphemeralPosted:
			mark = color.New(color.Faint).Sprintf("(only %s sees this) ", name(c.User))
		}
		d.say("%s%s\n", mark, indent(text))
	case slacktest.Reacted:
		d.say("%s\n", color.New(color.Faint).Sprintf("  %s reacts with :%s:", name(c.User), c.Emoji))
	}
}

// indent sets a message off from the next, its author in colour.
func indent(text string) string {
	author, rest, _ := strings.Cut(text, ": ")
	return color.CyanString(author) + ": " + strings.ReplaceAll(rest, "\n", "\n  ")
}

// showLog prints the end of the bot's log after a failure.
func (d *demo) showLog(path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	d.say("\nThe bot's log ended with:\n%s\n", strings.Join(lines[max(0, len(lines)-20):], "\n"))
}
