package weblite

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"openinspect/session"
)

//go:embed page
var files embed.FS

// page is what is embedded, ready to serve.
type page struct {
	templates *template.Template
	assets    map[string]asset // by name with hash
	style     string           // address of the style sheet
	script    string           // address of the script
}

type asset struct {
	kind string
	body []byte
}

func loadPage() (*page, error) {
	t, err := template.ParseFS(files, "page/*.html")
	if err != nil {
		return nil, err
	}
	p := &page{templates: t, assets: map[string]asset{}}
	if p.style, err = p.add("log", "css", "text/css; charset=utf-8"); err != nil {
		return nil, err
	}
	p.script, err = p.add("log", "js", "text/javascript; charset=utf-8")
	return p, err
}

// add embeds a file under a name with a hash of its content, so that it may be cached for ever, and returns its address.
func (p *page) add(name, extension, kind string) (string, error) {
	body, err := files.ReadFile("page/" + name + "." + extension)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	hashed := fmt.Sprintf("%s.%s.%s", name, hex.EncodeToString(sum[:8]), extension)
	p.assets[hashed] = asset{kind, body}
	return "/assets/" + hashed, nil
}

func (s *Server) serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.page.assets[r.PathValue("name")]
	if !ok {
		s.nothingHere(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.body)
}

// admitted returns the session that a request is about, if its reader may see it; otherwise it has answered. what is for the operator's log.
func (s *Server) admitted(w http.ResponseWriter, r *http.Request, what string) (id session.ID, st session.State, ok bool) {
	if s.enter(w, r) {
		return id, st, false
	}
	if id, _, ok = s.admit(r); !ok {
		s.forbid(w)
		return id, st, false
	}
	st, err := s.sessions.Load(r.Context(), id)
	if err != nil {
		s.fail(w, what, id, err)
		return id, st, false
	}
	return id, st, true
}

func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	id, st, ok := s.admitted(w, r, "page")
	if !ok {
		return
	}
	s.render(w, http.StatusOK, "session.html", map[string]any{
		"Style": s.page.style, "Script": s.page.script, "Path": sessionPath(id), "Seq": st.Session.Seq, "Session": summarize(st),
	})
}

// refuse answers with a page of one message: what happened, and what to do.
func (s *Server) refuse(w http.ResponseWriter, status int, title, text string) {
	s.render(w, status, "refused.html", map[string]any{"Style": s.page.style, "Title": title, "Text": text})
}

func (s *Server) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.page.templates.ExecuteTemplate(&b, name, data); err != nil {
		s.log.Error("a page could not be made", "page", name, "err", err)
		http.Error(w, "Something went wrong on our side. Please try again.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a reader that went away needs no answer
}

// summary is the head of the page: what a session is now. The live socket sends it again when it changes.
type summary struct {
	Title  string   `json:"title"`
	Repo   string   `json:"repo,omitempty"`
	Base   string   `json:"base,omitempty"`
	State  string   `json:"state"`
	Busy   bool     `json:"busy,omitempty"`
	People []string `json:"people,omitempty"`
	Model  string   `json:"model"`
	Cost   string   `json:"cost"`
	Pull   *pull    `json:"pull,omitempty"`
}

type pull struct {
	Number int    `json:"number"`
	URL    string `json:"url"`
	Title  string `json:"title"`
	State  string `json:"state"`
}

func summarize(st session.State) summary {
	v := st.Session
	m := summary{
		Title: line(v.Title), Repo: line(v.Repo.String()), Base: line(v.Base), Model: line(v.Model), Cost: dollars(v.Cost), Busy: v.Turn != nil,
	}
	if m.Title == "" {
		m.Title = "Session " + string(v.ID)
	}
	if v.Effort != "" {
		m.Model += ", " + line(v.Effort)
	}
	for _, p := range v.Participants {
		m.People = append(m.People, who(p))
	}
	if p := v.PullRequest; p != nil {
		m.Pull = &pull{p.Number, p.URL, line(p.Title), line(string(p.State))}
	}
	m.State = stateText(st)
	return m
}

// stateText says in words what a session does now.
func stateText(st session.State) string {
	v := st.Session
	waiting := len(st.Prompts)
	text := "idle"
	switch {
	case v.Await == session.AwaitRepository:
		return "waits for a repository"
	case v.Turn != nil:
		waiting--
		switch v.Turn.State {
		case session.TurnStarted:
			text = "starting"
		case session.TurnWorking:
			text = "working"
			if v.Turn.Pause != nil {
				text = "paused: the budget is spent"
			}
		case session.TurnStopping:
			text = "stopping"
		case session.TurnAnswered:
			text = "collecting changes"
		case session.TurnEnded:
		}
		if v.Turn.Stopping {
			text = "stopping"
		}
	case v.Question != "":
		text = "waits for an answer"
	}
	if waiting > 0 {
		text += fmt.Sprintf(", %d queued", waiting)
	}
	return text
}

// who names a person, with the GitHub account they linked.
func who(p session.Person) string {
	name := line(p.Name)
	if name == "" {
		name = line(p.Slack)
	}
	if p.GitHub != nil && !strings.EqualFold(p.GitHub.Login, name) {
		name += " (" + line(p.GitHub.Login) + ")"
	}
	return name
}

// dollars writes an amount so that a single small call is not nothing.
func dollars(cost float64) string {
	switch {
	case cost == 0:
		return "$0"
	case cost < 1:
		return fmt.Sprintf("$%.4f", cost)
	}
	return fmt.Sprintf("$%.2f", cost)
}
