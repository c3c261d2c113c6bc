//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
)

// loot is what is planted: the bot's own secrets, which have no shape here, and tokens of others.
type loot struct {
	values map[string]string // by what they are
	tokens map[string]string
}

func newLoot(env map[string]string) loot {
	master, _ := base64.StdEncoding.DecodeString(env["INSPECT_MASTER_KEY"])
	key := env["GITHUB_APP_PRIVATE_KEY"]
	lines := strings.Split(key, "\n")
	return loot{
		values: map[string]string{
			"bot token": env["SLACK_BOT_TOKEN"], "app token": env["SLACK_APP_TOKEN"], "model key": env["ANTHROPIC_API_KEY"],
			"master key": env["INSPECT_MASTER_KEY"], "master key, raw": string(master), "private key": key, "a line of it": lines[len(lines)/2],
		},
		// Put together here, so that no scanner takes this file for a leak.
		tokens: map[string]string{
			"github": "ghp" + "_0123456789abcdefghijABCDEFGHIJ012345", "github fine": "github" + "_pat_11ABCDE0123456789_abcdefghijk",
			"slack": "xoxp" + "-1234567890-abcdefghijkl", "anthropic": "sk" + "-ant-api03-abcdefgh_ijkl-mnop", "aws": "AKIA" + "IOSFODNN7EXAMPLE",
			"web token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123",
		},
	}
}

// hidden returns every planted secret in every disguise that is seen through.
func (l loot) hidden() []string {
	var all []string
	for what, s := range l.values {
		all = append(all, fmt.Sprintf("%q", s), url.PathEscape(s), broken(s, 17), base64.StdEncoding.EncodeToString([]byte("user:"+s)), hex.EncodeToString([]byte(s)))
		if what == "a line of it" {
			all = all[:len(all)-2] // of a line of many its base64 is not looked for
		}
		if what != "master key, raw" {
			all = append(all, s, jsoned(s), s[:len(s)/2]+"\x1b[1m"+s[len(s)/2:]+"\x1b[0m")
		}
	}
	for _, s := range l.tokens {
		all = append(all, s, broken(s, 3), s[:2]+"\x1b[1m"+s[2:]+"\x1b[0m", fmt.Sprintf(`\u%04x%s`, s[0], s[1:]))
	}
	return all
}

func jsoned(s string) string {
	b, _ := json.Marshal(s)
	return string(b[1 : len(b)-1])
}

// broken breaks s over lines, as a terminal does.
func broken(s string, width int) string {
	var lines []string
	for len(s) > width {
		lines, s = append(lines, s[:width]), s[width:]
	}
	return strings.Join(append(lines, s), "\n")
}

// searched looks for what leaked into some output, as it is and as JSON and HTML write it.
func searched(t *testing.T, where string, output []byte, hidden []string) {
	t.Helper()
	for _, h := range hidden {
		for _, form := range []string{h, jsoned(h), html.EscapeString(h), jsoned(jsoned(h))} {
			if i := bytes.Index(output, []byte(form)); i >= 0 {
				t.Errorf("%s holds %q: …%q…", where, form, output[max(0, i-60):min(len(output), i+len(form)+60)])
				return
			}
		}
	}
}

