//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/bot/slacktest"
)

// text undoes what a script's quoting cannot say: \n is a line break, and x*N is N times x.
func text(s string) string {
	if what, times, ok := strings.Cut(s, "*"); ok && len(what) == 1 {
		if n, err := strconv.Atoi(times); err == nil {
			return strings.Repeat(what, n)
		}
	}
	return strings.ReplaceAll(s, `\n`, "\n")
}

// slack mention|lobby|post PERSON TEXT (lobby is a mention in the channel where the guest is), slack reply PERSON TEXT, slack recall PERSON TEXT (a reply that
// mentions the bot), slack dm PERSON TEXT, slack react|unreact PERSON EMOJI PATTERN,
// slack attach PERSON TEXT FILE … (a mention with files),
// slack press PERSON BUTTON PATTERN, slack command PERSON TEXT, and the troubles and steers. What is written begins or goes on with the newest conversation.
func (p *play) cmdSlack(ctx context.Context, _ *testscript.TestScript, args []string) error {
	if len(args) > 0 && troubles[args[0]] != nil {
		return troubles[args[0]](p, p.stage.slack, args[1:])
	}
	if len(args) > 1 && steers[args[0]] != nil {
		return steers[args[0]](p, ctx, args[1:])
	}
	if len(args) < 3 {
		return usage("slack mention|post|reply|dm|react|command PERSON …")
	}
	who, said := p.stage.slack.As(args[1]), text(args[2])
	open := func(m slacktest.Message, err error) error {
		p.channel, p.thread = m.Channel, m.TS
		return err
	}
	switch args[0] {
	case "mention":
		return open(who.Mention(stageChannel, said))
	case "post":
		return open(who.Post(stageChannel, said))
	case "dm":
		return open(who.DM(said))
	case "lobby":
		return open(who.Mention("lobby", said))
	case "recall": // a mention in the newest conversation's thread
		_, err := who.Reply(p.channel, p.thread, "<@"+p.stage.slack.Bot().ID+"> "+said)
		return err
	case "reply":
		_, err := who.Reply(p.channel, p.thread, said)
		return err
	case "react", "unreact":
		if len(args) != 4 {
			return usage("slack react|unreact PERSON EMOJI PATTERN")
		}
		m, err := p.find(ctx, args[3])
		if err != nil {
			return err
		}
		if args[0] == "unreact" {
			return who.Unreact(p.channel, m.TS, args[2])
		}
		return who.React(p.channel, m.TS, args[2])
	case "attach":
		var files []slacktest.File
		for _, name := range args[3:] {
			body, err := os.ReadFile(filepath.Join(p.dir, name))
			if err != nil {
				return err
			}
			files = append(files, slacktest.File{Name: name, Data: body})
		}
		return open(who.Attach(stageChannel, "", "<@"+p.stage.slack.Bot().ID+"> "+said, files...))
	case "press":
		if len(args) != 4 {
			return usage("slack press PERSON BUTTON PATTERN")
		}
		m, err := p.find(ctx, args[3])
		if err != nil {
			return err
		}
		_, err = who.Click(p.channel, m.TS, args[2])
		return err
	case "command":
		_, err := who.Command(stageChannel, said)
		return err
	}
	return usage("slack mention|lobby|post|reply|dm|react|command PERSON …")
}

// find waits for the newest message of the bot in the thread that matches.
func (p *play) find(ctx context.Context, pattern string) (slacktest.Message, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return slacktest.Message{}, err
	}
	return p.stage.message(ctx, p.channel, p.thread, func(_ slacktest.Message, text string) bool { return re.MatchString(text) })
}

// told is what the bot says in the thread, message after message, as people read it.
func (p *play) told(n *slacktest.Snapshot) string { return p.rendered(n, slacktest.Rendering{}) }

func (p *play) rendered(n *slacktest.Snapshot, r slacktest.Rendering) string {
	var b strings.Builder
	for _, m := range n.Thread(p.channel, p.thread) {
		if m.User == p.stage.slack.Bot().ID {
			b.WriteString(n.RenderMessage(r, m))
		}
	}
	return b.String()
}

