package githubtest

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// Pull is a pull request as it is now.
type Pull struct {
	Number      int
	Title, Body string
	Author      string // login
	State       string // "open" or "closed"
	Draft       bool
	Head, Base  string // branches
	HeadSHA     string
	BaseSHA     string
	Merged      bool
	MergedBy    string // login
	MergeSHA    string // the commit a merge made
	Reviews     []Review
	Comments    []Comment
	URL         string // of its page
	Created     time.Time
	Updated     time.Time
	Closed      time.Time // or merged; zero while it is open
}

// Review is a review of a pull request.
type Review struct {
	Author string // login
	State  string // APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED or PENDING
	Commit string // SHA it was given at
	Body   string
	Lines  []LineComment
	At     time.Time
}

// Comment is a remark in a pull request's conversation.
type Comment struct {
	Author string // login
	Body   string
	At     time.Time
}

// Pulls lists the pull requests of "owner/name" by number; nil if there is no such repository.
func (s *Server) Pulls(repo string) []Pull {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return nil
	}
	var list []Pull
	for _, p := range r.pulls {
		list = append(list, s.describe(r, p))
	}
	return list
}

func (s *Server) describe(r *repository, p *pull) Pull {
	d := Pull{
		Number: p.number, Title: p.title, Body: p.body, Author: p.author.login, State: p.state, Draft: p.draft,
		Head: p.head, Base: p.base, HeadSHA: p.headSHA, BaseSHA: p.baseSHA, Merged: p.merged, MergeSHA: p.mergeSHA,
		URL: p.page(s, r), Created: p.created, Updated: p.updated, Closed: p.closed,
	}
	if p.mergedBy != nil {
		d.MergedBy = p.mergedBy.login
	}
	for _, v := range p.reviews {
		seen := Review{Author: v.author.login, State: v.state, Commit: v.commit, Body: v.body, At: v.at}
		for _, m := range v.lines {
			seen.Lines = append(seen.Lines, m.LineComment)
		}
		d.Reviews = append(d.Reviews, seen)
	}
	for _, m := range p.comments {
		d.Comments = append(d.Comments, Comment{m.author.login, m.body, m.at})
	}
	return d
}

// Log lists the commits of "owner/name" that git log would, newest first. revision is a branch, a tag, a SHA or a
// range such as "main..inspect/x".
func (s *Server) Log(repo, revision string) ([]Commit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	commits, err := s.log(r, "--end-of-options", revision)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", repo, err)
	}
	return commits, nil
}

// Refs returns the branches and tags of "owner/name" by full name, each with the SHA of its object; nil if there is
// no such repository.
func (s *Server) Refs(repo string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(repo)
	if err != nil {
		return nil
	}
	return maps.Clone(r.refs)
}

// File returns the content of a file of "owner/name" at a branch, tag or SHA.
func (s *Server) File(repo, ref, path string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, sha, err := s.commitOf(repo, ref)
	if err != nil {
		return "", fmt.Errorf("file: %w", err)
	}
	entries, err := s.tree(r, sha, path)
	if err != nil || len(entries) != 1 || entries[0].kind != "blob" {
		return "", fmt.Errorf("file: no %q at %s in %s", path, ref, repo)
	}
	return s.blob(r, entries[0])
}

// blob reads a file's content.
func (s *Server) blob(r *repository, e entry) (string, error) {
	content, err := s.git(r, "cat-file", "blob", e.sha)
	if len(content) < e.size {
		content += "\n" // the one git's output lost on its way here
	}
	return content, err
}

// Path is where "owner/name" lies on disk, as a bare git repository; "" if there is none.
func (s *Server) Path(repo string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.repos[strings.ToLower(repo)]; r != nil {
		return r.dir
	}
	return ""
}
