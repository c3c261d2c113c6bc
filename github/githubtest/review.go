package githubtest

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// review is somebody's verdict on a pull request at a commit.
type review struct {
	id     int64
	author *account
	state  string // APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED or PENDING
	commit string
	body   string
	at     time.Time
	lines  []*lineComment
}

func (s *Server) reviewJSON(r *repository, p *pull, v *review) object {
	page := fmt.Sprintf("%s#pullrequestreview-%d", p.page(s, r), v.id)
	o := object{
		"id": v.id, "node_id": node("PRR", v.id), "user": v.author.json(s), "body": v.body, "state": v.state,
		"commit_id": v.commit, "html_url": page, "pull_request_url": p.api(s, r),
		"author_association": association(v.author, r),
		"_links":             object{"html": object{"href": page}, "pull_request": object{"href": p.api(s, r)}},
	}
	if v.state != "PENDING" {
		o["submitted_at"] = stamp(v.at)
	}
	return o
}

func (s *Server) listReviews(c *call) *reply {
	var list []object
	for _, v := range c.pull.reviews {
		if v.state != "PENDING" || v.author == c.account {
			list = append(list, s.reviewJSON(c.repo, c.pull, v))
		}
	}
	return c.page(list)
}

// createReview answers 200, as GitHub does, not 201.
func (s *Server) createReview(c *call) *reply {
	var in struct {
		Event, Body string
		CommitID    string `json:"commit_id"`
		Comments    []LineComment
	}
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	p := c.pull
	state, known := map[string]string{
		"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED", "": "PENDING",
	}[in.Event]
	refuse := func(why string) *reply { return fail(http.StatusUnprocessableEntity, "Unprocessable Entity", why) }
	switch {
	case !known:
		return validation(invalid("PullRequestReview", "event"))
	case c.account == p.author && in.Event == "APPROVE":
		return refuse("Can not approve your own pull request")
	case c.account == p.author && in.Event == "REQUEST_CHANGES":
		return refuse("Can not request changes on your own pull request")
	case in.Body == "" && len(in.Comments) == 0 && (in.Event == "REQUEST_CHANGES" || in.Event == "COMMENT"):
		return refuse("You need to leave a comment indicating the requested changes.")
	case in.CommitID != "" && !s.inPull(c.repo, p, in.CommitID):
		return refuse("Commit is not part of the pull request")
	}
	for _, v := range p.reviews {
		if v.author == c.account && v.state == "PENDING" {
			return refuse("User can only have one pending review per pull request")
		}
	}
	v := &review{id: s.id(), author: c.account, state: state, commit: in.CommitID, body: in.Body, at: s.now()}
	if v.commit == "" {
		v.commit = p.headSHA
	}
	for _, lc := range in.Comments {
		lc.Side = cmp.Or(lc.Side, "RIGHT")
		m, what := s.place(c.repo, p, v.commit, lc)
		if m == nil {
			return refuse(what)
		}
		m.review = v
		v.lines = append(v.lines, m)
	}
	s.addReview(c, v)
	return ok(s.reviewJSON(c.repo, p, v))
}

func (s *Server) addReview(c *call, v *review) {
	c.pull.reviews = append(c.pull.reviews, v)
	c.pull.updated = s.now()
	s.tell(Event{Kind: Reviewed, Repo: c.repo.full(), Login: c.account.login, Number: c.pull.number, SHA: v.commit})
	s.notifyReview(c.repo, c.pull, v, c.account, "submitted")
}

// inPull reports whether a commit is one of the pull request's, now or before its head was rewritten.
func (s *Server) inPull(r *repository, p *pull, sha string) bool {
	return len(sha) == 40 && s.resolve(r, sha) == sha && !s.contains(r, p.baseSHA, sha)
}

// comment is a remark in a pull request's conversation.
type comment struct {
	id     int64
	author *account
	body   string
	at     time.Time
}

func (s *Server) commentJSON(r *repository, p *pull, m *comment) object {
	return object{
		"id": m.id, "node_id": node("IC", m.id), "user": m.author.json(s), "body": m.body,
		"url":                r.api(s) + "/issues/comments/" + itoa(m.id),
		"html_url":           fmt.Sprintf("%s#issuecomment-%d", p.page(s, r), m.id),
		"issue_url":          r.api(s) + "/issues/" + strconv.Itoa(p.number),
		"author_association": association(m.author, r), "created_at": stamp(m.at), "updated_at": stamp(m.at),
	}
}

func (s *Server) listComments(c *call) *reply {
	var list []object
	for _, m := range c.pull.comments {
		list = append(list, s.commentJSON(c.repo, c.pull, m))
	}
	return c.page(list)
}

func (s *Server) createComment(c *call) *reply {
	var in struct{ Body string }
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	if in.Body == "" {
		return validation(missing("IssueComment", "body"))
	}
	if c.pull.locked && c.account.role(c.repo) < write {
		return fail(http.StatusForbidden, "Unable to create comment because issue is locked.")
	}
	m := &comment{id: s.id(), author: c.account, body: in.Body, at: s.now()}
	c.pull.comments = append(c.pull.comments, m)
	c.pull.updated = s.now()
	s.notifyComment(c.repo, c.pull, m)
	s.tell(Event{Kind: Commented, Repo: c.repo.full(), Login: c.account.login, Number: c.pull.number, SHA: c.pull.headSHA})
	return &reply{status: http.StatusCreated, body: s.commentJSON(c.repo, c.pull, m)}
}
