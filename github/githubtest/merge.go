package githubtest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// signature is how GitHub signs what somebody does in the browser.
func (a *account) signature() Signature {
	return Signature{Name: a.name, Email: fmt.Sprintf("%d+%s@users.noreply.github.com", a.id, a.login)}
}

// blocked says why the base's protection forbids a merge; "" if it does not.
func (s *Server) blocked(r *repository, p *pull) string {
	if !r.protected(p.base) {
		return ""
	}
	last := map[*account]string{}
	for _, v := range p.reviews {
		if v.author.role(r) >= write && v.state != "COMMENTED" && v.state != "PENDING" {
			last[v.author] = v.state
		}
	}
	approvals := 0
	for _, state := range last {
		switch state {
		case "CHANGES_REQUESTED":
			return "Changes have been requested by a reviewer with write access."
		case "APPROVED":
			approvals++
		}
	}
	if approvals < r.RequiredApprovals {
		verb := "review is"
		if r.RequiredApprovals > 1 {
			verb = "reviews are"
		}
		return fmt.Sprintf("At least %d approving %s required by reviewers with write access.", r.RequiredApprovals, verb)
	}
	for _, name := range r.RequiredChecks {
		if state := r.check(name, p.headSHA); state != "" {
			return fmt.Sprintf("Required status check %q is %s.", name, state)
		}
	}
	return ""
}

// check is what keeps a check run or status on a commit from being green, in GitHub's words; "" if nothing does.
func (r *repository) check(name, sha string) string {
	for _, run := range r.runs {
		switch {
		case run.sha != sha || run.Name != name:
		case run.Status != "completed":
			return strings.ReplaceAll(run.Status, "_", " ")
		case green[run.Conclusion]:
			return ""
		default:
			return "failing"
		}
	}
	for _, st := range r.statuses {
		switch {
		case st.sha != sha || st.Context != name:
		case st.State == "success":
			return ""
		case st.State == "pending":
			return "pending"
		default:
			return "failing"
		}
	}
	return "expected"
}

// mergePull merges in git, by the method asked for.
func (s *Server) mergePull(c *call) *reply {
	var in struct {
		CommitTitle   string `json:"commit_title"`
		CommitMessage string `json:"commit_message"`
		SHA           string `json:"sha"`
		Method        string `json:"merge_method"`
	}
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	r, p := c.repo, c.pull
	refusals := map[string]string{
		"merge":  "Merge commits are not allowed on this repository.",
		"squash": "Squash merges are not allowed on this repository.",
		"rebase": "Rebase merges are not allowed on this repository.",
	}
	if in.Method == "" {
		in.Method = "merge"
	}
	notAllowed := func(why string) *reply { return fail(http.StatusMethodNotAllowed, why) }
	switch {
	case refusals[in.Method] == "":
		return validation(invalid("PullRequest", "merge_method"))
	case p.state != "open":
		return notAllowed("Pull Request is not mergeable")
	case p.draft:
		return notAllowed("Pull Request is still a draft")
	case in.SHA != "" && in.SHA != p.headSHA:
		return fail(http.StatusConflict, "Head branch was modified. Review and try the merge again.")
	case s.blocked(r, p) != "":
		return notAllowed(s.blocked(r, p))
	case !r.allows(in.Method):
		return notAllowed(refusals[in.Method])
	}
	var sha string
	var err error
	if in.Method == "rebase" {
		sha, err = s.rebase(r, p, c.account)
	} else {
		sha, err = s.mergeCommit(r, p, c.account, in.Method, in.CommitTitle, in.CommitMessage)
	}
	if exitCode(err) == 1 {
		return notAllowed("Pull Request is not mergeable")
	}
	if err != nil {
		return broken(err)
	}
	old := p.baseSHA
	s.markMerged(r, p, c.account, sha)
	if err := s.moveRef(r, c.account, "refs/heads/"+p.base, sha, old); err != nil {
		return broken(err)
	}
	return ok(object{"sha": sha, "merged": true, "message": "Pull Request successfully merged"})
}

