//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/github/githubtest"
)

// github wait N: waits for N pull requests. github pulls, github log (of the newest one, or of a branch that is named), github tokens (once none that may write is left, which bots that were killed leave to the next), github usage: print what there is. github repo NAME [BRANCH|empty]:
// another repository, with that default branch. github rename NAME NEW: gives one another name. github write PATH TEXT: a commit on main. github fail FAULT [TIMES]: GitHub's next
// calls of a kind go wrong. github mend: no more of them do. github webhook SECRET: from now on webhooks go to the bot, signed with it; github deliveries:
// prints them with their answers, once all have one; github redeliver: sends all once more. github kill push|pull|text|review|merge before|after: the bot is killed when it next asks for
// that, before it is done or after; see crash. github set CHANGE: what people change there. What they do with pull requests is in
// pullVerbs.
func (p *play) cmdGitHub(ctx context.Context, ts *testscript.TestScript, args []string) error {
	g := p.stage.github
	if len(args) == 0 {
		return usage("github wait|pulls|log|tokens|repo|write …")
	}
	if act := pullVerbs[args[0]]; act != nil {
		return act(g, ts, args[1:])
	}
	switch args[0] {
	case "wait":
		return g.Wait(ctx, func() bool { return strconv.Itoa(len(g.Pulls(stageRepo))) == args[1] })
	case "pulls":
		for _, pull := range g.Pulls(stageRepo) {
			fmt.Fprintf(ts.Stdout(), "#%d %s by %s: %s\n%s\n", pull.Number, pull.State, pull.Author, pull.Title, pull.Body)
		}
		return nil
	case "log":
		which := arg(args, 1)
		if which == "" {
			pull, err := pullAt(g, "")
			if err != nil {
				return err
			}
			which = pull.Base + ".." + pull.Head
		}
		commits, err := g.Log(stageRepo, which)
		for _, c := range commits {
			fmt.Fprintf(ts.Stdout(), "author %s <%s>, committer %s\n%s\n", c.Author.Name, c.Author.Email, c.Committer.Name, logPage.ReplaceAllString(c.Message, "(log)"))
		}
		return err
	case "tokens":
		err := p.until(ctx, "", func() bool {
			return !slices.ContainsFunc(g.Tokens(), func(t githubtest.Token) bool {
				return t.Login == "" && t.Permissions["contents"] == "write" && t.Revoked.IsZero()
			})
		})
		for _, t := range g.Tokens() {
			if t.Login == "" {
				fmt.Fprintf(ts.Stdout(), "%v %v revoked=%v\n", t.Repositories, t.Permissions, !t.Revoked.IsZero())
			}
		}
		if err != nil {
			return fmt.Errorf("a token that may write is left: %w", err)
		}
		return nil
	case "usage":
		for who, u := range g.Usage() {
			fmt.Fprintf(ts.Stdout(), "%s: %d paid, %d of them first reads, %d free, %d points at most in a minute\n", who, u.Paid, u.First, u.Free, u.Peak)
		}
		return nil
	case "repo":
		r := githubtest.Repository{Name: args[1], Private: true, Files: map[string]string{"README.md": "# " + args[1] + "\n"}, DefaultBranch: arg(args, 2)}
		if r.DefaultBranch == "empty" {
			r.Files, r.DefaultBranch = nil, ""
		}
		return g.AddRepository(r)
	case "kill":
		f, ok := githubFaults[arg(args, 1)+"-answer"]
		if !ok || arg(args, 2) != "before" && arg(args, 2) != "after" {
			return usage("github kill push|pull|review|merge before|after")
		}
		p.killAt(f.route, args[2] == "after")
		return nil
	case "webhook":
		g.SetWebhook("http://"+p.web+"/webhooks/github", args[1])
		return nil
	case "redeliver":
		for _, d := range g.Deliveries() {
			if err := g.Redeliver(d.ID); err != nil {
				return err
			}
		}
		return nil
	case "deliveries":
		err := g.Wait(ctx, func() bool {
			for _, d := range g.Deliveries() {
				if d.Status == 0 && d.Err == nil {
					return false
				}
			}
			return true
		})
		for _, d := range g.Deliveries() {
			fmt.Fprintln(ts.Stdout(), d.Event, d.Action, d.Status)
		}
		return err
	case "rename":
		return g.Rename(args[1], args[2])
	case "write":
		_, err := g.Commit(stageRepo, githubtest.Change{Message: "Write " + args[1], Files: map[string]string{args[1]: text(args[2])}})
		return err
	case "fail":
		f, ok := githubFaults[args[1]]
		times := 1
		if len(args) > 2 {
			times, _ = strconv.Atoi(args[2])
		}
		if !ok || times < 1 {
			return usage("github fail FAULT [TIMES]")
		}
		g.Fail(f.route, times, f.after, f.answer)
		return nil
	case "mend":
		g.Mend()
		return nil
	case "set":
		if change := githubChanges[strings.Join(args[1:], " ")]; change != nil {
			return change(g)
		}
		return usage("github set CHANGE")
	}
	return usage("github wait|pulls|log|tokens|repo|write|fail|mend|set …, or one of pullVerbs")
}