// Secrets are planted wherever something comes from: in messages of people, in what the agent reads, runs, writes, says and asks, in file names and diffs.
// None of them is in anything that the bot stores, shows, sends or logs.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	s, err := newStage(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &play{stage: s, dir: t.TempDir(), isolation: isolation(t)}
	if p.cache, err = os.UserCacheDir(); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	defer func() {
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}()
	settings := map[string]string{
		"ANTHROPIC_API_KEY":  `opaque "model" key\with %41<&> in it+/=`,
		"INSPECT_MASTER_KEY": base64.StdEncoding.EncodeToString([]byte("32 bytes of a key: \x01\x80\xff abcdefghi")),
	}
	env := s.environ(p.dir)
	args := []string{"script"}
	for k, v := range settings {
		env[k] = v
		args = append(args, k+"="+v)
	}
	l := newLoot(env)
	hidden := l.hidden()
	var all strings.Builder
	for i, h := range hidden {
		fmt.Fprintf(&all, "canary %d: %s\n", i, h)
	}
	one := func(i int) string { return strings.ReplaceAll(hidden[i%len(hidden)], "\n", " ") }
	files := map[string]string{
		"leaks/all": all.String(), "leaks/key": l.values["private key"], "leaks/value": l.values["model key"], "leaks/token": l.tokens["github"],
		"leaks/base64": base64.RawURLEncoding.EncodeToString([]byte(l.values["model key"])), "leaks/line": one(1),
	}
	if _, err := s.github.Commit(stageRepo, githubtest.Change{Message: "Plant", Files: files}); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*waitLimit)
	defer cancel()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n--- thread\n%s--- bot\n%s", err, s.slack.Render(p.channel, p.thread), p.logTail())
		}
	}
	do(p.cmdBot(ctx, nil, args))
	do(s.link(ctx, "ada"))
	do(p.cmdSlack(ctx, nil, []string{"mention", "ada", "canary prompt, with " + l.tokens["aws"] + " and " + l.values["model key"] +
		`\n!run cat leaks/*\n!think canary thought: @{leaks/all}\n!todo canary todo @{leaks/token} | x @{leaks/value}\n!update canary update @{leaks/token} @{leaks/value}\n` +
		`!retry canary retry @{leaks/token}\n!propose canary title @{leaks/value} | canary body @{leaks/all}\n!say canary words: @{leaks/all}\n!run ls; false @{leaks/line}\n` +
		`!run mkdir -p made; echo canary diff > "made/$(cat leaks/base64)"\n!append made/diff canary line @{leaks/value} @{leaks/base64}`}))
	do(p.cmdThread(ctx, nil, []string{"wait", "looked like a secret"}))
	do(p.cmdThread(ctx, nil, []string{"wait", "Changes ready"}))
	watched := p.watchLive(ctx, t)
	do(p.cmdSlack(ctx, nil, []string{"reply", "ada", `canary second: !say canary live @{leaks/all} ;; !ask canary question @{leaks/value}? | @{leaks/token} | no`}))
	do(p.cmdThread(ctx, nil, []string{"wait", "canary question"}))
	do(p.cmdSlack(ctx, nil, []string{"reply", "ada", `canary third: !fail canary failure @{leaks/value} @{leaks/token}`}))
	do(p.cmdThread(ctx, nil, []string{"wait", "canary failure"}))
	do(p.cmdSlack(ctx, nil, []string{"reply", "ada", `canary fourth: !write committed.txt canary @{leaks/token}`})) // the gate refuses it, and says why
	do(p.cmdThread(ctx, nil, []string{"wait", "committed.txt"}))
	do(p.cmdSlack(ctx, nil, []string{"command", "ada", l.tokens["github fine"]}))
	do(p.cmdPrivate(ctx, nil, []string{"ada", "I do not know"}))
	do(p.cmdSlack(ctx, nil, []string{"command", "ada", "canary fifth: " + l.tokens["github fine"] + " !say canary of a command, @{leaks/token}"}))
	do(s.slack.Wait(ctx, func(n *slacktest.Snapshot) bool {
		return slices.ContainsFunc(n.Messages(stageChannel), func(m slacktest.Message) bool { return strings.HasPrefix(m.Text, "canary of a command") })
	}))
	_, page := p.fetch(ctx, t, "")
	_, plain := p.fetch(ctx, t, "/log.txt")
	do(p.bot.stop(ctx))
	p.bot = nil

	n := s.slack.Snapshot()
	var sent bytes.Buffer
	for method := range n.Counts() {
		for _, c := range n.Calls(method) {
			for name, value := range c.Args {
				fmt.Fprintf(&sent, "%s %s=%s\n", method, name, value)
			}
		}
	}
	for _, m := range n.Thread(p.channel, p.thread) {
		if m.User == s.slack.Bot().ID {
			for _, f := range m.Files {
				fmt.Fprintf(&sent, "file %s %s\n%s\n", f.Name, f.Title, f.Data)
			}
		}
	}
	outputs := map[string][]byte{"what was sent to Slack": sent.Bytes(), "the log page": page, "the plain log": plain, "the live page": watched()}
	var stored []byte
	err = filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(p.dir, path)
		switch {
		case err != nil:
			return err
		case rel == "data/sandboxes" || rel == "data/git": // the repository's own, with what was planted there
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		b, err := os.ReadFile(path)
		outputs[rel] = b
		if strings.HasPrefix(rel, "data/") {
			stored = append(stored, b...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, output := range outputs {
		searched(t, where, output, hidden)
	}
	// What was planted did get there, without its secrets.
	for where, canaries := range map[string][]string{
		"what was sent to Slack": {"canary words", "canary question", "canary failure", "canary title", "canary fifth", "canary of a command"},
		"the plain log":          {"canary 7:", "canary prompt", "canary thought", "canary todo", "canary line"},
		"the live page":          {"canary live"},
	} {
		for _, c := range canaries {
			if !bytes.Contains(outputs[where], []byte(c)) {
				t.Errorf("%s does not hold %q", where, c)
			}
		}
	}
	for _, c := range []string{"canary 7:", "canary prompt", "canary thought", "canary todo", "canary update", "canary retry", "canary body", "canary diff", "canary second", "[redacted]"} {
		if !bytes.Contains(stored, []byte(c)) {
			t.Errorf("the data directory does not hold %q", c)
		}
	}
	if !bytes.Contains(outputs["bot.log"], []byte(`"msg"`)) {
		t.Error("the bot's log is empty")
	}
}

// fetch gets a page below the newest log link of the thread, by a browser that keeps the cookie.
func (p *play) fetch(ctx context.Context, t *testing.T, below string) (*http.Client, []byte) {
	t.Helper()
	n := p.stage.slack.Snapshot()
	links := logLink.FindAllString(n.Render(slacktest.Rendering{URLs: true}, p.channel, p.thread), -1)
	if len(links) == 0 {
		t.Fatal("the thread has no log link")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	req, err := http.NewRequestWithContext(ctx, "GET", strings.Replace(links[len(links)-1], "?t=", below+"?t=", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", below, resp.StatusCode, err)
	}
	return client, b
}

// watchLive follows the log page's socket until the bot ends it, and then returns all that came.
func (p *play) watchLive(ctx context.Context, t *testing.T) func() []byte {
	t.Helper()
	client, _ := p.fetch(ctx, t, "")
	n := p.stage.slack.Snapshot()
	page := logPage.FindString(n.Render(slacktest.Rendering{URLs: true}, p.channel, p.thread))
	c, _, err := websocket.Dial(ctx, strings.Replace(page, "http", "ws", 1)+"/live?after=0", &websocket.DialOptions{HTTPClient: client, HTTPHeader: http.Header{"Origin": {"http://" + p.web}}})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	var all bytes.Buffer
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			_, b, err := c.Read(ctx)
			if err != nil {
				return
			}
			all.Write(b)
			all.WriteByte('\n')
		}
	})
	return func() []byte { wg.Wait(); return all.Bytes() }
}
