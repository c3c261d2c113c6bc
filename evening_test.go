//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/sandbox/link"
	"openinspect/sandbox/runner"
	"openinspect/sandbox/runner/agenttest"
	"openinspect/session"
	"openinspect/session/boltdb"
)

// evening is a whole session played by people who know nothing of crashes: two who linked their accounts, and one who does so when she
// approves. They see what Slack shows and act on it once; what Slack itself tells them has failed they do again.
type evening struct {
	*rig
	kills    []string // of the bots to come, as envKill has them
	perish   bool     // sandboxes end with their bot
	deaths   atomic.Int32
	channel  string
	thread   string
	newest   string         // of the card that cyd approves
	id       *regexp.Regexp // the session's, once it is over
	mu       sync.Mutex
	runs     map[string]int // how often the agent was given each prompt, by its first word
	unlinked int            // how often cyd was told that her linking came to nothing
	over     chan struct{}
	once     sync.Once // closes over
	watched  chan error
}

// newEvening makes one, with its bot running.
func newEvening(perish bool, kills ...string) (*evening, error) {
	return newEveningWith(nil, perish, kills...)
}

// newEveningWith makes one with settings beside the stage's.
func newEveningWith(settings map[string]string, perish bool, kills ...string) (*evening, error) {
	e := &evening{kills: kills, perish: perish, runs: map[string]int{}, over: make(chan struct{}), watched: make(chan error, 1)}
	var err error
	if e.rig, err = newRig(e.runner, "ada", "bob"); err != nil {
		return nil, err
	}
	e.settings = settings
	if err := e.next(); err != nil {
		return nil, errors.Join(err, e.close())
	}
	go func() { e.watched <- e.watch() }()
	return e, nil
}

// runner is the real runner with the scripted agent, whose runs are counted.
func (e *evening) runner(ctx context.Context, b link.Boot) error {
	return runner.Run(ctx, runner.Config{Boot: b, Agent: &counted{Agent: &agenttest.Agent{}, e: e}, Program: e.program})
}

// counted counts the runs of an agent.
type counted struct {
	*agenttest.Agent
	e *evening
}

func (c *counted) Run(ctx context.Context, d session.Delivery, out runner.Output) error {
	c.e.mu.Lock()
	c.e.runs[prompted(d.Text)]++
	c.e.mu.Unlock()
	return c.Agent.Run(ctx, d, out)
}

// prompted is the first word of what a person said, of a prompt as the agent reads it.
func prompted(text string) string {
	_, said, _ := strings.Cut(text, "):\n\n")
	word, _, _ := strings.Cut(said, " ")
	return word
}

// next starts the bot, or the one after it.
func (e *evening) next() error {
	kill := "0" // never
	if len(e.kills) > 0 {
		kill, e.kills = e.kills[0], e.kills[1:]
	}
	return e.start(kill)
}

// ending has no bot started again from now on.
func (e *evening) ending() { e.once.Do(func() { close(e.over) }) }

// watch starts the bot again whenever it was killed, until the evening is over.
func (e *evening) watch() error {
	for {
		bot := e.running()
		select {
		case <-bot.done:
		case <-e.over:
			return nil
		}
		if !bot.killed() {
			return fmt.Errorf("the bot ended by itself: %s", bot.cmd.ProcessState)
		}
		e.deaths.Add(1)
		if e.perish {
			e.sandboxes.KillAll()
		}
		if err := e.next(); err != nil {
			return err
		}
	}
}

// play has the people do what they do. Every wait is for what somebody can see.
func (e *evening) play(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if err := <-e.watched; err != nil {
			cancel(err)
		}
	}()
	if err := e.connected(ctx); err != nil {
		return err
	}
	for _, act := range []func(context.Context) error{
		e.opens, e.answers, e.queues, e.links, e.follows, e.idles, e.returns,
	} {
		if err := act(ctx); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
	return nil
}

// sees waits until the thread shows texts, each below the one before.
func (e *evening) sees(ctx context.Context, texts ...string) error {
	err := e.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool { return inOrder(e.shown(n), texts) })
	if err != nil {
		return fmt.Errorf("the thread does not show %q: %w", texts, err)
	}
	return nil
}

