package githubtest

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// gitPath is what git asks for; GitHub serves a repository with and without ".git".
var gitPath = regexp.MustCompile(`^/([^/]+)/([^/]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack)$`)

// gitRequest is one smart HTTP request on its way through.
type gitRequest struct {
	call
	action  string // info/refs, git-upload-pack or git-receive-pack
	service string // git-upload-pack or git-receive-pack
	path    string // below the root of all repositories
}

// smart serves git, and 404 to whatever else nobody serves.
func (s *Server) smart(w http.ResponseWriter, r *http.Request) {
	m := gitPath.FindStringSubmatch(r.URL.Path)
	if m == nil {
		http.NotFound(w, r)
		return
	}
	g := &gitRequest{call: call{s: s, r: r}, action: m[3], service: m[3]}
	route := "git " + g.action
	if g.action == "info/refs" {
		g.service = r.URL.Query().Get("service")
		route += " " + g.service
	}
	told := s.begin(route, r, nil, m[1]+"/"+m[2])
	if s.faulted(w, told, nil) {
		return
	}
	answer := s.answerGit(g, m[1]+"/"+m[2])
	s.flush()
	told.After, told.Status = true, answer.status
	if s.faulted(w, told, answer) {
		return
	}
	maps.Copy(w.Header(), answer.header)
	w.Header().Set("Content-Length", strconv.Itoa(answer.body.Len()))
	w.WriteHeader(answer.status)
	_, _ = answer.body.WriteTo(w) // a client that left is its own affair
}

// answerGit authorizes the request and lets git answer it. The answer is held back whole, so that what a push
// changed is known to the server before its client hears of it.
func (s *Server) answerGit(g *gitRequest, repo string) *buffer {
	s.mu.Lock()
	refused := s.admit(g, repo)
	s.mu.Unlock()
	if refused != nil {
		return refused
	}
	if g.action != "git-receive-pack" {
		return s.backend(g, nil)
	}
	g.repo.refsMu.Lock()
	defer g.repo.refsMu.Unlock()
	answer, err := s.receive(g)
	if err != nil {
		return refusal(http.StatusInternalServerError, err.Error())
	}
	return answer
}

