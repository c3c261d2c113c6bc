package githubtest

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// zeroSHA stands for no object.
const zeroSHA = "0000000000000000000000000000000000000000"

// moveRef points ref at sha; old is where it must be now, "" if it must not exist. An empty sha deletes it.
func (s *Server) moveRef(r *repository, who *account, ref, sha, old string) error {
	args := []string{"update-ref", ref, sha, old}
	switch {
	case sha == "":
		args = []string{"update-ref", "-d", ref, old}
	case old == "":
		args[3] = zeroSHA
	}
	if _, err := s.git(r, args...); err != nil {
		return err
	}
	return s.refsMoved(r, who)
}

// refsMoved looks at the refs anew and lets everything follow that hangs on them: pull requests get a new head, are
// closed with their branch, and count as merged when their base has come to hold their head.
func (s *Server) refsMoved(r *repository, who *account) error {
	listing, err := s.git(r, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
	if err != nil {
		return err
	}
	old := r.refs
	r.refs = map[string]string{}
	for line := range strings.Lines(listing) {
		name, sha, _ := strings.Cut(strings.TrimSpace(line), " ")
		r.refs[name] = sha
	}
	moved := map[string]bool{}
	for _, refs := range []map[string]string{old, r.refs} {
		for name := range refs {
			if old[name] != r.refs[name] {
				moved[name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(moved)) {
		r.pushed = s.now()
		s.notifyPush(r, who, name, old[name])
		s.tell(Event{Kind: Pushed, Repo: r.full(), Login: who.login, Ref: name, SHA: r.refs[name]})
		for _, p := range r.pulls {
			if err := s.follow(r, p, who, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// validRef is what may become a ref by REST; git itself checks the rest.
var validRef = regexp.MustCompile(`^refs/(heads|tags)/[^-].*$`)

func (r *repository) refJSON(s *Server, name string) object {
	sha := r.refs[name]
	return object{
		"ref": name, "node_id": node("REF", r.id) + "_" + name, "url": r.api(s) + "/git/" + name,
		"object": object{"type": "commit", "sha": sha, "url": r.api(s) + "/git/commits/" + sha},
	}
}

func (s *Server) getRef(c *call) *reply {
	name := "refs/" + c.r.PathValue("ref")
	if c.repo.refs[name] == "" {
		return notFound()
	}
	return ok(c.repo.refJSON(s, name))
}

func (s *Server) listRefs(c *call) *reply {
	var list []object
	for _, name := range slices.Sorted(maps.Keys(c.repo.refs)) {
		if strings.HasPrefix(name, "refs/"+c.r.PathValue("ref")) {
			list = append(list, c.repo.refJSON(s, name))
		}
	}
	return c.page(list)
}

func (s *Server) createRef(c *call) *reply {
	var in struct{ Ref, SHA string }
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	switch {
	case !validRef.MatchString(in.Ref):
		return fail(http.StatusUnprocessableEntity, "Reference name must start with 'refs/heads/' or 'refs/tags/'.")
	case c.repo.refs[in.Ref] != "":
		return fail(http.StatusUnprocessableEntity, "Reference already exists")
	case len(in.SHA) != 40 || s.resolve(c.repo, in.SHA) == "":
		return fail(http.StatusUnprocessableEntity, "Object does not exist")
	}
	if _, err := s.git(c.repo, "check-ref-format", in.Ref); err != nil {
		return fail(http.StatusUnprocessableEntity, "Reference name is not valid.")
	}
	if err := s.moveRef(c.repo, c.account, in.Ref, in.SHA, ""); err != nil {
		return broken(err)
	}
	return &reply{status: http.StatusCreated, body: c.repo.refJSON(s, in.Ref)}
}

func (s *Server) updateRef(c *call) *reply {
	var in struct {
		SHA   string
		Force bool
	}
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	name := "refs/" + c.r.PathValue("ref")
	old := c.repo.refs[name]
	switch {
	case old == "":
		return fail(http.StatusUnprocessableEntity, "Reference does not exist")
	case len(in.SHA) != 40 || s.resolve(c.repo, in.SHA) == "":
		return fail(http.StatusUnprocessableEntity, "Object does not exist")
	case !in.Force && !s.contains(c.repo, in.SHA, old):
		return fail(http.StatusUnprocessableEntity, "Update is not a fast forward")
	}
	if err := s.moveRef(c.repo, c.account, name, in.SHA, old); err != nil {
		return broken(err)
	}
	return ok(c.repo.refJSON(s, name))
}

func (s *Server) deleteRef(c *call) *reply {
	name := "refs/" + c.r.PathValue("ref")
	old := c.repo.refs[name]
	if old == "" {
		return fail(http.StatusUnprocessableEntity, "Reference does not exist")
	}
	if err := s.moveRef(c.repo, c.account, name, "", old); err != nil {
		return broken(err)
	}
	return &reply{status: http.StatusNoContent}
}

// protection is whether a branch is protected.
func (r *repository) protected(branch string) bool {
	return r.RequiredApprovals+len(r.RequiredChecks) > 0 && branch == r.DefaultBranch
}

func (s *Server) listBranches(c *call) *reply {
	var list []object
	for _, name := range slices.Sorted(maps.Keys(c.repo.refs)) {
		branch, is := strings.CutPrefix(name, "refs/heads/")
		if !is {
			continue
		}
		sha := c.repo.refs[name]
		list = append(list, object{
			"name": branch, "protected": c.repo.protected(branch),
			"commit": object{"sha": sha, "url": c.repo.api(s) + "/commits/" + sha},
		})
	}
	return c.page(list)
}

// getBranch answers with GitHub's branch-with-protection.
func (s *Server) getBranch(c *call) *reply {
	branch := c.r.PathValue("branch")
	sha := c.repo.refs["refs/heads/"+branch]
	if sha == "" {
		return fail(http.StatusNotFound, "Branch not found")
	}
	commits, err := s.log(c.repo, "-1", sha)
	if err != nil {
		return broken(err)
	}
	api := c.repo.api(s) + "/branches/" + branch
	return ok(object{
		"name": branch, "commit": s.commitJSON(c.repo, commits[0]), "protected": c.repo.protected(branch),
		"_links":     object{"self": api, "html": s.base + "/" + c.repo.full() + "/tree/" + branch},
		"protection": object{"enabled": c.repo.protected(branch)}, "protection_url": api + "/protection",
	})
}
