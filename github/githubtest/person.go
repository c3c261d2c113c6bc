package githubtest

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// What people do on GitHub's pages and from their own computers. It is judged as the same REST call in their name would be, but that no App has to be
// allowed it; a refusal is an error with GitHub's status and words.

// Open opens a pull request of a branch for the default branch, and returns its number. Of many branches at one commit each can have one, which is the
// cheap way to many.
func (s *Server) Open(repo, login, branch, title string) (int, error) {
	number := 0
	in := object{"title": title, "head": branch}
	err := s.act(deed{login, repo, 0, read, in}, func(s *Server, c *call) *reply {
		in["base"] = c.repo.DefaultBranch
		c.body = marshal(in)
		rep := s.createPull(c)
		if rep.status < 300 {
			number = len(c.repo.pulls)
		}
		return rep
	})
	return number, err
}

// CreateBranch makes a branch at a commit, given by SHA, branch or tag.
func (s *Server) CreateBranch(repo, branch, at, login string) error {
	return s.act(deed{login, repo, 0, write, nil}, func(s *Server, c *call) *reply {
		in := object{"ref": "refs/heads/" + branch, "sha": s.resolve(c.repo, at)}
		c.body = marshal(in)
		return s.createRef(c)
	})
}

// Review submits a review at the pull request's head, perhaps with comments on lines; event is APPROVE, REQUEST_CHANGES or COMMENT.
func (s *Server) Review(repo string, number int, login, event, body string, lines ...LineComment) error {
	return s.act(deed{login, repo, number, read, object{"event": event, "body": body, "comments": lines}}, (*Server).createReview)
}

// Comment adds to the pull request's conversation.
func (s *Server) Comment(repo string, number int, login, body string) error {
	return s.act(deed{login, repo, number, read, object{"body": body}}, (*Server).createComment)
}

// OpenPull opens a pull request.
func (s *Server) OpenPull(repo, login, head, base, title string) error {
	return s.act(deed{login, repo, 0, read, object{"title": title, "head": head, "base": base}}, (*Server).createPull)
}

// Merge presses the merge button; an empty method is the first one that the repository allows.
func (s *Server) Merge(repo string, number int, login, method string) error {
	in := object{"merge_method": method}
	return s.act(deed{login, repo, number, write, in}, func(s *Server, c *call) *reply {
		for _, m := range []string{"rebase", "squash", "merge"} {
			if method == "" && c.repo.allows(m) {
				in["merge_method"] = m
			}
		}
		c.body = marshal(in)
		return s.mergePull(c)
	})
}

// ClosePull closes the pull request without a merge. Its author may, and who may write.
func (s *Server) ClosePull(repo string, number int, login string) error {
	return s.act(deed{login, repo, number, read, object{"state": "closed"}}, (*Server).editPull)
}

// ReopenPull opens it again.
func (s *Server) ReopenPull(repo string, number int, login string) error {
	return s.act(deed{login, repo, number, read, object{"state": "open"}}, (*Server).editPull)
}

// EditPull changes title and body; what is empty stays.
func (s *Server) EditPull(repo string, number int, login, title, body string) error {
	in := object{}
	if title != "" {
		in["title"] = title
	}
	if body != "" {
		in["body"] = body
	}
	return s.act(deed{login, repo, number, read, in}, (*Server).editPull)
}

// Retarget has a pull request go into another branch.
func (s *Server) Retarget(repo string, number int, login, base string) error {
	return s.act(deed{login, repo, number, read, object{"base": base}}, (*Server).editPull)
}

// SetDraft makes the pull request a draft, or ready for review.
func (s *Server) SetDraft(repo string, number int, login string, draft bool) error {
	return s.act(deed{login, repo, number, write, nil}, func(s *Server, c *call) *reply {
		c.pull.draft, c.pull.updated = draft, s.now()
		s.tell(Event{Kind: PullEdited, Repo: c.repo.full(), Login: c.account.login, Number: c.pull.number, SHA: c.pull.headSHA})
		return ok(nil)
	})
}

// Lock locks the conversation, in which only people who may write can go on, or unlocks it.
func (s *Server) Lock(repo string, number int, login string, locked bool) error {
	return s.act(deed{login, repo, number, write, nil}, func(s *Server, c *call) *reply {
		c.pull.locked, c.pull.updated = locked, s.now()
		return ok(nil)
	})
}

// Dismiss takes back the verdicts that somebody's reviews gave.
func (s *Server) Dismiss(repo string, number int, login, reviewer string) error {
	return s.act(deed{login, repo, number, write, nil}, func(s *Server, c *call) *reply {
		found := false
		for _, v := range c.pull.reviews {
			if (v.state == "APPROVED" || v.state == "CHANGES_REQUESTED") && lower(v.author.login) == lower(reviewer) {
				v.state, found = "DISMISSED", true
				s.notifyReview(c.repo, c.pull, v, c.account, "dismissed")
			}
		}
		if !found {
			return fail(http.StatusUnprocessableEntity, "Can not dismiss a review that gave no verdict")
		}
		c.pull.updated = s.now()
		s.tell(Event{Kind: Reviewed, Repo: c.repo.full(), Login: c.account.login, Number: c.pull.number, SHA: c.pull.headSHA})
		return ok(nil)
	})
}

