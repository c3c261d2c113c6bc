package githubtest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pull is a pull request between two branches of one repository.
type pull struct {
	id              int64
	number          int
	title, body     string
	author          *account
	state           string // open or closed
	draft, locked   bool
	head, base      string // branches
	headSHA         string // follows the branch while open
	baseSHA         string
	reviews         []*review
	comments        []*comment
	created         time.Time
	updated, closed time.Time

	merged   bool
	mergeSHA string
	mergedBy *account

	size    size
	sizeOf  string // the head and base that size is of
	settled string // the head and base for which mergeable has been asked once
}

// size is what git says about a pull request.
type size struct {
	mergeable                      bool
	commits, files, added, deleted int
}

func (r *repository) pull(number string) *pull {
	n, err := strconv.Atoi(number)
	if err != nil {
		return nil
	}
	return r.pullNumber(n)
}

func (r *repository) pullNumber(n int) *pull {
	if n < 1 || n > len(r.pulls) {
		return nil
	}
	return r.pulls[n-1]
}

// follow lets a pull request follow a ref of its repository that moved.
func (s *Server) follow(r *repository, p *pull, who *account, ref string) error {
	if p.state != "open" {
		return nil
	}
	sha := r.refs[ref]
	switch {
	case ref == "refs/heads/"+p.head && sha == "":
		s.closePull(r, p, who)
	case ref == "refs/heads/"+p.head:
		p.headSHA, p.updated = sha, s.now()
		if r.DismissStale {
			for _, v := range p.reviews {
				if v.state == "APPROVED" {
					v.state = "DISMISSED"
				}
			}
		}
		s.tell(Event{Kind: PullSynced, Repo: r.full(), Login: who.login, Number: p.number, SHA: sha})
		return s.publish(r, p)
	case ref == "refs/heads/"+p.base && sha != "":
		if s.contains(r, sha, p.headSHA) {
			s.markMerged(r, p, who, sha)
			return nil
		}
		p.baseSHA = sha
	}
	return nil
}

// publish points GitHub's refs/pull/{number}/head at the head.
func (s *Server) publish(r *repository, p *pull) error {
	_, err := s.git(r, "update-ref", fmt.Sprintf("refs/pull/%d/head", p.number), p.headSHA)
	return err
}

func (s *Server) closePull(r *repository, p *pull, who *account) {
	p.state, p.updated, p.closed = "closed", s.now(), s.now()
	s.tell(Event{Kind: PullClosed, Repo: r.full(), Login: who.login, Number: p.number, SHA: p.headSHA})
}

func (s *Server) markMerged(r *repository, p *pull, who *account, sha string) {
	p.state, p.merged, p.mergeSHA, p.mergedBy, p.updated, p.closed = "closed", true, sha, who, s.now(), s.now()
	s.tell(Event{Kind: PullMerged, Repo: r.full(), Login: who.login, Number: p.number, SHA: p.headSHA})
}

// measure brings p.size up to date.
func (s *Server) measure(r *repository, p *pull) {
	key := p.headSHA + p.baseSHA
	if p.sizeOf == key {
		return
	}
	var known bool
	if p.size, known = r.sizes[key]; !known {
		p.size = s.sizeOf(r, p)
		r.sizes[key] = p.size
	}
	p.sizeOf = key
}

func (s *Server) sizeOf(r *repository, p *pull) (z size) {
	_, err := s.git(r, "merge-tree", "--write-tree", p.baseSHA, p.headSHA)
	z.mergeable = err == nil
	if n, err := s.git(r, "rev-list", "--count", p.baseSHA+".."+p.headSHA); err == nil {
		z.commits, _ = strconv.Atoi(n) // git prints a number
	}
	for _, f := range s.pullFiles(r, p) {
		z.files, z.added, z.deleted = z.files+1, z.added+f.added, z.deleted+f.deleted
	}
	return z
}

// pullFiles compares the head with where it left the base; nothing if they share no history.
func (s *Server) pullFiles(r *repository, p *pull) []fileDiff {
	fork, err := s.git(r, "merge-base", p.baseSHA, p.headSHA)
	if err != nil {
		return nil
	}
	files, err := s.diff(r, fork, p.headSHA)
	if err != nil {
		return nil
	}
	return files
}

func (s *Server) listPulls(c *call) *reply {
	query := c.r.URL.Query()
	state := query.Get("state")
	// A head without its owner is no filter, on GitHub neither.
	_, head, filtered := strings.Cut(query.Get("head"), ":")
	filtered = filtered && query.Get("head") != ""
	var found []*pull
	for _, p := range c.repo.pulls {
		switch {
		case state != "all" && p.state != state && (state != "" || p.state != "open"):
		case filtered && (p.head != head || !strings.EqualFold(query.Get("head"), c.repo.owner.login+":"+p.head)):
		case query.Get("base") != "" && p.base != query.Get("base"):
		default:
			found = append(found, p)
		}
	}
	if query.Get("sort") == "updated" {
		slices.SortStableFunc(found, func(a, b *pull) int { return a.updated.Compare(b.updated) })
	}
	if query.Get("direction") != "asc" {
		slices.Reverse(found)
	}
	var list []object
	for _, p := range found {
		list = append(list, s.pullJSON(c.repo, p, c))
	}
	return c.page(list)
}

// getPull says when the pull request was updated. What does not count as that, as on GitHub, is that its base moved, that it turned out to be mergeable
// or not, and what became of its repository: all of it is in the body, and changes the ETag.
func (s *Server) getPull(c *call) *reply {
	rep := ok(s.fullPullJSON(c.repo, c.pull, c))
	rep.modified = c.pull.updated
	return rep
}