// mergeCommit makes a merge commit, or one commit of everything. A conflict is git's exit status 1.
func (s *Server) mergeCommit(r *repository, p *pull, who *account, method, title, message string) (string, error) {
	tree, err := s.git(r, "merge-tree", "--write-tree", p.baseSHA, p.headSHA)
	if err != nil {
		return "", err
	}
	author, parents := who.signature(), []string{"-p", p.baseSHA, "-p", p.headSHA}
	if title == "" {
		title = fmt.Sprintf("Merge pull request #%d from %s/%s", p.number, r.owner.login, p.head)
	}
	if message == "" {
		message = p.title
	}
	if method == "squash" {
		author, parents = p.author.signature(), parents[:2]
		if title, message, err = s.squashMessage(r, p, title, message); err != nil {
			return "", err
		}
	}
	c := command{stdin: title + "\n\n" + message + "\n", env: identity(author, webFlow, s.gitDate())}
	return s.gitWith(r, c, append([]string{"commit-tree", tree, "-F", "-"}, parents...)...)
}

// squashMessage is GitHub's default: the pull request's title with its number, the commits' subjects if there are
// several, and everybody else who wrote a commit, or is named in one, as a co-author. What the caller gave wins.
func (s *Server) squashMessage(r *repository, p *pull, title, message string) (string, string, error) {
	commits, err := s.log(r, "--reverse", "--no-merges", p.baseSHA+".."+p.headSHA)
	if err != nil {
		return "", "", err
	}
	if strings.HasPrefix(title, "Merge pull request #") {
		title = fmt.Sprintf("%s (#%d)", p.title, p.number)
	}
	const trailer = "Co-authored-by: "
	var subjects, coauthors []string
	credit := func(line string) {
		if !slices.Contains(coauthors, line) && !strings.HasSuffix(line, "<"+p.author.signature().Email+">") {
			coauthors = append(coauthors, line)
		}
	}
	for _, c := range commits {
		subject, body, _ := strings.Cut(c.Message, "\n")
		subjects = append(subjects, "* "+subject)
		credit(trailer + c.Author.Name + " <" + c.Author.Email + ">")
		for line := range strings.Lines(body) {
			if line = strings.TrimSpace(line); len(line) > len(trailer) && strings.EqualFold(line[:len(trailer)], trailer) {
				credit(trailer + line[len(trailer):])
			}
		}
	}
	if message == p.title {
		message = ""
		if len(subjects) > 1 {
			message = strings.Join(subjects, "\n\n")
		}
	}
	return title, strings.TrimSpace(message + "\n\n" + strings.Join(coauthors, "\n")), nil
}

// rebase replays the pull request's commits on its base and returns the last one. A conflict is exit status 1.
func (s *Server) rebase(r *repository, p *pull, who *account) (string, error) {
	scratch, err := os.MkdirTemp(s.root, ".rebase-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	tree := filepath.Join(scratch, "tree")
	if _, err := s.git(r, "worktree", "add", "--quiet", "--detach", tree, p.headSHA); err != nil {
		return "", err
	}
	c := command{dir: tree, env: []string{
		"GIT_COMMITTER_NAME=" + who.signature().Name, "GIT_COMMITTER_EMAIL=" + who.signature().Email,
		"GIT_COMMITTER_DATE=" + s.gitDate(),
	}}
	_, rebaseErr := s.gitWith(r, c, "rebase", "--quiet", "--no-ff", p.baseSHA)
	sha, err := s.gitWith(r, c, "rev-parse", "HEAD")
	if _, removeErr := s.git(r, "worktree", "remove", "--force", tree); err == nil {
		err = removeErr
	}
	if rebaseErr != nil {
		return "", rebaseErr
	}
	return sha, err
}
