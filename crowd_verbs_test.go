//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
)

// crowd N: so many people more, called p1 and so on in Slack and on GitHub, all linked. crowd react EMOJI PATTERN: all of them react at once. crowd told
// N PATTERN: waits until so many of them, and no more, have been told that privately.
func (p *play) cmdCrowd(ctx context.Context, _ *testscript.TestScript, args []string) error {
	switch {
	case len(args) == 1:
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return usage("crowd N")
		}
		for i := range n {
			name := fmt.Sprintf("p%d", i+1)
			p.stage.slack.AddUser(slacktest.User{Name: name, DisplayName: "Person " + name})
			if err := p.stage.slack.As("ada").Invite(stageChannel, name); err != nil {
				return err
			}
			p.stage.github.AddUser(githubtest.User{Login: name, Access: map[string]string{"*": "write"}})
			p.crowd = append(p.crowd, name)
		}
		return p.all(func(who string) error { return p.stage.link(ctx, who) })
	case len(args) == 3 && args[0] == "react":
		m, err := p.find(ctx, args[2])
		if err != nil {
			return err
		}
		return p.all(func(who string) error { return p.stage.slack.As(who).React(p.channel, m.TS, args[1]) })
	case len(args) == 3 && args[0] == "told":
		re, err := regexp.Compile(args[2])
		if err != nil {
			return err
		}
		want, err := strconv.Atoi(args[1])
		if err != nil {
			return usage("crowd told N PATTERN")
		}
		told := 0
		err = p.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool {
			told = 0
			for _, who := range p.crowd {
				u, _ := n.User(who)
				for _, m := range append(n.Ephemerals(who), n.Messages("D"+strings.TrimPrefix(u.ID, "U"))...) {
					if re.MatchString(m.Text) {
						told++
						break
					}
				}
			}
			return told == want
		})
		if err != nil {
			return fmt.Errorf("%d people were told %q: %w", told, args[2], err)
		}
		return nil
	}
	return usage("crowd N, crowd react EMOJI PATTERN, crowd told N PATTERN")
}

// all has everybody of the crowd do something at the same time.
func (p *play) all(do func(who string) error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(p.crowd))
	for i, who := range p.crowd {
		wg.Go(func() { errs[i] = do(who) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// killAt has the bot killed when it calls GitHub: before the work of the call is done, or after it, without hearing the answer. The verb crash then waits
// for that.
func (p *play) killAt(route string, after bool) {
	b, g := p.bot, p.stage.github
	dead := make(chan struct{})
	p.dying = dead
	var once sync.Once
	g.SetFault(func(c githubtest.Call) *githubtest.Response {
		if c.Route != route || c.After != after {
			return nil
		}
		var answer *githubtest.Response
		once.Do(func() {
			b.kill()
			close(dead)
			answer = &githubtest.Response{Drop: true}
		})
		return answer
	})
}
