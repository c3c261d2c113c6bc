package github

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// Limits of webhooks. GitHub's largest is 25 MiB; what is larger than ours is about pushes of thousands of commits, and is seen at the next look.
const (
	maxHook    = 1 << 20
	hookWithin = 10 * time.Second // how long its body may take
	hintEvery  = time.Second      // a pull request is not looked at more often, whoever sends how much
	sayEvery   = 10 * time.Minute // the operator is not told more often of what is refused
)

// WebhookPath is where GitHub sends its webhooks.
const WebhookPath = "/webhooks/github"

// Hook takes GitHub's webhooks. What one says is not believed: that it is signed makes it worth a look, at what the looks see anyway. So it does no harm
// that one comes twice, late or never. Without a secret everything is refused.
func (g *GitHub) Hook() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(hookWithin)) // real time: it is a connection's
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHook))
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		status, why := http.StatusAccepted, "looking"
		switch _, large := errors.AsType[*http.MaxBytesError](err); {
		case large:
			status, why = http.StatusRequestEntityTooLarge, "too large"
		case err != nil:
			status, why = http.StatusBadRequest, "no body"
		case g.c.WebhookSecret == "":
			status, why = http.StatusNotFound, "no secret is configured"
		case kind != "application/json" && kind != "application/x-www-form-urlencoded":
			status, why = http.StatusUnsupportedMediaType, "neither JSON nor a form" // GitHub sends no other
		default:
			payload, err := gh.ValidatePayloadFromBody(kind, bytes.NewReader(body), r.Header.Get(gh.SHA256SignatureHeader), []byte(g.c.WebhookSecret))
			if err == nil {
				g.watch.hint(readHook(r.Header.Get(gh.EventTypeHeader), payload))
				break
			}
			status, why = http.StatusUnauthorized, "not signed with the secret"
			g.refusedHook()
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, why+"\n")
	})
}

// refusedHook tells the operator, now and then, that webhooks are refused: the secrets may differ.
func (g *GitHub) refusedHook() {
	now := g.c.Clock.Now()
	g.mu.Lock()
	due := now.Sub(g.saidAt) >= sayEvery
	if due {
		g.saidAt = now
	}
	g.mu.Unlock()
	if due {
		g.c.Report("github.Hook", session.Errorf(session.Forbidden, "a webhook was not signed with GITHUB_WEBHOOK_SECRET"))
	}
}

// hint is what a webhook is about: pull requests of a repository by their number, head or branch. One with none of these is about all of them.
type hint struct {
	repo    string // owner/name
	numbers []int
	heads   []string
	branch  string
	access  bool // what the App may see has changed
}

// of reports whether a hint is about a pull request.
func (h hint) of(p *watched) bool {
	if !strings.EqualFold(h.repo, p.Repo.String()) {
		return false
	}
	all := len(h.numbers) == 0 && len(h.heads) == 0 && h.branch == ""
	return all || slices.Contains(h.numbers, p.Number) || slices.Contains(h.heads, p.head) || h.branch != "" && h.branch == p.branch
}

// readHook reads as much of a webhook as there is: docs.github.com, "Webhook events and payloads". What cannot be read is about nothing.
func readHook(event string, payload []byte) hint {
	type pull struct {
		Number int `json:"number"`
	}
	type run struct {
		Head  string `json:"head_sha"`
		Pulls []pull `json:"pull_requests"`
	}
	var in struct {
		Repository struct {
			Name string `json:"full_name"`
		} `json:"repository"`
		Pull  pull   `json:"pull_request"`
		Issue pull   `json:"issue"`
		Run   run    `json:"check_run"`
		Suite run    `json:"check_suite"`
		SHA   string `json:"sha"`
		Ref   string `json:"ref"`
	}
	if json.Unmarshal(payload, &in) != nil {
		return hint{}
	}
	h := hint{repo: in.Repository.Name}
	for _, p := range append(append([]pull{in.Pull, in.Issue}, in.Run.Pulls...), in.Suite.Pulls...) {
		if p.Number != 0 {
			h.numbers = append(h.numbers, p.Number)
		}
	}
	for _, sha := range []string{in.Run.Head, in.Suite.Head, in.SHA} {
		if sha != "" {
			h.heads = append(h.heads, sha)
		}
	}
	switch event {
	case "push":
		h.branch = in.Ref
		if name, is := strings.CutPrefix(in.Ref, "refs/heads/"); is {
			h.branch = name
		}
	case "installation", "installation_repositories", "repository":
		h.access = true
	}
	return h
}

// hint has the pull requests that it is about looked at now, or when they may be again.
func (w *watch) hint(h hint) {
	if h.access {
		w.g.forgetAll()
	}
	now := w.g.c.Clock.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.pulls {
		if !h.of(p) {
			continue
		}
		p.hinted = true // should it be looked at just now, what this is about may have been read already
		if at := p.looked.Add(hintEvery); at.Before(p.next) {
			p.next = at
			if at.Before(now) {
				p.next = now
			}
		}
	}
	w.rouse()
}
