package githubtest

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Repository describes a repository to add.
type Repository struct {
	Name          string // "owner/name"; an owner nobody knows becomes an organization
	Description   string
	Topics        []string
	Private       bool
	Archived      bool
	DefaultBranch string // "" means "main"
	// Uninstalled leaves the repository out of the App's installation on its owner.
	Uninstalled bool

	// Files, by path, and FS, such as os.DirFS(dir), are its first commit; with neither the repository is empty. A
	// file that begins with "#!" is executable.
	Files  map[string]string
	FS     fs.FS
	Author Signature // of that commit; the zero Signature means GitHub's own

	// RequiredApprovals protects the default branch: a merge needs so many approvals by people who may write.
	RequiredApprovals int
	// RequiredChecks protect it likewise: a merge needs these check runs or statuses to be green.
	RequiredChecks []string
	// DismissStale takes approvals back when the head moves.
	DismissStale bool
	// NoDrafts: its plan has no draft pull requests.
	NoDrafts bool
	// MergeMethods that are allowed, of "merge", "squash" and "rebase"; nil means all.
	MergeMethods []string
}

// repository is one of the server's, with its bare git repository on disk.
type repository struct {
	Repository
	id        int64
	owner     *account
	name      string
	dir       string
	installed bool
	blocked   bool
	rule      *Rule
	created   time.Time
	pushed    time.Time

	// refsMu is held while git moves refs, and taken before the server's mu.
	refsMu sync.Mutex

	refs     map[string]string // heads and tags by full name, as of the last look
	sizes    map[string]size   // of pull requests, by head and base
	history  map[string]bool   // what contains found out
	pulls    []*pull           // pulls[i] has number i+1
	runs     []*checkRun
	statuses []*status
}

func (r *repository) full() string { return r.owner.login + "/" + r.name }