// until waits for what nobody tells of.
func until(ctx context.Context, what string, holds func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("it never came to this: %s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}

func inOrder(shown string, texts []string) bool {
	for _, t := range texts {
		_, rest, ok := strings.Cut(shown, t)
		if !ok {
			return false
		}
		shown = rest
	}
	return true
}

// shown is what the bot says in the thread.
func (e *evening) shown(n *slacktest.Snapshot) string {
	var b strings.Builder
	for _, m := range n.Thread(e.channel, e.thread) {
		if m.User == e.stage.slack.Bot().ID {
			b.WriteString(n.RenderMessage(slacktest.Rendering{}, m))
		}
	}
	return b.String()
}

func (e *evening) reply(who, text string) error {
	_, err := e.stage.slack.As(who).Reply(e.channel, e.thread, text)
	return err
}

// approves reacts to the newest message that shows text.
func (e *evening) approves(ctx context.Context, who, text string) error {
	m, err := e.stage.message(ctx, e.channel, e.thread, func(_ slacktest.Message, shown string) bool { return strings.Contains(shown, text) })
	if err != nil {
		return err
	}
	return e.stage.slack.As(who).React(m.Channel, m.TS, "white_check_mark")
}

// lets lets the scripted agent go on that waits for name, wherever it waits.
func (e *evening) lets(name string) error {
	list, err := e.sandboxes.List(context.Background())
	for _, h := range list {
		err = errors.Join(err, os.WriteFile(filepath.Join(e.sandboxes.Dir(h.Name), "home", name), nil, 0o600))
	}
	return err
}

func (e *evening) opens(ctx context.Context) error {
	for { // Slack does not repeat a command that finds nobody, and tells whoever gave it
		c, err := e.stage.slack.As("bob").Command(stageChannel, "channel repo "+stageRepo)
		if err != nil {
			return err
		}
		if _, err := c.Acked(ctx); err == nil {
			break
		} else if !errors.Is(err, slacktest.ErrDispatchFailed) {
			return err
		}
		if err := e.connected(ctx); err != nil {
			return err
		}
	}
	m, err := e.stage.slack.As("ada").Mention(stageChannel, "begin !write a.txt a ;; !todo x look | > write ;; !update half way ;; !ask Which colour? | red | blue ;; !say I asked.")
	if err != nil {
		return err
	}
	e.channel, e.thread = m.Channel, m.TS
	return e.sees(ctx, "Which colour?", "Changes ready")
}

func (e *evening) answers(ctx context.Context) error {
	if err := e.reply("ada", "red !append a.txt red ;; !wait go ;; !say Red it is."); err != nil {
		return err
	}
	return e.sees(ctx, "Working for Ada")
}

func (e *evening) queues(ctx context.Context) error {
	if err := e.reply("bob", "second !write b.txt b ;; !propose Add two files | As asked. ;; !say Second done."); err != nil {
		return err
	}
	if err := e.sees(ctx, "1 queued"); err != nil {
		return err
	}
	if e.perish { // a stop and the loss of what it stops may each come first
		e.newest = "Second done."
		return errors.Join(e.lets("go"), e.sees(ctx, "Red it is.", "Second done.", "Changes ready"))
	}
	e.newest = "never.txt"
	if err := e.reply("ada", "third !write never.txt n ;; !wait never ;; !say not said"); err != nil {
		return err
	}
	if err := errors.Join(e.sees(ctx, "2 queued"), e.lets("go"), e.sees(ctx, "Red it is.", "Second done.", "Working for Ada", "edited `never.txt`")); err != nil {
		return err
	}
	if err := e.reply("ada", "stop"); err != nil {
		return err
	}
	return e.sees(ctx, "Second done.", "Stopped by Ada", "Changes ready")
}

// links has cyd approve: she links her account with the code that she was sent. When she is told that this came to nothing, she tries again.
func (e *evening) links(ctx context.Context) error {
	dm := func(n *slacktest.Snapshot) []slacktest.Message {
		u, _ := n.User("cyd")
		return n.Messages("D" + strings.TrimPrefix(u.ID, "U"))
	}
	told := 0
	for {
		if err := e.approves(ctx, "cyd", e.newest); err != nil {
			return err
		}
		code := ""
		err := e.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool {
			for _, m := range dm(n)[min(told, len(dm(n))):] {
				if c := userCode.FindString(m.Text); c != "" {
					code = c
				}
			}
			return code != ""
		})
		if err != nil {
			return fmt.Errorf("no code came to cyd: %w", err)
		}
		if err := e.stage.github.Approve(code, cast["cyd"]); err != nil {
			return err
		}
		failed := false
		err = e.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool {
			all := dm(n)
			failed = len(all) > 0 && strings.HasPrefix(all[len(all)-1].Text, "Your GitHub account was not linked")
			return failed || inOrder(e.shown(n), []string{"Opened as #1 by Cyd"})
		})
		if err != nil {
			return fmt.Errorf("cyd's approval came to nothing: %w", err)
		}
		if !failed {
			return e.sees(ctx, "Pull request #1")
		}
		told = len(dm(e.stage.slack.Snapshot()))
		e.unlinked++
		m, err := e.stage.message(ctx, e.channel, e.thread, func(_ slacktest.Message, text string) bool { return strings.Contains(text, e.newest) })
		if err != nil {
			return err
		}
		if err := e.stage.slack.As("cyd").Unreact(m.Channel, m.TS, "white_check_mark"); err != nil {
			return err
		}
	}
}