// thread wait PATTERN [STEP], thread lacks PATTERN, thread count N PATTERN: of what the bot says there; with STEP its clock is stepped by so much
// again and again meanwhile; lacks looks at addresses of links, too. thread show prints all of it. thread is NAME gives the newest conversation a name; thread in NAME goes back to it.
func (p *play) cmdThread(ctx context.Context, ts *testscript.TestScript, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "wait":
		re, err := regexp.Compile("(?s)" + args[1])
		if err != nil {
			return err
		}
		return p.until(ctx, args[2], func() bool { return re.MatchString(p.told(p.stage.slack.Snapshot())) })
	case len(args) == 2 && args[0] == "wait":
		re, err := regexp.Compile("(?s)" + args[1])
		if err != nil {
			return err
		}
		err = p.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool { return re.MatchString(p.told(n)) })
		if err != nil {
			return fmt.Errorf("the thread never showed %q: %w", args[1], err)
		}
		return nil
	case len(args) == 2 && args[0] == "lacks":
		re, err := regexp.Compile(args[1])
		if err != nil {
			return err
		}
		n := p.stage.slack.Snapshot()
		if found := re.FindString(p.told(n) + p.rendered(n, slacktest.Rendering{URLs: true})); found != "" {
			return fmt.Errorf("the thread shows %q", found)
		}
		return nil
	case len(args) == 3 && args[0] == "count":
		re, err := regexp.Compile(args[2])
		if err != nil {
			return err
		}
		n := p.stage.slack.Snapshot()
		count := 0
		for _, m := range n.Thread(p.channel, p.thread) {
			if m.User == p.stage.slack.Bot().ID && re.MatchString(n.RenderMessage(slacktest.Rendering{}, m)) {
				count++
			}
		}
		if strconv.Itoa(count) != args[1] {
			return fmt.Errorf("%d messages match %q, not %s", count, args[2], args[1])
		}
		return nil
	case len(args) == 2 && args[0] == "is":
		if p.threads == nil {
			p.threads = map[string][2]string{}
		}
		p.threads[args[1]] = [2]string{p.channel, p.thread}
		return nil
	case len(args) == 2 && args[0] == "in":
		at, ok := p.threads[args[1]]
		if !ok {
			return fmt.Errorf("no conversation is called %s", args[1])
		}
		p.channel, p.thread = at[0], at[1]
		return nil
	case len(args) == 1 && args[0] == "show":
		fmt.Fprint(ts.Stdout(), p.stage.slack.Render(p.channel, p.thread))
		return nil
	}
	return usage("thread wait|lacks PATTERN, thread count N PATTERN, thread is|in NAME, thread show")
}

// private PERSON PATTERN: waits until the bot tells somebody something privately, by an ephemeral or a direct message.
func (p *play) cmdPrivate(ctx context.Context, _ *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		return usage("private PERSON PATTERN")
	}
	re, err := regexp.Compile(args[1])
	if err != nil {
		return err
	}
	var seen []string
	err = p.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool {
		seen = nil
		u, _ := n.User(args[0])
		for _, m := range append(n.Ephemerals(args[0]), n.Messages("D"+strings.TrimPrefix(u.ID, "U"))...) {
			seen = append(seen, m.Text)
			if re.MatchString(m.Text) {
				return true
			}
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("%s was never told %q, but: %q", args[0], args[1], seen)
	}
	return nil
}

// link PERSON …: people link their accounts. link code PERSON: somebody enters the code they were sent.
func (p *play) cmdLink(ctx context.Context, _ *testscript.TestScript, args []string) error {
	if len(args) == 2 && args[0] == "code" {
		return p.stage.enterCode(ctx, args[1])
	}
	for _, who := range args {
		if err := p.stage.link(ctx, who); err != nil {
			return err
		}
	}
	return nil
}

var logPage = regexp.MustCompile(`http://127\.0\.0\.1:\d+/s/[a-z2-7]{10}`)

var logLink = regexp.MustCompile(`http://127\.0\.0\.1:\d+/s/[a-z2-7]{10}\?t=[A-Za-z0-9_-]+`)

// page [altered]: follows the newest log link of the thread to the plain log, or one with another signature, and prints status and text.
func (p *play) cmdPage(ctx context.Context, ts *testscript.TestScript, args []string) error {
	n := p.stage.slack.Snapshot()
	links := logLink.FindAllString(n.Render(slacktest.Rendering{URLs: true}, p.channel, p.thread), -1)
	if len(links) == 0 {
		return errors.New("the thread has no log link")
	}
	link := strings.Replace(links[len(links)-1], "?t=", "/log.txt?t=", 1)
	if len(args) > 0 && args[0] == "altered" {
		link = link[:len(link)-3] + "xyz"
	}
	req, err := http.NewRequestWithContext(ctx, "GET", link, nil)
	if err != nil {
		return err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Jar: jar}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	fmt.Fprintf(ts.Stdout(), "%d\n%s", resp.StatusCode, b)
	return err
}
