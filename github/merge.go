package github

import (
	"context"
	"net/http"
	"strings"
	"time"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// baseMoved is how often a merge is tried again because the base moved in the middle of it: GitHub asks for that.
const baseMoved = 3

// Merge merges a pull request as a person, at the commit that their card showed, if nothing blocks it by GitHub's own word of this moment. Doing it again
// finds what was done before.
func (g *GitHub) Merge(ctx context.Context, r session.MergeRequest) (commit string, err error) {
	a := act{op: "github.Merge", repo: r.Repo, by: r.By, what: "nothing can be merged in it", may: "merge pull requests"}
	err = g.asPerson(ctx, r.By, func(c *gh.Client, _ userToken) error {
		repo, _, err := c.Repositories.Get(ctx, r.Repo.Owner, r.Repo.Name)
		if err != nil {
			return a.personal(err, "")
		}
		seen, err := g.look(ctx, c, r.Repo, r.Number)
		if mayNotPush(err) {
			return mayNotMerge(r) // nor see who may
		}
		if err != nil {
			return a.personal(err, "")
		}
		if seen.State == session.PullMerged && seen.Head == r.Commit {
			commit = seen.MergedAs // an attempt of before whose answer was lost, or somebody was faster
			return nil
		}
		if reason := r.Blocked(seen); reason != "" {
			return session.Errorf(session.Conflict, "%s", reason)
		}
		commit, err = g.mergeAs(ctx, c, a, r, methods(repo))
		return err
	})
	g.watch.Follow(session.Followed{Session: r.Session, Repo: r.Repo, Number: r.Number}) // whatever came of it
	return commit, err
}

// methods are the ways to merge that a repository allows, the usual one first. Who may not push is not told.
func methods(r *gh.Repository) []string {
	var out []string
	for _, m := range []struct {
		name string
		is   *bool
	}{{"merge", r.AllowMergeCommit}, {"squash", r.AllowSquashMerge}, {"rebase", r.AllowRebaseMerge}} {
		if m.is == nil || *m.is {
			out = append(out, m.name)
		}
	}
	return out
}

func (g *GitHub) mergeAs(ctx context.Context, c *gh.Client, a act, r session.MergeRequest, methods []string) (string, error) {
	again := 0
	for {
		if len(methods) == 0 {
			return "", session.Errorf(session.Conflict, "%s allows none of GitHub's ways to merge from outside. Merge it on GitHub.", r.Repo)
		}
		if g.c.Stands != nil {
			if err := g.c.Stands(ctx, r); err != nil {
				return "", session.Wrap("github.Merge", err)
			}
		}
		result, _, err := c.PullRequests.Merge(ctx, r.Repo.Owner, r.Repo.Name, r.Number, "", &gh.PullRequestOptions{SHA: r.Commit, MergeMethod: methods[0]})
		if err == nil {
			return result.GetSHA(), nil
		}
		switch status, words := answer(err); {
		case status == http.StatusMethodNotAllowed && strings.Contains(words, "Base branch was modified"):
			if again++; again > baseMoved || !g.wait(ctx, time.Duration(again)*time.Second) {
				return "", session.Errorf(session.Conflict, "`%s` keeps moving, so GitHub did not merge. Please react again in a while.", a.repo)
			}
		case status == http.StatusMethodNotAllowed && strings.Contains(words, "are not allowed on this repository"):
			methods = methods[1:]
		case status == http.StatusMethodNotAllowed:
			return "", session.Errorf(session.Conflict, "GitHub does not merge it: %s.", words)
		case status == http.StatusConflict:
			return "", session.Errorf(session.Conflict, "#%d has newer commits than this card's %s. React on the newest card, or go on on GitHub.", r.Number, r.Commit[:7])
		case status == http.StatusNotFound, mayNotPush(err):
			return "", mayNotMerge(r)
		default:
			return "", a.personal(err, "")
		}
	}
}

// mayNotPush reports whether GitHub refused somebody for want of write access.
func mayNotPush(err error) bool {
	status, words := answer(err)
	return status == http.StatusForbidden && strings.Contains(words, "push access")
}

func mayNotMerge(r session.MergeRequest) error {
	return session.Errorf(session.Forbidden, "Your GitHub account %s may not merge in %s. Ask for write access to it, or somebody who has it.", r.By.GitHub.Login, r.Repo)
}

// wait lets time pass; false when ctx ended first.
func (g *GitHub) wait(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	defer g.c.Clock.AfterFunc(d, func() { close(over) })()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}
