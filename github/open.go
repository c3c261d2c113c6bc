package github

import (
	"context"
	"net/http"
	"strings"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// Open pushes the commit that was checked and opens a pull request as the person who approved, or adopts the one that is open for the branch.
// Doing it again finds what was done before.
func (g *GitHub) Open(ctx context.Context, r session.OpenRequest) (session.PullRequest, error) {
	defer g.repos.lock(r.Repo.String())()
	var none session.PullRequest
	if r.By.GitHub == nil {
		return none, errUnlinked
	}
	t, err := g.token(ctx, r.By.Slack)
	if err != nil {
		return none, err
	}
	person, err := g.userClient(t.Access)
	if err != nil {
		return none, err
	}
	if _, _, err := person.Repositories.Get(ctx, r.Repo.Owner, r.Repo.Name); err != nil {
		return none, g.personal(ctx, r, err, "Your GitHub account "+t.Identity.Login+" cannot see "+r.Repo.String()+". Ask for access to it, then react again.")
	}
	if err := g.push(ctx, r); err != nil {
		return none, err
	}
	if pr, err := g.find(ctx, person, r); err != nil || pr != nil {
		if err != nil {
			return none, err
		}
		return g.pullRequest(r, pr, true), nil
	}
	pr, _, err := person.PullRequests.Create(ctx, r.Repo.Owner, r.Repo.Name, &gh.NewPullRequest{
		Title: gh.String(r.Title), Head: gh.String(r.Branch), Base: gh.String(r.Base), Body: gh.String(g.body(r)),
	})
	if err == nil {
		return g.pullRequest(r, pr, false), nil
	}
	if status, words := answer(err); status == http.StatusUnprocessableEntity {
		if strings.Contains(words, "already exists") {
			if pr, err := g.find(ctx, person, r); err == nil && pr != nil {
				return g.pullRequest(r, pr, true), nil
			}
		}
		if strings.Contains(words, "No commits between") {
			return none, session.Errorf(session.Conflict, "There is nothing to open: `%s` has everything already.", r.Base)
		}
	}
	return none, g.personal(ctx, r, err, "")
}

// personal turns an error of a call made as a person into one of ours.
func (g *GitHub) personal(ctx context.Context, r session.OpenRequest, err error, sentence string) error {
	if gone := g.revoked(ctx, r.By.Slack, err); gone != nil {
		return gone
	}
	if status, words := answer(err); status == http.StatusForbidden && strings.Contains(words, "SAML") {
		sentence = "GitHub wants you to sign in to " + r.Repo.Owner + " first. Start a single sign-on session for it on GitHub, then react again."
	}
	return problem("github.Open", err, sentence)
}

// find returns the open pull request of the branch, if there is one.
func (g *GitHub) find(ctx context.Context, c *gh.Client, r session.OpenRequest) (*gh.PullRequest, error) {
	list, _, err := c.PullRequests.List(ctx, r.Repo.Owner, r.Repo.Name, &gh.PullRequestListOptions{State: "open", Head: r.Repo.Owner + ":" + r.Branch})
	if err != nil {
		return nil, g.personal(ctx, r, err, "")
	}
	for _, pr := range list {
		if pr.GetHead().GetRef() == r.Branch { // GitHub ignores a filter it does not understand
			return pr, nil
		}
	}
	return nil, nil
}

func (g *GitHub) pullRequest(r session.OpenRequest, pr *gh.PullRequest, adopted bool) session.PullRequest {
	return session.PullRequest{
		Number: pr.GetNumber(), URL: pr.GetHTMLURL(), Title: session.OneLine(pr.GetTitle(), 150), Repo: r.Repo, Branch: r.Branch, Base: r.Base,
		Commit: r.Commit, State: session.PullOpen, OpenedBy: r.By, Adopted: adopted,
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
	token, revoke, err := g.mint(ctx, r.Repo, writeContents)
	if err != nil {
		return err
	}
	defer revoke()
	if err := g.rejoin(ctx, r.Session, r.Repo, token); err != nil {
		return err
	}
	ref := "refs/heads/" + r.Branch
	c := command{repo: quarantine, token: token, url: g.CloneURL(r.Repo), lazy: true, remote: true}
	at, err := g.git.run(ctx, c, "ls-remote", c.url, ref)
	if err != nil {
		return pushProblem(r, err)
	}
	// What we pushed is kept here too: of an attempt that ended before there was a pull request the session has no record.
	kept, lease := "refs/pushed/"+r.Branch, r.Pushed
	hash, _, _ := strings.Cut(at, "\t")
	if hash == r.Commit {
		return g.pushed(ctx, quarantine, kept, hash) // an attempt before a crash came this far
	}
	if last, err := g.git.run(ctx, command{repo: quarantine}, "rev-parse", "--verify", "--quiet", kept); err == nil && hash != "" && strings.TrimSpace(last) == hash {
		lease = hash
	}
	if _, err := g.git.run(ctx, c, "push", "--porcelain", "--no-verify", "--force-with-lease="+ref+":"+lease, c.url, r.Commit+":"+ref); err != nil {
		return pushProblem(r, err)
	}
	return g.pushed(ctx, quarantine, kept, r.Commit)
}

// pushed remembers what a branch of ours was last pushed to.
func (g *GitHub) pushed(ctx context.Context, quarantine, kept, hash string) error {
	_, err := g.git.run(ctx, command{repo: quarantine}, "update-ref", kept, hash)
	return session.Wrap("github.push", err)
}