// Push makes a commit of somebody's on the pull request's branch, and returns its full SHA.
func (s *Server) Push(repo string, number int, login string, files map[string]string) (string, error) {
	return s.push(repo, number, login, Change{Message: "Push by " + login, Files: files})
}

// ForcePush throws the branch's commits away: one of somebody's, on top of the pull request's base, stands in their place.
func (s *Server) ForcePush(repo string, number int, login string, files map[string]string) (string, error) {
	return s.push(repo, number, login, Change{Message: "Push by force by " + login, Files: files, Force: true})
}

func (s *Server) push(repo string, number int, login string, ch Change) (string, error) {
	var sha string
	err := s.act(deed{login, repo, number, write, nil}, func(s *Server, c *call) (rep *reply) {
		ch.Branch, ch.Login, ch.Author = c.pull.head, login, c.account.signature()
		var err error
		if sha, err = s.commit(c.repo, ch); err != nil {
			return broken(err)
		}
		return ok(nil)
	})
	return sha, err
}

// UpdateBranch presses "Update branch": the base is merged into the pull request's head.
func (s *Server) UpdateBranch(repo string, number int, login string) error {
	return s.act(deed{login, repo, number, write, nil}, func(s *Server, c *call) *reply {
		r, p := c.repo, c.pull
		ref, base := "refs/heads/"+p.head, r.refs["refs/heads/"+p.base]
		if p.state != "open" || s.contains(r, p.headSHA, base) {
			return fail(http.StatusUnprocessableEntity, "There are no new commits on the base branch.")
		}
		tree, err := s.git(r, "merge-tree", "--write-tree", p.headSHA, base)
		if err != nil {
			return fail(http.StatusUnprocessableEntity, "merge conflict between base and head")
		}
		in := command{stdin: fmt.Sprintf("Merge branch '%s' into %s\n", p.base, p.head), env: identity(c.account.signature(), webFlow, s.gitDate())}
		sha, err := s.gitWith(r, in, "commit-tree", tree, "-F", "-", "-p", p.headSHA, "-p", base)
		if err == nil {
			err = s.moveRef(r, c.account, ref, sha, p.headSHA)
		}
		if err != nil {
			return broken(err)
		}
		return ok(nil)
	})
}

// DeleteBranch deletes a branch; its open pull requests are closed by that.
func (s *Server) DeleteBranch(repo, branch, login string) error {
	return s.act(deed{login, repo, 0, write, nil}, func(s *Server, c *call) *reply {
		ref := "refs/heads/" + branch
		if c.repo.refs[ref] == "" {
			return fail(http.StatusUnprocessableEntity, "Reference does not exist")
		}
		if err := s.moveRef(c.repo, c.account, ref, "", c.repo.refs[ref]); err != nil {
			return broken(err)
		}
		return ok(nil)
	})
}

// deed is who does something to what, the role it needs, and what a client would send with it.
type deed struct {
	login, repo string
	number      int // 0: no pull request's
	needs       role
	in          object
}

// act runs a handler in a person's name, with the repository's refs held still.
func (s *Server) act(d deed, handle func(*Server, *call) *reply) error {
	defer s.flush()
	s.mu.Lock()
	r, err := s.find(d.repo)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	r.refsMu.Lock()
	defer r.refsMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[lower(d.login)]
	if a == nil || a.kind != "User" {
		return fmt.Errorf("no user %q", d.login)
	}
	c := &call{s: s, account: a, token: &token{user: a}, repo: r}
	if d.in != nil {
		c.body = marshal(d.in)
	}
	have := a.role(r)
	if !r.Private {
		have = max(have, read)
	}
	rep := (*reply)(nil)
	switch {
	case d.number != 0 && r.pullNumber(d.number) == nil, have < d.needs:
		rep = notFound()
	case r.Archived:
		rep = archived()
	default:
		c.pull = r.pullNumber(d.number)
		rep = handle(s, c)
	}
	if rep.status < 300 {
		return nil
	}
	return errors.New(rep.words())
}

// words are a refusal's status, message and details.
func (rep *reply) words() string {
	said := []string{fmt.Sprint(rep.status)}
	o, _ := rep.body.(object)
	said = append(said, fmt.Sprint(o["message"]))
	details, _ := o["errors"].([]any)
	for _, d := range details {
		if o, is := d.(object); is {
			d = cmp.Or(o["message"], o["field"])
		}
		said = append(said, fmt.Sprint(d))
	}
	return strings.Join(said, " ")
}
