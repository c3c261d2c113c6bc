package githubtest

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Change is a commit to make on the server, as somebody else's push would.
type Change struct {
	Branch  string // "" means the default branch; a new one starts at the default branch
	Message string // "" means "Change"
	// Author also commits; the zero Signature means GitHub's own.
	Author Signature
	// Files to write, by path, and FS, a tree to lay over what is there. A file that begins with "#!" is executable.
	Files  map[string]string
	FS     fs.FS
	Delete []string // paths to remove
	Login  string   // who is said to have pushed; "" means the owner
	// Force throws the branch's commits away: the new one stands on the default branch.
	Force bool
}

// Commit makes a commit in "owner/name" and returns its full SHA. Pull requests of the branch follow it.
func (s *Server) Commit(repo string, ch Change) (string, error) {
	defer s.flush()
	s.mu.Lock()
	r, err := s.find(repo)
	s.mu.Unlock()
	if err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	r.refsMu.Lock()
	defer r.refsMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	sha, err := s.commit(r, ch)
	if err != nil {
		return "", fmt.Errorf("commit to %s: %w", repo, err)
	}
	return sha, nil
}

func (s *Server) commit(r *repository, ch Change) (string, error) {
	scratch, err := os.MkdirTemp(s.root, ".commit-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	tree := filepath.Join(scratch, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", err
	}
	if err := layOut(tree, ch); err != nil {
		return "", err
	}
	author := ch.Author
	if author == (Signature{}) {
		author = webFlow
	}
	c := command{
		dir: tree,
		env: append(identity(author, author, s.gitDate()), "GIT_DIR="+r.dir, "GIT_WORK_TREE="+tree,
			"GIT_INDEX_FILE="+filepath.Join(scratch, "index")),
	}
	ref := "refs/heads/" + cmp.Or(ch.Branch, r.DefaultBranch)
	tip := r.refs[ref]
	parent := cmp.Or(tip, r.refs["refs/heads/"+r.DefaultBranch])
	if ch.Force {
		parent = r.refs["refs/heads/"+r.DefaultBranch]
	}
	commitTree := []string{"commit-tree", "-m", cmp.Or(ch.Message, "Change")}
	if parent != "" {
		if _, err := s.gitWith(r, c, "read-tree", parent); err != nil {
			return "", err
		}
		commitTree = append(commitTree, "-p", parent)
	}
	// Only what was laid out is in the work tree, so what is not there must not count as deleted.
	if _, err := s.gitWith(r, c, "add", "--ignore-removal", "."); err != nil {
		return "", err
	}
	if len(ch.Files) > 0 { // named ones are wanted even where a .gitignore says otherwise
		force := append([]string{"add", "--force", "--"}, slices.Sorted(maps.Keys(ch.Files))...)
		if _, err := s.gitWith(r, c, force...); err != nil {
			return "", err
		}
	}
	if len(ch.Delete) > 0 {
		remove := append([]string{"rm", "--quiet", "--cached", "-r", "--"}, ch.Delete...)
		if _, err := s.gitWith(r, c, remove...); err != nil {
			return "", err
		}
	}
	written, err := s.gitWith(r, c, "write-tree")
	if err != nil {
		return "", err
	}
	sha, err := s.gitWith(r, c, append(commitTree, written)...)
	if err != nil {
		return "", err
	}
	who := r.owner
	if a := s.accounts[lower(ch.Login)]; a != nil {
		who = a
	}
	return sha, s.moveRef(r, who, ref, sha, tip)
}

// layOut writes the change's files below dir.
func layOut(dir string, ch Change) error {
	if ch.FS != nil {
		if err := os.CopyFS(dir, ch.FS); err != nil {
			return err
		}
	}
	for name, content := range ch.Files {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("path %q leaves the repository", name)
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		script, err := isScript(path)
		if err != nil || !script {
			return err
		}
		return os.Chmod(path, 0o755)
	})
}

func isScript(path string) (bool, error) {
	content, err := os.ReadFile(path)
	return strings.HasPrefix(string(content), "#!"), err
}

// CommitSHA resolves a branch, tag, full ref name or SHA of "owner/name" to a commit's full SHA; "" if there is none.
func (s *Server) CommitSHA(repo, ref string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return ""
	}
	return s.resolve(r, ref)
}

// Branches lists the branches of "owner/name" by name.
func (s *Server) Branches(repo string) []string {
	var names []string
	for ref := range s.Refs(repo) {
		if name, is := strings.CutPrefix(ref, "refs/heads/"); is {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
