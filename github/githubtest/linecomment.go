package githubtest

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// LineComment is a remark on a line of a pull request's diff. It belongs to a review.
type LineComment struct {
	Path string
	Line int    // of the file at the pull request's head; of the base if Side is LEFT
	Side string // RIGHT or LEFT; "" means RIGHT
	Body string
}

// lineComment is one that was made.
type lineComment struct {
	LineComment
	id       int64
	review   *review
	commit   string // that it was made at
	hunk     string // of the diff, down to the line
	position int    // of the line below the diff's first "@@"
	replyTo  int64
	at       time.Time
}

// place finds a comment's line in the diff of the pull request at a commit of it. what is how GitHub says that there is none.
func (s *Server) place(r *repository, p *pull, commit string, lc LineComment) (m *lineComment, what string) {
	fork, err := s.git(r, "merge-base", p.baseSHA, commit)
	if err != nil {
		return nil, "Path could not be resolved"
	}
	files, err := s.diff(r, fork, commit)
	if err != nil {
		return nil, "Path could not be resolved"
	}
	for _, f := range files {
		if f.name != lc.Path {
			continue
		}
		hunk, position := hunkAt(f.patch, lc.Line, lc.Side)
		if position == 0 {
			return nil, "Pull request review thread line must be part of the diff and Pull request review thread diff hunk can't be blank"
		}
		return &lineComment{LineComment: lc, id: s.id(), commit: commit, hunk: hunk, position: position, at: s.now()}, ""
	}
	return nil, "Path could not be resolved"
}

// hunkAt returns the hunk that a line is in, down to the line, and how many lines below the patch's first "@@" that is; 0 if it is in none.
func hunkAt(patch string, line int, side string) (hunk string, position int) {
	var begin, left, right int
	lines := strings.Split(strings.TrimSuffix(patch, "\n"), "\n")
	for i, text := range lines {
		if strings.HasPrefix(text, "@@ ") {
			begin = i
			if _, err := fmt.Sscanf(text, "@@ -%d", &left); err != nil {
				return "", 0
			}
			_, after, _ := strings.Cut(text, "+")
			if _, err := fmt.Sscanf(after, "%d", &right); err != nil {
				return "", 0
			}
			continue
		}
		at, is := &right, text == "" || text[0] != '-'
		if side == "LEFT" {
			at, is = &left, text != "" && text[0] == '-'
		}
		if is && *at == line {
			return strings.Join(lines[begin:i+1], "\n"), i
		}
		if text == "" || text[0] != '+' {
			left++
		}
		if text == "" || text[0] != '-' {
			right++
		}
	}
	return "", 0
}

// lineCommentJSON is GitHub's pull-request-review-comment. A line of a file that has changed since has no place any more; GitHub follows lines
// through later commits, here any change of the file will do.
func (s *Server) lineCommentJSON(r *repository, p *pull, m *lineComment) object {
	api := r.api(s) + "/pulls/comments/" + itoa(m.id)
	page := fmt.Sprintf("%s#discussion_r%d", p.page(s, r), m.id)
	o := object{
		"id": m.id, "node_id": node("PRRC", m.id), "url": api, "html_url": page, "pull_request_url": p.api(s, r),
		"pull_request_review_id": m.review.id, "diff_hunk": m.hunk, "path": m.Path, "body": m.Body, "user": m.review.author.json(s),
		"commit_id": m.commit, "original_commit_id": m.commit, "position": nil, "original_position": m.position, "line": nil,
		"original_line": m.Line, "side": m.Side, "start_line": nil, "original_start_line": nil, "start_side": nil, "subject_type": "line",
		"author_association": association(m.review.author, r), "created_at": stamp(m.at), "updated_at": stamp(m.at),
		"_links": object{"self": object{"href": api}, "html": object{"href": page}, "pull_request": object{"href": p.api(s, r)}},
	}
	if m.replyTo != 0 {
		o["in_reply_to_id"] = m.replyTo
	}
	if _, err := s.git(r, "diff", "--quiet", m.commit, p.headSHA, "--", m.Path); err == nil {
		o["line"], o["position"], o["commit_id"] = m.Line, m.position, p.headSHA
	}
	return o
}

// lineComments lists those that somebody may see: a review that is not submitted is its author's.
func (p *pull) lineComments(who *account) []*lineComment {
	var list []*lineComment
	for _, v := range p.reviews {
		if v.state != "PENDING" || v.author == who {
			list = append(list, v.lines...)
		}
	}
	return list
}

func (s *Server) listLineComments(c *call) *reply {
	var list []object
	for _, m := range c.pull.lineComments(c.account) {
		list = append(list, s.lineCommentJSON(c.repo, c.pull, m))
	}
	return c.page(list)
}

func (s *Server) listReviewLineComments(c *call) *reply {
	for _, v := range c.pull.reviews {
		if itoa(v.id) == c.r.PathValue("review") && (v.state != "PENDING" || v.author == c.account) {
			var list []object
			for _, m := range v.lines {
				list = append(list, s.lineCommentJSON(c.repo, c.pull, m))
			}
			return c.page(list)
		}
	}
	return notFound()
}

// createLineComment makes a comment alone, which becomes a review of its own, as on GitHub.
func (s *Server) createLineComment(c *call) *reply {
	var in struct {
		Body, Path, Side string
		CommitID         string `json:"commit_id"`
		Line             int
		InReplyTo        int64 `json:"in_reply_to"`
	}
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	p := c.pull
	const resource = "PullRequestReviewComment"
	var m *lineComment
	if in.InReplyTo != 0 {
		for _, to := range p.lineComments(c.account) {
			if to.id == in.InReplyTo {
				reply := *to
				m = &reply
				m.id, m.at, m.Body, m.replyTo = s.id(), s.now(), in.Body, cmp.Or(to.replyTo, to.id)
			}
		}
		if m == nil {
			return validation(invalid(resource, "in_reply_to"))
		}
	}
	switch {
	case in.Body == "":
		return validation(missing(resource, "body"))
	case m == nil && in.CommitID == "":
		return validation(missing(resource, "commit_id"))
	case m == nil && !s.inPull(c.repo, p, in.CommitID):
		return validation(object{"resource": resource, "field": "pull_request_review_thread.commit_id", "code": "custom", "message": "commit_id is not part of the pull request"})
	case m == nil:
		var what string
		if m, what = s.place(c.repo, p, in.CommitID, LineComment{in.Path, in.Line, cmp.Or(in.Side, "RIGHT"), in.Body}); m == nil {
			field := "pull_request_review_thread.line"
			if strings.HasPrefix(what, "Path") {
				field = "pull_request_review_thread.path"
			}
			return validation(object{"resource": resource, "field": field, "code": "custom", "message": what})
		}
	}
	v := &review{id: s.id(), author: c.account, state: "COMMENTED", commit: m.commit, at: s.now()}
	m.review, v.lines = v, []*lineComment{m}
	s.addReview(c, v)
	return &reply{status: http.StatusCreated, body: s.lineCommentJSON(c.repo, p, m), header: http.Header{
		"Location": {c.repo.api(s) + "/pulls/comments/" + strconv.FormatInt(m.id, 10)},
	}}
}
