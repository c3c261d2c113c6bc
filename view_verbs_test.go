package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/bot/slacktest"
)

// view shortcut PERSON CALLBACK PATTERN: runs a message shortcut on the newest message of the conversation, whoever's, that matches.
// view fill PERSON NAME=VALUE …: fills in and sends the form that was opened last; a value with a leading + is picked from a menu.
// view home PERSON: opens the home tab. view use PERSON CONTROL [VALUE]: uses a control of it.
// view wait PERSON PATTERN: waits until the newest form or the home tab shows something.
// view root: goes on with the newest message of the bot that began a thread.
func (p *play) cmdView(ctx context.Context, _ *testscript.TestScript, args []string) error {
	if len(args) == 1 && args[0] == "root" {
		return p.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool {
			for _, m := range n.Messages(stageChannel) {
				if m.User == p.stage.slack.Bot().ID && m.ThreadTS == "" {
					p.channel, p.thread = m.Channel, m.TS
				}
			}
			return p.thread != ""
		})
	}
	if len(args) < 2 {
		return usage("view shortcut|fill|home|use|wait PERSON …")
	}
	who := p.stage.slack.As(args[1])
	switch {
	case args[0] == "home" && len(args) == 2:
		return who.OpenHome()
	case args[0] == "use" && len(args) >= 3:
		_, err := who.UseHome(args[2], strings.Join(args[3:], ""))
		return err
	case args[0] == "wait" && len(args) == 3:
		re, err := regexp.Compile("(?s)" + args[2])
		if err != nil {
			return err
		}
		shown := ""
		err = p.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool {
			shown = ""
			views := n.Views(args[1])
			if home, ok := n.Home(args[1]); ok {
				views = append(views, home)
			}
			for _, v := range views {
				shown += n.RenderView(slacktest.Rendering{URLs: true}, v)
			}
			return re.MatchString(shown)
		})
		if err != nil {
			return fmt.Errorf("%s was never shown %q, but:\n%s", args[1], args[2], shown)
		}
		return nil
	case args[0] == "shortcut" && len(args) == 4:
		re, err := regexp.Compile(args[3])
		if err != nil {
			return err
		}
		n := p.stage.slack.Snapshot()
		ts := ""
		for _, m := range n.Thread(p.channel, p.thread) {
			if re.MatchString(n.RenderMessage(slacktest.Rendering{}, m)) {
				ts = m.TS
			}
		}
		if ts == "" {
			return fmt.Errorf("no message matches %q", args[3])
		}
		_, err = who.Shortcut(p.channel, ts, args[2])
		return err
	case args[0] == "fill":
		views := p.stage.slack.Snapshot().Views(args[1])
		if len(views) == 0 {
			return fmt.Errorf("%s has no form", args[1])
		}
		state := map[string]map[string]any{}
		for _, a := range args[2:] {
			name, v, _ := strings.Cut(a, "=")
			state[name] = map[string]any{name: map[string]any{"type": "plain_text_input", "value": text(v)}}
			if chosen, menu := strings.CutPrefix(v, "+"); menu {
				state[name][name] = map[string]any{"type": "static_select", "selected_option": map[string]any{"value": chosen}}
			}
		}
		_, err := who.Submit(views[len(views)-1].ID, state)
		return err
	}
	return usage("view shortcut|fill|home|use|wait PERSON …")
}