func (e *evening) follows(ctx context.Context) error {
	if err := e.reply("bob", "more !write c.txt c ;; !say More."); err != nil {
		return err
	}
	if err := errors.Join(e.sees(ctx, "More.", "Changes ready"), e.approves(ctx, "ada", "More.")); err != nil {
		return err
	}
	return e.sees(ctx, "Pushed to #1 by Ada")
}

// idles passes time until the sandbox is put away.
func (e *evening) idles(ctx context.Context) error {
	e.advance(session.IdleAfter)
	return until(ctx, "the sandbox is put away", func() bool { return e.sandboxes.Live() == 0 })
}

func (e *evening) returns(ctx context.Context) error {
	if err := e.reply("bob", "back !run cat a.txt b.txt c.txt ;; !say Back."); err != nil {
		return err
	}
	if err := e.sees(ctx, "Done for Bob", "Back."); err != nil {
		return err
	}
	return e.idles(ctx)
}

// settled waits until the bot has been there and has not written for a while: edits of messages have their pace, four seconds of its time at most.
func (e *evening) settled(ctx context.Context) error {
	was, still := int64(-1), 0
	return until(ctx, "the bot has no more to do", func() bool {
		n, err := e.commits()
		if still++; err != nil || n != was || e.running().ended() || e.stage.slack.Snapshot().Sockets() == 0 {
			was, still = n, 0
		}
		return still == 80
	})
}

// ends stops the bot in good order, again if it has something left to say, or to do if the session is idle, and returns what the evening came to.
func (e *evening) ends(ctx context.Context, idle bool) (*outcome, error) {
	if err := e.settled(ctx); err != nil {
		return nil, err
	}
	e.ending()
	for {
		bot := e.running()
		err := bot.stop(ctx)
		dead := bot.killed() // at a commit that it made while it stopped: the next one has to stop in good order
		if err != nil && !dead {
			return nil, err
		}
		if dead {
			e.deaths.Add(1)
		}
		left := 0
		err = e.store(func(db *boltdb.DB) error {
			pending, err := db.Pending(ctx)
			inbox, inboxErr := db.Inbox(ctx)
			open, openErr := db.Open(ctx)
			unpresented, unpresentedErr := db.Unpresented(ctx)
			left = len(pending) + len(inbox) + len(unpresented)
			if idle {
				left += len(open)
			}
			return errors.Join(err, inboxErr, openErr, unpresentedErr)
		})
		if err != nil || left == 0 && !dead || ctx.Err() != nil {
			o, outcomeErr := e.outcome(context.WithoutCancel(ctx))
			return o, errors.Join(err, outcomeErr)
		}
		if err := errors.Join(e.start("0"), e.connected(ctx)); err != nil {
			return nil, err
		}
		if err := e.settled(ctx); err != nil {
			return nil, err
		}
	}
}

// log is the end of what the bots logged.
func (e *evening) log() string {
	b, err := os.ReadFile(filepath.Join(e.dir, "bot.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-50_000):])
}
