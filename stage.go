//go:build linux

package main

import (
	"cmp"
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
	"openinspect/sandbox/local"
	"openinspect/session/model/modeltest"
)

//go:embed all:testdata/demo
var demoFiles embed.FS

// stage is the outside world on loopback: a Slack, a GitHub and a model provider that speak the real protocols, with a few people and a sample
// repository. The demo plays on it, and so do the product's scripts.
type stage struct {
	slack  *slacktest.Server
	github *githubtest.Server
	model  *modeltest.Provider
}

// The stage's people are in Slack under these names and on GitHub under these logins.
var cast = map[string]string{"ada": "ada-l", "bob": "bob-h", "cyd": "cyd"}

const (
	stageChannel = "shop"
	stageRepo    = "acme/shop"
)

// newStage makes a stage and starts it. scripts are the model's answers; change may alter its Slack and its GitHub.
func newStage(scripts []modeltest.Script, change ...func(*slacktest.Config, *githubtest.Config)) (*stage, error) {
	shop, err := fs.Sub(demoFiles, "testdata/demo/shop")
	if err != nil {
		return nil, err
	}
	workspace := slacktest.Config{
		TeamName: "Acme",
		Users: []slacktest.User{
			{Name: "ada", RealName: "Ada Lovelace", DisplayName: "Ada Lovelace"},
			{Name: "bob", RealName: "Bob Hopper", DisplayName: "Bob Hopper"},
			{Name: "cyd", RealName: "Cyd Unlinked", DisplayName: "Cyd Unlinked"},
			{Name: "guest", IsRestricted: true},
		},
		Channels: []slacktest.Channel{
			{Name: stageChannel, Members: []string{"ada", "bob", "cyd", "inspect"}},
			{Name: "lobby"}, // the guest is in it too
		},
	}
	forge := githubtest.Config{
		DeviceInterval: time.Second,
		Users: []githubtest.User{
			{Login: "ada-l", ID: 1815, Name: "Ada Lovelace", Access: map[string]string{"*": "write"}},
			{Login: "bob-h", ID: 1906, Name: "Bob Hopper", Access: map[string]string{"*": "write"}},
			{Login: "cyd", ID: 1900, Name: "Cyd", Access: map[string]string{"*": "write"}},
		},
		Repositories: []githubtest.Repository{{
			Name: stageRepo, Description: "A till in 30 lines of shell", Private: true, FS: shop,
			Author: githubtest.Signature{Name: "Grace", Email: "grace@acme.test"},
		}},
	}
	for _, c := range change {
		c(&workspace, &forge)
	}
	s := &stage{slack: slacktest.New(workspace), github: githubtest.New(forge)}
	if s.model, err = modeltest.New(modeltest.Config{Scripts: scripts}); err != nil {
		return nil, err
	}
	for _, start := range []func() error{s.slack.Start, s.github.Start, s.model.Start} {
		if err := start(); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// demoScripts are the scripted model's answers in the demo.
func demoScripts() ([]modeltest.Script, error) {
	text, err := demoFiles.ReadFile("testdata/demo/script.txt")
	if err != nil {
		return nil, err
	}
	return modeltest.Parse("testdata/demo/script.txt", string(text))
}

func (s *stage) close() {
	s.slack.Close()
	_ = s.github.Close()
	_ = s.model.Close()
}

// environ is the configuration of a bot on this stage, with its data below dir.
func (s *stage) environ(dir string) map[string]string {
	app := s.github.App()
	return map[string]string{
		"SLACK_BOT_TOKEN": s.slack.BotToken(), "SLACK_APP_TOKEN": s.slack.AppToken(), "SLACK_API_URL": s.slack.URL(),
		"GITHUB_URL": s.github.URL(), "GITHUB_APP_ID": strconv.FormatInt(app.ID, 10), "GITHUB_CLIENT_ID": app.ClientID,
		"GITHUB_APP_PRIVATE_KEY": string(s.github.PrivateKeyPEM()),
		"ANTHROPIC_API_KEY":      modeltest.AnthropicKey, "ANTHROPIC_BASE_URL": s.model.URL(),
		"INSPECT_DATA_DIR": filepath.Join(dir, "data"), "INSPECT_MASTER_KEY": base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"INSPECT_MAX_SANDBOXES": "8", "INSPECT_WARM_SANDBOXES": "0", // the same on every computer; none wait unless it is about them
		"HOME": dir,
	}
}

// endSandboxes ends what a bot with its data below dir left running: sandboxes outlive their bot.
func endSandboxes(dir string, isolation local.Isolation) error {
	p, err := local.New(local.Config{Dir: filepath.Join(dir, "data", "sandboxes"), Isolation: isolation, Agent: local.ScriptAgent})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	list, err := p.List(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, h := range list {
		err = errors.Join(err, p.Destroy(ctx, h))
	}
	return err
}

var userCode = regexp.MustCompile(`\b[A-Z0-9]{4}-[A-Z0-9]{4}\b`)

// link links somebody's GitHub account as they would: /inspect link, the code from the direct message, GitHub's page.
func (s *stage) link(ctx context.Context, who string) error {
	// Slack does not repeat commands that find no socket.
	if err := s.slack.Wait(ctx, func(n *slacktest.Snapshot) bool { return n.Sockets() > 0 }); err != nil {
		return fmt.Errorf("the bot did not connect to Slack: %w", err)
	}
	if _, err := s.slack.As(who).Command(stageChannel, "link"); err != nil {
		return err
	}
	return s.enterCode(ctx, who)
}

// enterCode waits for the code in somebody's direct messages, enters it at GitHub and waits until the bot says that they are linked.
func (s *stage) enterCode(ctx context.Context, who string) error {
	var code string
	if err := s.directly(ctx, who, func(text string) bool { code = userCode.FindString(text); return code != "" }); err != nil {
		return fmt.Errorf("no code came to %s: %w", who, err)
	}
	if err := s.github.Approve(code, cmp.Or(cast[who], who)); err != nil {
		return err
	}
	if err := s.directly(ctx, who, func(text string) bool { return strings.HasPrefix(text, "Linked:") }); err != nil {
		return fmt.Errorf("the bot did not tell %s that they are linked: %w", who, err)
	}
	return nil
}

// directly waits until the newest direct message to somebody satisfies ok.
func (s *stage) directly(ctx context.Context, who string, ok func(text string) bool) error {
	return s.slack.Wait(ctx, func(n *slacktest.Snapshot) bool {
		u, _ := n.User(who)
		messages := n.Messages("D" + strings.TrimPrefix(u.ID, "U"))
		return len(messages) > 0 && ok(messages[len(messages)-1].Text)
	})
}

// message waits for the newest message of the bot in a thread that satisfies ok.
func (s *stage) message(ctx context.Context, channel, thread string, ok func(m slacktest.Message, text string) bool) (found slacktest.Message, err error) {
	self := s.slack.Bot().ID
	err = s.slack.Wait(ctx, func(n *slacktest.Snapshot) bool {
		for _, m := range n.Thread(channel, thread) {
			if m.User == self && ok(m, n.RenderMessage(slacktest.Rendering{URLs: true}, m)) {
				found = m
			}
		}
		return found.TS != ""
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the thread did not come to that:\n%s", s.slack.Render(channel, thread))
	}
	return found, err
}
