//go:build linux

package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"openinspect/bot/slacktest"
)

// steers are verbs for what people do to messages that are there.
var steers = map[string]func(p *play, ctx context.Context, args []string) error{
	// slack edit PERSON PATTERN TEXT: the newest message of theirs in the thread that matches; a mention of the bot at its beginning stays.
	"edit": func(p *play, _ context.Context, args []string) error {
		if len(args) != 3 {
			return usage("slack edit PERSON PATTERN TEXT")
		}
		m, err := p.said(args[0], args[1])
		if err != nil {
			return err
		}
		said := text(args[2])
		if us := "<@" + p.stage.slack.Bot().ID + "> "; strings.HasPrefix(m.Text, us) {
			said = us + said
		}
		_, err = p.stage.slack.As(args[0]).Edit(m.Channel, m.TS, said)
		return err
	},
	// slack delete PERSON PATTERN
	"delete": func(p *play, _ context.Context, args []string) error {
		if len(args) != 2 {
			return usage("slack delete PERSON PATTERN")
		}
		m, err := p.said(args[0], args[1])
		if err != nil {
			return err
		}
		return p.stage.slack.As(args[0]).Delete(m.Channel, m.TS)
	},
	// slack halt PERSON: Slack's own stop button on the thread.
	"halt": func(p *play, _ context.Context, args []string) error {
		return p.stage.slack.As(args[0]).StopAgent(p.channel, p.thread)
	},
	// slack eyes PERSON PATTERN, slack blind PERSON PATTERN: waits until the bot's 👀 is on a message of theirs, or is not.
	"eyes":  func(p *play, ctx context.Context, args []string) error { return p.eyes(ctx, args, true) },
	"blind": func(p *play, ctx context.Context, args []string) error { return p.eyes(ctx, args, false) },
}

// said returns the newest message of somebody in the thread whose text matches.
func (p *play) said(who, pattern string) (slacktest.Message, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return slacktest.Message{}, err
	}
	now := p.stage.slack.Snapshot()
	u, ok := now.User(who)
	if !ok {
		return slacktest.Message{}, fmt.Errorf("nobody is called %s", who)
	}
	all := now.Thread(p.channel, p.thread)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].User == u.ID && re.MatchString(all[i].Text) {
			return all[i], nil
		}
	}
	return slacktest.Message{}, fmt.Errorf("%s has said nothing that matches %q", who, pattern)
}

func (p *play) eyes(ctx context.Context, args []string, want bool) error {
	if len(args) != 2 {
		return usage("slack eyes|blind PERSON PATTERN")
	}
	m, err := p.said(args[0], args[1])
	if err != nil {
		return err
	}
	return p.stage.slack.Wait(ctx, func(*slacktest.Snapshot) bool {
		now, ok := p.stage.slack.MessageNow(m.Channel, m.TS)
		return ok && (len(now.Reactions) > 0) == want
	})
}
