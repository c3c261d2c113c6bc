package githubtest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Rename gives the repository "owner/name" another name, of the same form; another owner must be known. Under the old name REST answers with where
// the repository is by its id, and git with where it is by its new name, until something else takes the old name.
func (s *Server) Rename(repo, to string) error {
	defer s.flush()
	s.mu.Lock()
	r, err := s.find(repo)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	r.refsMu.Lock()
	defer r.refsMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, name, _ := strings.Cut(to, "/")
	account := s.accounts[lower(owner)]
	if account == nil || !validName.MatchString(to) || s.repos[lower(to)] != nil {
		return fmt.Errorf("rename %s: %q is taken, or no name", repo, to)
	}
	dir := filepath.Join(s.root, lower(owner), lower(name)+".git")
	if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.Rename(r.dir, dir)); err != nil {
		return fmt.Errorf("rename %s: %w", repo, err)
	}
	old := lower(r.full())
	delete(s.repos, old)
	s.moved[old] = r
	delete(s.moved, lower(to))
	s.repos[lower(to)] = r
	was := r.name
	r.Name, r.name, r.owner, r.dir = to, name, account, dir
	s.notify(r, account, "repository", "renamed", object{"changes": object{"repository": object{"name": object{"from": was}}}})
	for _, a := range s.accounts {
		if has, is := a.access[old]; is {
			delete(a.access, old)
			a.access[lower(to)] = has
		}
	}
	if r.installed {
		s.install(account)
	}
	return nil
}

// elsewhere answers a call to a repository's old name; nil if it is none, or none that the caller may see.
func (s *Server) elsewhere(c *call) *reply {
	old := c.r.PathValue("owner") + "/" + c.r.PathValue("repo")
	r := s.moved[lower(old)]
	if r == nil {
		return nil
	}
	seen := *c
	seen.repo = r
	if c.token != nil || c.r.Header.Get("Authorization") == "" { // an App's JWT sees no repository but those it is installed on
		if s.allowed(&seen, "", read, read) != nil {
			return nil
		}
	} else if !r.installed {
		return nil
	}
	_, rest, _ := strings.Cut(c.r.URL.EscapedPath(), "/repos/")
	parts := strings.SplitN(rest, "/", 3)
	url := s.api() + "/repositories/" + itoa(r.id)
	if len(parts) == 3 {
		url += "/" + parts[2]
	}
	if c.r.URL.RawQuery != "" {
		url += "?" + c.r.URL.RawQuery
	}
	status := http.StatusMovedPermanently
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		status = http.StatusTemporaryRedirect // so that a client sends the same once more
	}
	return &reply{status: status, header: http.Header{"Location": {url}}, body: object{
		"message": "Moved Permanently", "url": url, "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects",
	}}
}

// byID serves what is asked for by a repository's id as what it is by its name.
func (s *Server) byID(w http.ResponseWriter, r *http.Request) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/api/v3/repositories/"), "/")
	name := "-/-" // nobody's
	if n, err := strconv.ParseInt(id, 10, 64); err == nil {
		s.mu.Lock()
		for _, r := range s.repos {
			if r.id == n {
				name = r.full()
			}
		}
		s.mu.Unlock()
	}
	path := "/api/v3/repos/" + name
	if rest != "" {
		path += "/" + rest
	}
	to, err := r.URL.Parse(path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	to.RawQuery = r.URL.RawQuery
	same := r.Clone(r.Context())
	same.URL = to
	s.rest.ServeHTTP(w, same)
}