// validName is what GitHub allows an owner or a repository to be called, closely enough.
var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}/[A-Za-z0-9_.][A-Za-z0-9._-]{0,99}$`)

// AddRepository makes a repository, with its first commit if there is something to commit.
func (s *Server) AddRepository(d Repository) error {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.addRepository(d); err != nil {
		return fmt.Errorf("add repository %q: %w", d.Name, err)
	}
	return nil
}

func (s *Server) addRepository(d Repository) error {
	owner, name, _ := strings.Cut(d.Name, "/")
	switch {
	case !validName.MatchString(d.Name) || strings.HasSuffix(name, ".git") || strings.Trim(name, ".") == "":
		return fmt.Errorf("not of the form owner/name")
	case s.repos[lower(d.Name)] != nil:
		return fmt.Errorf("exists")
	case s.root == "":
		return fmt.Errorf("the server is not started")
	}
	d.DefaultBranch = cmp.Or(d.DefaultBranch, "main")
	r := &repository{
		Repository: d, id: s.id(), owner: s.account(owner, "Organization"), name: name, installed: !d.Uninstalled,
		created: s.now(), pushed: s.now(), refs: map[string]string{}, sizes: map[string]size{}, history: map[string]bool{},
		dir: filepath.Join(s.root, lower(owner), lower(name)+".git"),
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	if _, err := s.git(r, "init", "--quiet", "--bare", "--initial-branch="+d.DefaultBranch, "."); err != nil {
		return err
	}
	for _, setting := range [][2]string{
		{"http.receivepack", "true"},
		{"uploadpack.allowFilter", "true"},
		{"uploadpack.allowAnySHA1InWant", "true"},
		{"receive.hideRefs", "refs/pull"}, // GitHub: "deny updating a hidden ref"
		{"receive.advertisePushOptions", "true"},
		{"gc.auto", "0"},
	} {
		if _, err := s.git(r, "config", setting[0], setting[1]); err != nil {
			return err
		}
	}
	if err := writeUpdateHook(r.dir); err != nil {
		return err
	}
	if d.Files != nil || d.FS != nil {
		_, err := s.commit(r, Change{Message: "Initial commit", Files: d.Files, FS: d.FS, Author: d.Author})
		if err != nil {
			return err
		}
	}
	if r.installed {
		s.install(r.owner)
	}
	s.repos[lower(d.Name)] = r
	delete(s.moved, lower(d.Name))
	return nil
}

// find returns the repository called "owner/name", or once called so.
func (s *Server) find(name string) (*repository, error) {
	if r := cmp.Or(s.repos[lower(name)], s.moved[lower(name)]); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("no repository %q", name)
}

// SetInstalled adds a repository to the App's installation on its owner, or takes it out.
func (s *Server) SetInstalled(repo string, installed bool) error {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return err
	}
	r.installed = installed
	i := s.installations[lower(r.owner.login)]
	if i == nil && !installed {
		return nil
	}
	i = s.install(r.owner)
	moved := []object{{"id": r.id, "name": r.name, "full_name": r.full(), "node_id": node("R", r.id), "private": r.Private}}
	action := map[bool]string{true: "added", false: "removed"}[installed]
	payload := object{"installation": s.installationJSON(i), "repository_selection": s.selection(i), "repositories_added": []object{}, "repositories_removed": []object{}}
	payload["repositories_"+action] = moved
	s.send(i, r.owner, "installation_repositories", action, payload)
	return nil
}

// SetBlocked has GitHub's staff block a repository, as for a breach of its terms, or lift that. Nobody gets at it meanwhile.
func (s *Server) SetBlocked(repo string, blocked bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return err
	}
	r.blocked = blocked
	return nil
}

// SetArchived archives a repository, or brings it back.
func (s *Server) SetArchived(repo string, archived bool) error {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return err
	}
	r.Archived = archived
	s.notify(r, r.owner, "repository", map[bool]string{true: "archived", false: "unarchived"}[archived], object{})
	return nil
}

// SetDrafts sets whether a repository has draft pull requests.
func (s *Server) SetDrafts(repo string, has bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return err
	}
	r.NoDrafts = !has
	return nil
}

// SetMergeMethods sets which ways of merging a repository allows, of "merge", "squash" and "rebase"; none means all.
func (s *Server) SetMergeMethods(repo string, methods ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return err
	}
	r.MergeMethods = methods
	return nil
}

// Protect sets what a merge into a repository's default branch needs: so many approvals by people who may write, and green checks of these names.
func (s *Server) Protect(repo string, approvals int, checks ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return err
	}
	r.RequiredApprovals, r.RequiredChecks = approvals, checks
	return nil
}

// Rule is a rule that refuses pushes of the App.
type Rule struct {
	Reason string   // what stands behind "[remote rejected]"
	Remote []string // what is shown after "remote: "
}

// The words of GitHub's rules, as people report them; REF stands for what was pushed.
var (
	// SignedCommits is a ruleset's "Require signed commits".
	SignedCommits = Rule{"push declined due to repository rule violations", []string{
		"error: GH013: Repository rule violations found for refs/heads/REF.", "", "- Commits must have verified signatures.", "  Found 1 violation:", ""}}
	// ProtectedBranch is a classic protection of a pattern that the branch matches.
	ProtectedBranch = Rule{"protected branch hook declined", []string{
		"error: GH006: Protected branch update failed for refs/heads/REF.", "error: You're not authorized to push to this branch. Visit https://docs.github.com/articles/about-protected-branches/ for more information."}}
	// NamePattern is a ruleset's "Restrict commit metadata" or "Restrict branch names".
	NamePattern = Rule{"push declined due to repository rule violations", []string{
		"error: GH013: Repository rule violations found for refs/heads/REF.", "", `- Branch name must start with a matching pattern: "feature/"`, ""}}
	// PushProtection is secret scanning's push protection.
	PushProtection = Rule{"push declined due to repository rule violations", []string{
		"error: GH013: Repository rule violations found for refs/heads/REF.", "", "- GITHUB PUSH PROTECTION", "  ————————————————————", "    Resolve the following violations before pushing again", "", "    - Push cannot contain secrets", ""}}
	// UnknownObjects is the check that files in Git LFS were uploaded before the commits that point to them.
	UnknownObjects = Rule{"pre-receive hook declined", []string{
		"error: GH008: Your push referenced at least 1 unknown Git LFS object:", "    cd0e6edf7a48b6b12ca737319acdc0ec1e4ff8918a264499d7e60bfc558c4341", "Try to push them with 'git lfs push --all'."}}
	// LargeFile is GitHub's bound of one file.
	LargeFile = Rule{"pre-receive hook declined", []string{
		"error: GH001: Large files detected. You may want to try Git Large File Storage - https://git-lfs.github.com.", "error: File film.mov is 105.00 MB; this exceeds GitHub's file size limit of 100.00 MB"}}
	// PreReceive is a hook of an Enterprise Server's operator.
	PreReceive = Rule{"pre-receive hook declined", []string{"check-tickets.sh: failed with exit status 1", "Every commit has to name a ticket."}}
)

// SetRule makes a repository refuse pushes by a rule; nil lifts it.
func (s *Server) SetRule(repo string, rule *Rule) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return err
	}
	r.rule = rule
	return nil
}

// says is what a refused push is told.
func (r *repository) says() []string {
	if r.rule == nil {
		return nil
	}
	return r.rule.Remote
}

// reposWhere lists the repositories that match, oldest first.
func (s *Server) reposWhere(match func(*repository) bool) []*repository {
	var list []*repository
	for _, r := range s.repos {
		if match(r) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *repository) int { return cmp.Compare(a.id, b.id) })
	return list
}

// repoURLs are the templates GitHub puts into every repository it describes, below its API address.
var repoURLs = map[string]string{
	"archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
	"branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}",
	"comments_url": "/comments{/number}", "commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}",
	"contents_url": "/contents/{+path}", "contributors_url": "/contributors", "deployments_url": "/deployments",
	"downloads_url": "/downloads", "events_url": "/events", "forks_url": "/forks", "git_commits_url": "/git/commits{/sha}",
	"git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}", "hooks_url": "/hooks",
	"issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
	"issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}",
	"languages_url": "/languages", "merges_url": "/merges", "milestones_url": "/milestones{/number}",
	"notifications_url": "/notifications{?since,all,participating}", "pulls_url": "/pulls{/number}",
	"releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
	"subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams",
	"trees_url": "/git/trees{/sha}", "url": "",
}

func (r *repository) api(s *Server) string { return s.api() + "/repos/" + r.full() }

// repoJSON is GitHub's repository, with the caller's rights.
func (s *Server) repoJSON(r *repository, c *call) object {
	page := s.base + "/" + r.full()
	open := 0
	for _, p := range r.pulls {
		if p.state == "open" {
			open++
		}
	}
	visibility := "public"
	if r.Private {
		visibility = "private"
	}
	size := 1
	if len(r.refs) == 0 {
		size = 0
	}
	var description any
	if r.Description != "" {
		description = r.Description
	}
	o := object{
		"id": r.id, "node_id": node("R", r.id), "name": r.name, "full_name": r.full(), "owner": r.owner.json(s),
		"private": r.Private, "visibility": visibility, "html_url": page, "description": description, "fork": false,
		"clone_url": page + ".git", "git_url": "git" + strings.TrimPrefix(page, "http") + ".git", "svn_url": page,
		"ssh_url":    "git@" + strings.TrimPrefix(s.base, "http://") + ":" + r.full() + ".git",
		"mirror_url": nil, "homepage": nil, "language": nil, "license": nil, "topics": append([]string{}, r.Topics...),
		"default_branch": r.DefaultBranch, "archived": r.Archived, "disabled": false, "is_template": false, "size": size,
		"has_issues": true, "has_projects": true, "has_wiki": false, "has_pages": false, "has_downloads": true,
		"has_discussions": false, "allow_forking": true, "web_commit_signoff_required": false,
		"forks": 0, "forks_count": 0, "stargazers_count": 0, "watchers": 0, "watchers_count": 0,
		"open_issues": open, "open_issues_count": open,
		"created_at": stamp(r.created), "updated_at": stamp(r.created), "pushed_at": stamp(r.pushed),
	}
	for field, template := range repoURLs {
		o[field] = r.api(s) + template
	}
	if c != nil && c.token != nil {
		can := c.account.role(r)
		if c.token.installation != nil {
			can = roles[c.token.Permissions["contents"]]
		}
		if !r.Private {
			can = max(can, read)
		}
		o["permissions"] = can.rights()
	}
	return o
}

// briefJSON is a repository as the statuses of a commit have it, without what changes with every push: docs.github.com, "Get the combined status for a
// specific reference".
func (s *Server) briefJSON(r *repository) object {
	all, brief := s.repoJSON(r, nil), object{}
	for _, field := range []string{"id", "node_id", "name", "full_name", "owner", "private", "html_url", "description", "fork"} {
		brief[field] = all[field]
	}
	for field := range repoURLs {
		brief[field] = all[field]
	}
	return brief
}

// getRepository answers with GitHub's full-repository. Only who may push sees how merges are allowed.
func (s *Server) getRepository(c *call) *reply {
	o := s.repoJSON(c.repo, c)
	maps.Copy(o, object{"network_count": 0, "subscribers_count": 0})
	if rights, told := o["permissions"].(object); told && rights["push"] == true {
		maps.Copy(o, object{
			"allow_merge_commit": c.repo.allows("merge"), "allow_squash_merge": c.repo.allows("squash"),
			"allow_rebase_merge": c.repo.allows("rebase"), "allow_auto_merge": false, "delete_branch_on_merge": false,
		})
	}
	return ok(o)
}

func (r *repository) allows(method string) bool {
	return r.MergeMethods == nil || slices.Contains(r.MergeMethods, method)
}
