package githubtest

import (
	"html/template"
	"net/http"
	"strings"
)

var pages = template.Must(template.New("").Parse(`
{{define "head"}}<!doctype html><meta charset="utf-8"><title>{{.}}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto;background:#f6f8fa;padding:1rem}</style>{{end}}
{{define "pull"}}{{template "head" .Pull.Title}}
<h1>{{.Pull.Title}} #{{.Pull.Number}}</h1>
<p><b>{{.State}}</b> · {{.Pull.Author}} wants to merge <code>{{.Pull.Head}}</code> into <code>{{.Pull.Base}}</code> in {{.Repo}}</p>
<pre>{{.Pull.Body}}</pre>
<h2>Commits</h2><ul>{{range .Commits}}<li><code>{{slice .SHA 0 7}}</code> {{.Author.Name}} &lt;{{.Author.Email}}&gt;<pre>{{.Message}}</pre></li>{{end}}</ul>
{{with .Pull.Reviews}}<h2>Reviews</h2><ul>{{range .}}<li>{{.Author}}: {{.State}} {{.Body}}{{range .Lines}}<br><code>{{.Path}}:{{.Line}}</code> {{.Body}}{{end}}</li>{{end}}</ul>{{end}}
{{with .Pull.Comments}}<h2>Comments</h2><ul>{{range .}}<li>{{.Author}}: {{.Body}}</li>{{end}}</ul>{{end}}
<h2>Files</h2>{{range .Files}}<h3>{{.Name}}</h3><pre>{{.Patch}}</pre>{{end}}{{end}}
{{define "device"}}{{template "head" "Device activation"}}
<h1>Device activation</h1><p>This GitHub runs on loopback. Its people enter their codes by the program that started it.</p>{{end}}
`))

// show renders a page that may load nothing and run nothing.
func show(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_ = pages.ExecuteTemplate(w, name, data) // a client that left is its own affair
}

func (s *Server) devicePage(w http.ResponseWriter, _ *http.Request) { show(w, "device", nil) }

// pageFile is a file on a pull request's page.
type pageFile struct{ Name, Patch string }

// pullPage shows a pull request to anybody on this computer.
func (s *Server) pullPage(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	repo := s.repos[lower(r.PathValue("owner")+"/"+r.PathValue("repo"))]
	var p *pull
	if repo != nil {
		p = repo.pull(r.PathValue("number"))
	}
	if p == nil {
		s.mu.Unlock()
		http.NotFound(w, r)
		return
	}
	data := struct {
		Repo, State string
		Pull        Pull
		Commits     []Commit
		Files       []pageFile
	}{Repo: repo.full(), State: strings.ToUpper(p.state[:1]) + p.state[1:], Pull: s.describe(repo, p)}
	if p.merged {
		data.State = "Merged"
	}
	var err error
	data.Commits, err = s.log(repo, "--reverse", p.baseSHA+".."+p.headSHA)
	for _, f := range s.pullFiles(repo, p) {
		data.Files = append(data.Files, pageFile{f.name, f.patch})
	}
	s.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	show(w, "pull", data)
}