const (
	reviewRoute = "POST /repos/{owner}/{repo}/pulls/{number}/reviews"
	mergeRoute  = "PUT /repos/{owner}/{repo}/pulls/{number}/merge"
)

// githubFaults are what the verb "github fail" can do.
var githubFaults = map[string]struct {
	route  string
	after  bool // the work is done
	answer *githubtest.Response
}{
	"push-answer": {"git git-receive-pack", true, &githubtest.Response{Drop: true}},
	"pull-answer": {"POST /repos/{owner}/{repo}/pulls", true, &githubtest.Response{Drop: true}},
	"text-answer": {"PATCH /repos/{owner}/{repo}/pulls/{number}", true, &githubtest.Response{Drop: true}},
	"pull-limit":  {"POST /repos/{owner}/{repo}/pulls", false, githubtest.SecondaryLimit(403, 25*time.Minute)},
	"pull-app":    {"POST /repos/{owner}/{repo}/pulls", false, githubtest.Refusal(403, "Resource not accessible by integration")},
	"fetch":       {"git info/refs git-upload-pack", false, githubtest.Busy(503)},
	"poll":        {"POST /login/oauth/access_token", false, githubtest.Busy(502)},
	// For reviewing and merging from Slack.
	"review-answer":  {reviewRoute, true, &githubtest.Response{Drop: true}},
	"review-own":     {reviewRoute, false, githubtest.Refusal(422, "Unprocessable Entity", "Can not approve your own pull request")},
	"review-pending": {reviewRoute, false, githubtest.Refusal(422, "Unprocessable Entity", "User can only have one pending review per pull request")},
	"review-sso":     {reviewRoute, false, githubtest.SSO("acme")},
	"review-busy":    {reviewRoute, false, githubtest.Busy(502)},
	"merge-answer":   {mergeRoute, true, &githubtest.Response{Drop: true}},
	"merge-base":     {mergeRoute, false, githubtest.Refusal(405, "Base branch was modified. Review and try the merge again.")},
	"merge-check":    {mergeRoute, false, githubtest.Refusal(405, `Required status check "test" is expected.`)},
	"merge-method":   {mergeRoute, false, githubtest.Refusal(405, "Merge commits are not allowed on this repository.")},
	"merge-sso":      {mergeRoute, false, githubtest.SSO("acme")},
	"merge-busy":     {mergeRoute, false, githubtest.Busy(502)},
	"pull-sso":       {"POST /repos/{owner}/{repo}/pulls", false, githubtest.SSO("acme")},
	"device-start":   {"POST /login/device/code", false, githubtest.Busy(502)},
}

// githubChanges are what the verb "github set" can do.
var githubChanges = map[string]func(*githubtest.Server) error{
	"suspended":       func(g *githubtest.Server) error { return g.Suspend("acme", true) },
	"not suspended":   func(g *githubtest.Server) error { return g.Suspend("acme", false) },
	"signed commits":  func(g *githubtest.Server) error { return g.SetRule(stageRepo, &githubtest.SignedCommits) },
	"push rule":       func(g *githubtest.Server) error { return g.SetRule(stageRepo, &githubtest.PreReceive) },
	"unknown objects": func(g *githubtest.Server) error { return g.SetRule(stageRepo, &githubtest.UnknownObjects) },
	"no rule":         func(g *githubtest.Server) error { return g.SetRule(stageRepo, nil) },
	"revoked bob":     func(g *githubtest.Server) error { g.RevokeAuthorization("bob-h"); return nil },
	"expired bob":     func(g *githubtest.Server) error { g.ExpireTokens("bob-h"); return nil },
	"no device flow":  func(g *githubtest.Server) error { g.DisableDeviceFlow(true); return nil },
	"required check":  func(g *githubtest.Server) error { return g.Protect(stageRepo, 0, "test") },
	"one approval":    func(g *githubtest.Server) error { return g.Protect(stageRepo, 1) },
	"squash only":     func(g *githubtest.Server) error { return g.SetMergeMethods(stageRepo, "squash") },
	"rebase only":     func(g *githubtest.Server) error { return g.SetMergeMethods(stageRepo, "rebase") },
	"blocked":         func(g *githubtest.Server) error { return g.SetBlocked(stageRepo, true) },
	"not blocked":     func(g *githubtest.Server) error { return g.SetBlocked(stageRepo, false) },
	"removed":         func(g *githubtest.Server) error { return g.SetInstalled(stageRepo, false) },
	"not removed":     func(g *githubtest.Server) error { return g.SetInstalled(stageRepo, true) },
	"not archived":    func(g *githubtest.Server) error { return g.SetArchived(stageRepo, false) },
	"archived":        func(g *githubtest.Server) error { return g.SetArchived(stageRepo, true) },
	"ada administers": func(g *githubtest.Server) error { g.SetAccess("ada-l", stageRepo, "admin"); return nil },
	"bob reads":       func(g *githubtest.Server) error { g.SetAccess("bob-h", stageRepo, "read"); return nil },
	"device flow":     func(g *githubtest.Server) error { g.DisableDeviceFlow(false); return nil },
	"declined": func(g *githubtest.Server) error {
		codes := g.UserCodes()
		if len(codes) != 1 {
			return fmt.Errorf("%d codes wait", len(codes))
		}
		return g.Deny(codes[0])
	},
}
