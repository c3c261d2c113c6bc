package githubtest

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Commit is one commit as git has it.
type Commit struct {
	SHA       string
	Tree      string
	Parents   []string
	Author    Signature
	Committer Signature
	Message   string // whole, without the last newline

	authored, committed string // ISO 8601
}

// log lists commits, newest first; args are revisions and limits for git log.
func (s *Server) log(r *repository, args ...string) ([]Commit, error) {
	const format = "--format=tformat:%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"
	const fields = 10
	out, err := s.git(r, append(append([]string{"log", "-z", format}, args...), "--")...)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(out, "\x00")
	var list []Commit
	for ; len(parts) >= fields; parts = parts[fields:] {
		list = append(list, Commit{
			SHA: parts[0], Tree: parts[1], Parents: strings.Fields(parts[2]),
			Author: Signature{parts[3], parts[4]}, authored: parts[5],
			Committer: Signature{parts[6], parts[7]}, committed: parts[8],
			Message: strings.TrimRight(parts[9], "\n"),
		})
	}
	return list, nil
}

var hexSHA = regexp.MustCompile(`^[0-9a-f]{7,40}$`)

// resolve finds the commit a branch, tag, full ref name or SHA stands for; "" if there is none.
func (s *Server) resolve(r *repository, ref string) string {
	ref = strings.TrimPrefix(ref, r.owner.login+":")
	for _, prefix := range []string{"refs/heads/", "refs/tags/", "refs/", ""} {
		if sha := r.refs[prefix+ref]; sha != "" {
			ref = sha // an annotated tag still is to be peeled
			break
		}
	}
	if !hexSHA.MatchString(ref) {
		return ""
	}
	sha, err := s.git(r, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil {
		return ""
	}
	return sha
}

// contains reports whether tip has sha in its history.
func (s *Server) contains(r *repository, tip, sha string) bool {
	key := tip + " " + sha // of two commits it stays true
	if known, is := r.history[key]; is {
		return known
	}
	_, err := s.git(r, "merge-base", "--is-ancestor", sha, tip)
	if code := exitCode(err); code == 0 || code == 1 { // else one is not there, which it may be later
		r.history[key] = err == nil
	}
	return err == nil
}

var noreply = regexp.MustCompile(`^(\d+)\+(.+)@users\.noreply\.github\.com$`)

// accountOf finds whom GitHub would show for a commit's identity: by the noreply address only.
func (s *Server) accountOf(who Signature) any {
	if m := noreply.FindStringSubmatch(who.Email); m != nil {
		if a := s.accounts[lower(m[2])]; a != nil && itoa(a.id) == m[1] {
			return a.json(s)
		}
	}
	return nil
}

// commitJSON is GitHub's commit, without files.
func (s *Server) commitJSON(r *repository, c Commit) object {
	api, page := r.api(s), s.base+"/"+r.full()+"/commit/"
	parents := []object{}
	for _, sha := range c.Parents {
		parents = append(parents, object{"sha": sha, "url": api + "/commits/" + sha, "html_url": page + sha})
	}
	return object{
		"sha": c.SHA, "node_id": "C_" + c.SHA, "url": api + "/commits/" + c.SHA, "html_url": page + c.SHA,
		"comments_url": api + "/commits/" + c.SHA + "/comments", "parents": parents,
		"author": s.accountOf(c.Author), "committer": s.accountOf(c.Committer),
		"commit": object{
			"url":     api + "/git/commits/" + c.SHA,
			"author":  object{"name": c.Author.Name, "email": c.Author.Email, "date": c.authored},
			"message": c.Message, "comment_count": 0,
			"committer": object{"name": c.Committer.Name, "email": c.Committer.Email, "date": c.committed},
			"tree":      object{"sha": c.Tree, "url": api + "/git/trees/" + c.Tree},
			"verification": object{
				"verified": false, "reason": "unsigned", "signature": nil, "payload": nil, "verified_at": nil,
			},
		},
	}
}

func (s *Server) commitsJSON(r *repository, commits []Commit) []object {
	list := []object{}
	for _, c := range commits {
		list = append(list, s.commitJSON(r, c))
	}
	return list
}

func (s *Server) listCommits(c *call) *reply {
	ref := c.r.URL.Query().Get("sha")
	if ref == "" {
		ref = c.repo.DefaultBranch
	}
	sha := s.resolve(c.repo, ref)
	if sha == "" {
		if len(c.repo.refs) == 0 {
			return fail(http.StatusConflict, "Git Repository is empty.")
		}
		return notFound()
	}
	commits, err := s.log(c.repo, sha)
	if err != nil {
		return broken(err)
	}
	return c.page(s.commitsJSON(c.repo, commits))
}

// getCommitOr serves a commit, its check runs and its combined status: a ref may hold slashes, so the mux cannot
// tell them apart.
func (s *Server) getCommitOr(c *call) *reply {
	ref := c.r.PathValue("ref")
	perm, serve := "contents", s.getCommit
	if name, is := strings.CutSuffix(ref, "/check-runs"); is {
		ref, perm, serve = name, "checks", s.listCheckRuns
	} else if name, is := strings.CutSuffix(ref, "/status"); is {
		ref, perm, serve = name, "statuses", s.combinedStatus
	}
	if rep := s.allowed(c, perm, read, read); rep != nil {
		return rep
	}
	sha := s.resolve(c.repo, ref)
	if sha == "" {
		return fail(http.StatusUnprocessableEntity, "No commit found for SHA: "+ref)
	}
	return serve(c, sha)
}

func (s *Server) getCommit(c *call, sha string) *reply {
	commits, err := s.log(c.repo, "-1", sha)
	if err != nil {
		return broken(err)
	}
	parent := "4b825dc642cb6eb9a060e54bf8d69288fbee4904" // git's empty tree
	if len(commits[0].Parents) > 0 {
		parent = commits[0].Parents[0]
	}
	files, err := s.diff(c.repo, parent, sha)
	if err != nil {
		return broken(err)
	}
	o := s.commitJSON(c.repo, commits[0])
	added, deleted := 0, 0
	for _, f := range files {
		added, deleted = added+f.added, deleted+f.deleted
	}
	o["stats"] = object{"additions": added, "deletions": deleted, "total": added + deleted}
	o["files"] = s.filesJSON(c.repo, sha, files)
	return ok(o)
}

// compare answers GET /compare/{base}...{head}.
func (s *Server) compare(c *call) *reply {
	from, to, found := strings.Cut(c.r.PathValue("range"), "...")
	base, head := s.resolve(c.repo, from), s.resolve(c.repo, to)
	if !found || base == "" || head == "" {
		return notFound()
	}
	fork, err := s.git(c.repo, "merge-base", base, head)
	if err != nil {
		return fail(http.StatusNotFound, "No common ancestor between "+from+" and "+to+".")
	}
	ahead, err := s.log(c.repo, "--reverse", base+".."+head)
	if err != nil {
		return broken(err)
	}
	behind, err := s.git(c.repo, "rev-list", "--count", head+".."+base)
	if err != nil {
		return broken(err)
	}
	ends, err := s.log(c.repo, "--no-walk=unsorted", base, fork)
	if err != nil {
		return broken(err)
	}
	files, err := s.diff(c.repo, fork, head)
	if err != nil {
		return broken(err)
	}
	n, err := strconv.Atoi(behind)
	if err != nil {
		return broken(err)
	}
	state := "diverged"
	switch {
	case len(ahead) == 0 && n == 0:
		state = "identical"
	case n == 0:
		state = "ahead"
	case len(ahead) == 0:
		state = "behind"
	}
	page := s.base + "/" + c.repo.full() + "/compare/" + from + "..." + to
	return ok(object{
		"url": c.repo.api(s) + "/compare/" + from + "..." + to, "html_url": page, "permalink_url": page,
		"diff_url": page + ".diff", "patch_url": page + ".patch", "status": state, "ahead_by": len(ahead), "behind_by": n,
		"total_commits": len(ahead), "commits": s.commitsJSON(c.repo, ahead), "files": s.filesJSON(c.repo, head, files),
		"base_commit": s.commitJSON(c.repo, ends[0]), "merge_base_commit": s.commitJSON(c.repo, ends[len(ends)-1]),
	})
}

// getContents answers with a file, its content in base64, or with a directory's entries.
func (s *Server) getContents(c *call) *reply {
	ref := c.r.URL.Query().Get("ref")
	if ref == "" {
		ref = c.repo.DefaultBranch
	}
	sha := s.resolve(c.repo, ref)
	if sha == "" {
		return fail(http.StatusNotFound, "No commit found for the ref "+ref)
	}
	path := strings.Trim(c.r.PathValue("path"), "/")
	entries, err := s.tree(c.repo, sha, path)
	if err != nil || len(entries) == 0 {
		return notFound()
	}
	if path == "" || entries[0].kind == "tree" {
		if path != "" {
			if entries, err = s.tree(c.repo, sha, path+"/"); err != nil {
				return broken(err)
			}
		}
		list := []object{}
		for _, e := range entries {
			list = append(list, e.json(s, c.repo, ref))
		}
		return ok(list)
	}
	content, err := s.blob(c.repo, entries[0])
	if err != nil {
		return broken(err)
	}
	o := entries[0].json(s, c.repo, ref)
	o["encoding"], o["content"] = "base64", base64.StdEncoding.EncodeToString([]byte(content))
	return ok(o)
}
