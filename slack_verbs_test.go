//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/bot/slacktest"
)

// troubles are verbs for what Slack and the network do to the bot.
var troubles = map[string]func(p *play, s *slacktest.Server, args []string) error{
	// slack fault METHOD[@CHANNEL] ANSWER [TIMES|always]: limited=30s, status=503, cut, hang, refuse=CODE, scope=NAME; lost is a cut after the
	// work was done. Once, unless it says how often.
	"fault": func(_ *play, s *slacktest.Server, args []string) error {
		if len(args) < 2 || len(args) > 3 {
			return usage("slack fault METHOD[@CHANNEL] ANSWER [TIMES|always]")
		}
		f := slacktest.Fault{Times: 1}
		f.Method, f.Channel, _ = strings.Cut(args[0], "@")
		if f.Channel != "" {
			f.Channel = "C0" + strings.ToUpper(f.Channel)
		}
		if len(args) == 3 {
			f.Times, _ = strconv.Atoi(args[2]) // 0 is always
		}
		what, value, _ := strings.Cut(args[1], "=")
		switch what {
		case "limited":
			d, err := time.ParseDuration(value)
			if err != nil {
				return err
			}
			f.Answer = slacktest.RateLimited(d)
		case "status":
			n, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			f.Answer = slacktest.Failure(n)
		case "cut":
			f.Answer = slacktest.Cut()
		case "lost":
			f.After, f.Answer = true, slacktest.Cut()
		case "hang":
			f.Answer = slacktest.Hang()
		case "refuse":
			f.Answer = slacktest.Refusal(value)
		case "scope":
			f.Answer = slacktest.MissingScope(value)
		default:
			return usage("slack fault METHOD[@CHANNEL] limited=30s|status=503|cut|lost|hang|refuse=CODE|scope=NAME [TIMES|always]")
		}
		s.Inject(f)
		return nil
	},
	// slack heal: takes all faults back.
	"heal": func(_ *play, s *slacktest.Server, _ []string) error { s.Heal(); return nil },
	// slack socket disconnect REASON, slack socket cut|half-open|split, slack socket frame TEXT, slack socket event TYPE
	"socket": func(_ *play, s *slacktest.Server, args []string) error {
		switch {
		case len(args) == 2 && args[0] == "disconnect":
			s.Disconnect(args[1])
		case len(args) == 2 && args[0] == "frame":
			s.SendFrame([]byte(text(args[1])))
		case len(args) == 2 && args[0] == "event":
			s.Emit(args[1], map[string]any{"user": "U0ADA", "channel": "C0SHOP"})
		case len(args) == 1 && args[0] == "cut":
			s.CutSockets()
		case len(args) == 1 && args[0] == "half-open":
			s.HalfOpen()
		case len(args) == 1 && args[0] == "split":
			s.Split(true)
		default:
			return usage("slack socket disconnect REASON, slack socket cut|half-open|split, slack socket frame TEXT, slack socket event TYPE")
		}
		return nil
	},
	// slack events twice|late|spoiled|lost|usual: how events come. Late ones wait for two others, and come in the opposite order.
	"events": func(_ *play, s *slacktest.Server, args []string) error {
		if len(args) != 1 {
			return usage("slack events twice|late|spoiled|lost|usual")
		}
		var waiting []slacktest.Envelope
		hooks := map[string]func(slacktest.Envelope, func(slacktest.Envelope)){
			"usual":   nil,
			"twice":   func(e slacktest.Envelope, send func(slacktest.Envelope)) { send(e); send(e) },
			"spoiled": func(e slacktest.Envelope, send func(slacktest.Envelope)) { e.Payload = spoiled(e.Payload); send(e) },
			"lost": func(e slacktest.Envelope, send func(slacktest.Envelope)) {
				if e.RetryAttempt > 0 {
					send(e)
				}
			},
			"late": func(e slacktest.Envelope, send func(slacktest.Envelope)) {
				if waiting = append(waiting, e); len(waiting) < 3 {
					return
				}
				for _, e := range slices.Backward(waiting) {
					send(e)
				}
				waiting = nil
			},
		}
		hook, ok := hooks[args[0]]
		if !ok {
			return usage("slack events twice|late|spoiled|lost|usual")
		}
		s.SetFaults(slacktest.Faults{Deliver: hook})
		return nil
	},
	// slack repeat: Slack sends again what was not acknowledged, until everything is.
	"repeat": func(p *play, s *slacktest.Server, _ []string) error {
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		return p.until(ctx, "", func() bool { s.Redeliver(); return s.Unacked() == 0 })
	},
	// slack giveup: Slack has sent often enough what was not acknowledged.
	"giveup": func(_ *play, s *slacktest.Server, _ []string) error { s.GiveUp(); return nil },
	// slack token bot|app CODE: calls with it are refused from now on; good: they are not any more.
	"token": func(_ *play, s *slacktest.Server, args []string) error {
		if len(args) != 2 {
			return usage("slack token bot|app CODE|good")
		}
		token := s.BotToken()
		if args[0] == "app" {
			token = s.AppToken()
		}
		s.Revoke(token, strings.TrimSuffix(args[1], "good"))
		return nil
	},
	// slack archive|unarchive|kick CHANNEL, slack invite CHANNEL
	"archive":   func(_ *play, s *slacktest.Server, args []string) error { return s.Archive(args[0]) },
	"unarchive": func(_ *play, s *slacktest.Server, args []string) error { return s.Unarchive(args[0]) },
	"kick":      func(_ *play, s *slacktest.Server, args []string) error { return s.Kick(args[0]) },
	"invite":    func(_ *play, s *slacktest.Server, args []string) error { return s.As("ada").Invite(args[0], "inspect") },
}

// operator PATTERN [STEP]: waits until the bot's log has it. With STEP its clock is stepped by so much again and again meanwhile.
func (p *play) cmdOperator(ctx context.Context, _ *testscript.TestScript, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return usage("operator PATTERN [STEP]")
	}
	re, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	err = p.until(ctx, strings.Join(args[1:], ""), func() bool {
		log, err := os.ReadFile(filepath.Join(p.dir, "bot.log"))
		return err == nil && re.Match(log)
	})
	if err != nil {
		return fmt.Errorf("the log never said %q: %w", args[0], err)
	}
	return nil
}

// looksPerStep is how often a condition is looked at, a hundredth of a second apart, before the clock is stepped again. Sandboxes are other processes: stepped
// faster, two minutes without a word of theirs were over before a busy computer had started one.
const looksPerStep = 10

// until asks again and again whether something holds: of a log nobody tells that it has grown, and a clock is not to be stepped while
// nobody waits for it. With a step, the bot's clock is stepped now and then.
func (p *play) until(ctx context.Context, step string, holds func() bool) error {
	for looks := 1; !holds(); looks++ {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if step != "" && looks%looksPerStep == 0 {
			if err := p.bot.advance(step); err != nil {
				return err
			}
		}
	}
	return nil
}

// ended STATUS: waits until the bot has ended by itself, with that exit status.
func (p *play) cmdEnded(ctx context.Context, _ *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		return usage("ended STATUS")
	}
	select {
	case <-p.bot.done:
	case <-ctx.Done():
		return errors.New("the bot did not end")
	}
	if code := p.bot.cmd.ProcessState.ExitCode(); strconv.Itoa(code) != args[0] {
		return fmt.Errorf("the bot ended with status %d, not %s", code, args[0])
	}
	p.bot = nil
	return nil
}