func (s *Server) createPull(c *call) *reply {
	var in struct {
		Title, Head, Base, Body string
		Draft                   bool
	}
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	r := c.repo
	head := strings.TrimPrefix(in.Head, r.owner.login+":")
	headSHA, baseSHA := r.refs["refs/heads/"+head], r.refs["refs/heads/"+in.Base]
	switch {
	case in.Title == "":
		return validation(missing("PullRequest", "title"))
	case headSHA == "":
		return validation(invalid("PullRequest", "head"))
	case baseSHA == "":
		return validation(invalid("PullRequest", "base"))
	case c.token.user != nil && c.account.role(r) < write:
		return validation(custom("PullRequest", "must be a collaborator"))
	case in.Draft && r.NoDrafts:
		return fail(http.StatusUnprocessableEntity, "Draft pull requests are not supported in this repository.")
	case s.openPull(r, head, in.Base) != nil:
		return validation(custom("PullRequest", fmt.Sprintf("A pull request already exists for %s:%s.", r.owner.login, head)))
	}
	if _, err := s.git(r, "merge-base", baseSHA, headSHA); err != nil {
		return validation(custom("PullRequest", fmt.Sprintf("The %s branch has no history in common with %s", head, in.Base)))
	}
	if s.contains(r, baseSHA, headSHA) {
		return validation(custom("PullRequest", fmt.Sprintf("No commits between %s and %s", in.Base, head)))
	}
	p := &pull{
		id: s.id(), number: len(r.pulls) + 1, title: in.Title, body: in.Body, author: c.account, state: "open",
		draft: in.Draft, head: head, base: in.Base, headSHA: headSHA, baseSHA: baseSHA, created: s.now(), updated: s.now(),
	}
	r.pulls = append(r.pulls, p)
	if err := s.publish(r, p); err != nil {
		return broken(err)
	}
	s.tell(Event{Kind: PullOpened, Repo: r.full(), Login: c.account.login, Number: p.number, SHA: p.headSHA})
	return &reply{
		status: http.StatusCreated, body: s.fullPullJSON(r, p, c), header: http.Header{"Location": {p.api(s, r)}},
	}
}

// openPull finds the open pull request between two branches.
func (s *Server) openPull(r *repository, head, base string) *pull {
	for _, p := range r.pulls {
		if p.state == "open" && p.head == head && p.base == base {
			return p
		}
	}
	return nil
}

// editPull changes title, body, base or state. Its author may, and who may write.
func (s *Server) editPull(c *call) *reply {
	var in struct{ Title, Body, State, Base *string }
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	r, p := c.repo, c.pull
	if c.token.user != nil && c.account != p.author && c.account.role(r) < write {
		return notFound()
	}
	if in.Base != nil && *in.Base != p.base {
		sha := r.refs["refs/heads/"+*in.Base]
		if sha == "" {
			return validation(invalid("PullRequest", "base"))
		}
		p.base, p.baseSHA = *in.Base, sha
	}
	if in.State != nil && *in.State != p.state {
		if rep := s.setState(c, *in.State); rep != nil {
			return rep
		}
	}
	if in.Title != nil && *in.Title != "" {
		p.title = *in.Title
	}
	if in.Body != nil {
		p.body = *in.Body
	}
	p.updated = s.now()
	if in.Title != nil || in.Body != nil || in.Base != nil {
		s.tell(Event{Kind: PullEdited, Repo: r.full(), Login: c.account.login, Number: p.number, SHA: p.headSHA})
	}
	return ok(s.fullPullJSON(r, p, c))
}

// setState closes a pull request, or opens it again at where its branch is now.
func (s *Server) setState(c *call, state string) *reply {
	r, p := c.repo, c.pull
	refuse := func(why string) *reply {
		detail := custom("PullRequest", "state cannot be changed. "+why)
		detail["field"] = "state"
		return validation(detail)
	}
	sha := r.refs["refs/heads/"+p.head]
	switch {
	case state == "closed":
		s.closePull(r, p, c.account)
		return nil
	case state != "open":
		return validation(invalid("PullRequest", "state"))
	case p.merged:
		return refuse("The pull request has been merged.")
	case sha == "":
		return refuse("The " + p.head + " branch has been deleted.")
	case !s.contains(r, sha, p.headSHA):
		return refuse("The " + p.head + " branch was force-pushed or recreated.")
	case s.openPull(r, p.head, p.base) != nil:
		return refuse("There is already an open pull request from " + p.head + " to " + p.base + ".")
	}
	p.state, p.closed, p.headSHA, p.baseSHA = "open", time.Time{}, sha, r.refs["refs/heads/"+p.base]
	s.tell(Event{Kind: PullReopened, Repo: r.full(), Login: c.account.login, Number: p.number, SHA: sha})
	if err := s.publish(r, p); err != nil {
		return broken(err)
	}
	return nil
}

func (s *Server) listPullCommits(c *call) *reply {
	commits, err := s.log(c.repo, "--reverse", c.pull.baseSHA+".."+c.pull.headSHA)
	if err != nil {
		return broken(err)
	}
	return c.page(s.commitsJSON(c.repo, commits))
}

func (s *Server) listPullFiles(c *call) *reply {
	return c.page(s.filesJSON(c.repo, c.pull.headSHA, s.pullFiles(c.repo, c.pull)))
}

func (s *Server) isMerged(c *call) *reply {
	if c.pull.merged {
		return &reply{status: http.StatusNoContent}
	}
	return notFound()
}