// receive lets git take a push, tells the client in GitHub's words what was refused, and follows the refs that moved.
// The caller holds the repository's refs lock.
func (s *Server) receive(g *gitRequest) (*buffer, error) {
	dir, err := os.MkdirTemp(s.root, ".push-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	refusals := filepath.Join(dir, "refusals")
	env := []string{hookRefusals + "=" + refusals}
	s.mu.Lock()
	granted := s.cfg.App.Permissions
	if g.token.installation != nil {
		granted = g.token.Permissions
	}
	if roles[granted["workflows"]] < write {
		env = append(env, hookWorkflows+"=refuse")
	}
	if g.repo.rule != nil {
		env = append(env, hookRule+"="+g.repo.rule.Reason)
	}
	if g.repo.protected(g.repo.DefaultBranch) {
		env = append(env, hookProtected+"=refs/heads/"+g.repo.DefaultBranch)
	}
	s.mu.Unlock()
	answer := s.backend(g, env)
	reasons, err := readRefusals(refusals)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(reasons) > 0 {
		var spoken []string
		for ref := range reasons {
			for _, line := range g.repo.says() {
				spoken = append(spoken, strings.ReplaceAll(line, "refs/heads/REF", ref))
			}
		}
		answer.body = *bytes.NewBuffer(rewriteReport(answer.body.Bytes(), reasons, spoken))
	}
	return answer, s.refsMoved(g.repo, g.account)
}

// admit finds out who asks and refuses whom it must.
func (s *Server) admit(g *gitRequest, repo string) *buffer {
	if g.service != "git-upload-pack" && g.service != "git-receive-pack" {
		return refusal(http.StatusForbidden, "Please upgrade your git client.")
	}
	g.repo = s.repos[lower(repo)]
	name, password, given := g.r.BasicAuth()
	switch {
	case given:
		t := s.tokens[password]
		if t == nil {
			t = s.tokens[name] // a token may also stand in the user's place
		}
		if t == nil || !t.live(s.now()) {
			return unauthorized("Invalid username or token. Password authentication is not supported for Git operations.")
		}
		if t.installation != nil && !t.installation.suspended.IsZero() {
			return refusal(http.StatusForbidden, "This installation has been suspended")
		}
		t.Uses++
		g.token, g.account = t, t.who(s)
	case g.r.Header.Get("Authorization") != "":
		return unauthorized("Invalid credentials.")
	case g.repo == nil || g.repo.Private || g.service != "git-upload-pack":
		return unauthorized("No anonymous write access.")
	}
	moved := g.repo == nil
	if moved {
		g.repo = s.moved[lower(repo)]
	}
	if g.repo == nil {
		return refusal(http.StatusNotFound, "Repository not found.")
	}
	g.path = "/" + lower(g.repo.full()) + ".git/" + g.action
	if rep := s.allowed(&g.call, "contents", read, read); rep != nil {
		if rep.status == http.StatusForbidden {
			return refusal(rep.status, "Write access to repository not granted.")
		}
		return refusal(rep.status, "Repository not found.")
	}
	if g.repo.blocked {
		return refusal(http.StatusForbidden, "Repository '"+g.repo.full()+"' is disabled.\nPlease ask the owner to check their account.")
	}
	if moved {
		elsewhere := refusal(http.StatusMovedPermanently, "")
		elsewhere.header.Set("Location", s.CloneURL(g.repo.full())+"/"+g.action+"?"+g.r.URL.RawQuery)
		return elsewhere
	}
	if g.service == "git-upload-pack" {
		return nil
	}
	if s.allowed(&g.call, "contents", write, write) != nil {
		if g.token.user != nil {
			return refusal(http.StatusForbidden, fmt.Sprintf("Permission to %s.git denied to %s.", g.repo.full(), g.account.login))
		}
		return refusal(http.StatusForbidden, "Write access to repository not granted.")
	}
	if g.repo.Archived {
		return refusal(http.StatusForbidden, "This repository was archived so it is read-only.")
	}
	return nil
}

// backend runs git's http-backend on the request.
func (s *Server) backend(g *gitRequest, env []string) *buffer {
	git, err := exec.LookPath("git")
	if err != nil {
		return refusal(http.StatusInternalServerError, err.Error())
	}
	r := g.r.Clone(g.r.Context())
	r.Header.Del("Authorization") // a CGI child has every header in its environment
	r.URL.Path = g.path
	if r.ContentLength < 0 {
		// Pushes beyond http.postBuffer come chunked, which net/http/cgi refuses: it needs a length.
		spool, err := os.CreateTemp(s.root, ".body-")
		if err != nil {
			return refusal(http.StatusInternalServerError, err.Error())
		}
		defer os.Remove(spool.Name())
		defer spool.Close()
		if r.ContentLength, err = io.Copy(spool, g.r.Body); err == nil {
			_, err = spool.Seek(0, io.SeekStart)
		}
		if err != nil {
			return refusal(http.StatusBadRequest, err.Error())
		}
		r.Body, r.TransferEncoding = spool, nil
	}
	answer := &buffer{header: http.Header{}, status: http.StatusOK}
	handler := &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Root: "/", Dir: s.root,
		Env:    append(append(s.gitEnv(), "GIT_PROJECT_ROOT="+s.root, "GIT_HTTP_EXPORT_ALL=1"), env...),
		Logger: log.New(io.Discard, "", 0), Stderr: io.Discard,
	}
	handler.ServeHTTP(answer, r)
	return answer
}

// buffer is a ResponseWriter that keeps the answer.
type buffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffer) Header() http.Header         { return b.header }
func (b *buffer) WriteHeader(status int)      { b.status = status }
func (b *buffer) Write(p []byte) (int, error) { return b.body.Write(p) }

// refusal is an answer whose text git shows after "remote: ".
func refusal(status int, text string) *buffer {
	b := &buffer{header: http.Header{"Content-Type": {"text/plain"}}, status: status}
	b.body.WriteString(strings.TrimSpace(text) + "\n")
	return b
}

func unauthorized(text string) *buffer {
	b := refusal(http.StatusUnauthorized, text)
	b.header.Set("WWW-Authenticate", `Basic realm="GitHub"`)
	return b
}
