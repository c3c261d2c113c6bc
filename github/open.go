package github

import (
	"context"
	"net/http"
	"strings"
	"time"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// Open pushes the commit that was checked and opens a pull request as the person who approved, or adopts the one that is open for the branch.
// Doing it again finds what was done before.
func (g *GitHub) Open(ctx context.Context, r session.OpenRequest) (session.PullRequest, error) {
	defer g.repos.lock(r.Repo.String())()
	var pr session.PullRequest
	err := g.asPerson(ctx, r.By, func(c *gh.Client, t userToken) (err error) {
		pr, err = g.openAs(ctx, r, c, t)
		return err
	})
	if err == nil {
		g.watch.Follow(session.Followed{Session: r.Session, Repo: r.Repo, Number: pr.Number})
	}
	return pr, err
}

func (g *GitHub) openAs(ctx context.Context, r session.OpenRequest, person *gh.Client, t userToken) (none session.PullRequest, err error) {
	if _, _, err := person.Repositories.Get(ctx, r.Repo.Owner, r.Repo.Name); err != nil {
		return none, opens(r).personal(err, "")
	}
	if r.Expect > 0 {
		pr, err := g.expected(ctx, person, r)
		if err != nil {
			return none, err
		}
		if !isOpen(pr) { // it has what an attempt before a crash pushed
			return g.pullRequest(r, pr, true), nil
		}
		if err := g.push(ctx, r); err != nil {
			return none, err
		}
		if _, err := g.expected(ctx, person, r); err != nil { // it came to its end just before that
			return none, err
		}
		g.describe(ctx, person, r, pr)
		return g.pullRequest(r, pr, true), nil
	}
	if err := g.followed(ctx, r.Repo, func() error { return g.push(ctx, r) }); err != nil {
		return none, err
	}
	pr, err := g.find(ctx, person, r)
	if err != nil {
		return none, err
	}
	if pr != nil {
		g.describe(ctx, person, r, pr)
		return g.found(r, t, pr), nil
	}
	ask := &gh.NewPullRequest{Title: gh.String(r.Title), Head: gh.String(r.Branch), Base: gh.String(r.Base), Body: gh.String(g.body(r)), Draft: gh.Bool(r.Draft)}
	pr, _, err = person.PullRequests.Create(ctx, r.Repo.Owner, r.Repo.Name, ask)
	status, words := answer(err)
	if r.Draft && status == http.StatusUnprocessableEntity && strings.Contains(words, "Draft pull requests are not supported") {
		ask.Draft = gh.Bool(false) // private repositories of some plans; who approved is told
		pr, _, err = person.PullRequests.Create(ctx, r.Repo.Owner, r.Repo.Name, ask)
		status, words = answer(err)
	}
	if err == nil {
		return g.pullRequest(r, pr, false), nil
	}
	if status != http.StatusUnprocessableEntity {
		return none, opens(r).personal(err, "")
	}
	switch {
	case strings.Contains(words, "already exists"):
		if pr, e := g.find(ctx, person, r); e != nil || pr != nil {
			return g.found(r, t, pr), e
		}
	case strings.Contains(words, "No commits between"):
		return none, session.Errorf(session.Conflict, "There is nothing to open: `%s` has everything already.", r.Base)
	case strings.Contains(words, "base is invalid"):
		return none, session.Errorf(session.Conflict, "The branch `%s` of `%s` does not exist any more, so there is nothing to open a pull request against. Bring it back, then react again.", r.Base, r.Repo)
	case strings.Contains(words, "head is invalid"):
		return none, session.Errorf(session.Unavailable, "GitHub does not see the branch yet that was just pushed. Please react again in a minute.")
	case strings.Contains(words, "must be a collaborator"):
		return none, session.Errorf(session.Forbidden, "Your GitHub account %s may not open pull requests in `%s`. Ask for write access to it, then react again.", t.Identity.Login, r.Repo)
	}
	return none, opens(r).personal(err, "")
}

func opens(r session.OpenRequest) act {
	return act{op: "github.Open", repo: r.Repo, by: r.By, what: "no pull request can be opened in it", may: "open pull requests"}
}

// expected returns the pull request that a push goes to. If it came to its end without the commit that is an error: the card proposed no other.
func (g *GitHub) expected(ctx context.Context, c *gh.Client, r session.OpenRequest) (*gh.PullRequest, error) {
	pr, _, err := c.PullRequests.Get(ctx, r.Repo.Owner, r.Repo.Name, r.Expect)
	switch {
	case err != nil:
		return nil, opens(r).personal(err, "")
	case pr.GetHead().GetRef() == r.Branch && (isOpen(pr) || pr.GetHead().GetSHA() == r.Commit):
		return pr, nil
	}
	g.watch.Follow(session.Followed{Session: r.Session, Repo: r.Repo, Number: r.Expect}) // which tells the thread
	commit := r.Commit[:7]
	switch {
	case pr.GetMerged():
		return nil, session.Errorf(session.Conflict, "#%d was merged meanwhile, without %s. Ask for what is left of it in a message here: it begins a new branch.", r.Expect, commit)
	case isOpen(pr):
		return nil, session.Errorf(session.Conflict, "#%d is of another branch by now, so it is without %s: %s", r.Expect, commit, pr.GetHTMLURL())
	}
	return nil, session.Errorf(session.Conflict, "#%d was closed on GitHub meanwhile, without %s. In a moment the card says that it opens another pull request. If that is what you want, take your reaction off and react again; else reopen #%d first.", r.Expect, commit, r.Expect)
}

func isOpen(pr *gh.PullRequest) bool { return pr.GetState() == "open" }

// find returns the open pull request that brings the branch to its base, if there is one: to other bases people may bring it, too.
func (g *GitHub) find(ctx context.Context, c *gh.Client, r session.OpenRequest) (*gh.PullRequest, error) {
	owner := g.current(r.Repo).Owner // by which GitHub finds it, whatever name leads there
	list, _, err := c.PullRequests.List(ctx, r.Repo.Owner, r.Repo.Name, &gh.PullRequestListOptions{State: "open", Head: owner + ":" + r.Branch, Base: r.Base})
	if err != nil {
		return nil, opens(r).personal(err, "")
	}
	for _, pr := range list {
		if pr.GetHead().GetRef() == r.Branch && strings.EqualFold(pr.GetHead().GetUser().GetLogin(), owner) && pr.GetBase().GetRef() == r.Base { // GitHub ignores a filter it does not understand
			return pr, nil
		}
	}
	return nil, nil
}

// found is a pull request that was there. One that this person opened for this session, and that the session does not know of, is an attempt of
// before whose answer was lost: it is not adopted, it is ours.
func (g *GitHub) found(r session.OpenRequest, t userToken, pr *gh.PullRequest) session.PullRequest {
	if pr == nil {
		return session.PullRequest{}
	}
	ours := r.Pushed == "" && pr.GetUser().GetID() == t.Identity.ID && strings.Contains(pr.GetBody(), trailer(r.Session))
	return g.pullRequest(r, pr, !ours)
}

func (g *GitHub) pullRequest(r session.OpenRequest, pr *gh.PullRequest, adopted bool) session.PullRequest {
	return session.PullRequest{
		Number: pr.GetNumber(), URL: pr.GetHTMLURL(), Title: session.OneLine(pr.GetTitle(), 150), Repo: r.Repo, Branch: r.Branch, Base: r.Base,
		Commit: r.Commit, State: session.PullOpen, Draft: pr.GetDraft(), Author: account(pr.GetUser()), OpenedBy: r.By, Adopted: adopted,
	}
}

// push sends the commit that was checked, and nothing else, with a token that is made for it and revoked after it. The branch must be where we
// left it.
func (g *GitHub) push(ctx context.Context, r session.OpenRequest) error {
	quarantine := g.quarantineDir(r.Session)
	if !isHash(r.Commit) || !strings.HasPrefix(r.Branch, "inspect/") {
		return session.Errorf(session.Internal, "%q on %q is not to be pushed", r.Commit, r.Branch)
	}
	if _, err := g.git.run(ctx, command{repo: quarantine}, "rev-parse", "--verify", "--quiet", "refs/checked/"+r.Commit); err != nil {
		return &session.Error{Code: session.Conflict, Op: "github.push", Message: "The bot does not hold commit " + r.Commit[:7] + " any more. Send the agent another message, and react on the new card.", Err: err}
	}
	token, revoke, err := g.mint(ctx, r.Repo, writeContents, time.Time{})
	if err != nil {
		return err
	}
	defer revoke()
	if err := g.rejoin(ctx, r.Session, r.Repo, token); err != nil {
		return err
	}
	ref := "refs/heads/" + r.Branch
	c := command{repo: quarantine, token: token, url: g.CloneURL(r.Repo), lazy: true, remote: true}
	hash, err := g.at(ctx, c, ref)
	if err != nil {
		return pushProblem(r, err)
	}
	// What we pushed is kept here too: of an attempt that ended before there was a pull request the session has no record.
	kept, lease := "refs/pushed/"+r.Branch, r.Pushed
	if hash == "" && r.Expect == 0 {
		lease = "" // its pull request came to an end, and then somebody deleted it
	}
	if hash == r.Commit {
		return g.pushed(ctx, quarantine, kept, hash) // an attempt before a crash came this far
	}
	if last, err := g.git.run(ctx, command{repo: quarantine}, "rev-parse", "--verify", "--quiet", kept); err == nil && hash != "" && strings.TrimSpace(last) == hash {
		lease = hash
	}
	if _, err := g.git.run(ctx, c, "push", "--porcelain", "--no-verify", "--force-with-lease="+ref+":"+lease, c.url, r.Commit+":"+ref); err != nil {
		// A push whose answer was lost is sent again by git itself, and then finds its own work in its way.
		if hash, e := g.at(ctx, c, ref); e != nil || hash != r.Commit {
			return pushProblem(r, err)
		}
	}
	return g.pushed(ctx, quarantine, kept, r.Commit)
}

// at returns where a ref of the remote is; "" if it is not there.
func (g *GitHub) at(ctx context.Context, c command, ref string) (string, error) {
	out, err := g.git.run(ctx, c, "ls-remote", c.url, ref)
	hash, _, _ := strings.Cut(out, "\t")
	return hash, err
}

// pushed remembers what a branch of ours was last pushed to.
func (g *GitHub) pushed(ctx context.Context, quarantine, kept, hash string) error {
	_, err := g.git.run(ctx, command{repo: quarantine}, "update-ref", kept, hash)
	return session.Wrap("github.push", err)
}
