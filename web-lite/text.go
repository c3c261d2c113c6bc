package weblite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"openinspect/session"
)

// serveText is GET /s/{id}/log.txt: the whole log as it is now, as plain text.
func (s *Server) serveText(w http.ResponseWriter, r *http.Request) {
	id, st, ok := s.admitted(w, r, "text")
	if !ok {
		return
	}
	feed, err := s.sessions.Feed(r.Context(), id, 0)
	if err != nil {
		s.fail(w, "text", id, err)
		return
	}
	defer feed.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	out := http.NewResponseController(w)
	if err := writeHead(w, st); err != nil {
		return
	}
	for feed.Last() < st.Session.Seq {
		item, err := feed.Next(r.Context())
		if err != nil {
			if r.Context().Err() == nil {
				s.log.Warn("text log failed", "session", id, "err", err)
				_, _ = fmt.Fprintf(w, "\nThe log breaks off here: %s\n", line(session.Sentence(err)))
			}
			return
		}
		// A long log may take longer than the server gives an answer; each page has its own time. Where that cannot be set, nothing is lost.
		_ = out.SetWriteDeadline(time.Now().Add(writeWithin))
		for i := range item.Events {
			if err := writeEvent(w, public(item.Events[i])); err != nil {
				return // the reader went away
			}
		}
	}
}

func writeHead(w io.Writer, st session.State) error {
	m := summarize(st)
	t := &entry{}
	t.b.WriteString(m.Title + "\n\n")
	t.fact("Repository", m.Repo)
	t.fact("Base", m.Base)
	t.fact("State", m.State)
	t.fact("People", strings.Join(m.People, ", "))
	t.fact("Model", m.Model)
	t.fact("Cost", m.Cost)
	if m.Pull != nil {
		t.fact("Pull request", fmt.Sprintf("#%d %s %s", m.Pull.Number, m.Pull.State, line(m.Pull.URL)))
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

// entry is the text of one event. Its first line begins at the margin; all that follows is indented, so that nothing in it can
// pass for another entry.
type entry struct{ b strings.Builder }

// fact adds "    name: value", if there is a value.
func (t *entry) fact(name, value string) {
	if value = line(value); value != "" {
		t.b.WriteString("    " + name + ": " + value + "\n")
	}
}

// body adds text of many lines, under a name if it has one.
func (t *entry) body(name, text string) { t.lines(name, plain(text)) }

// output adds what a program wrote.
func (t *entry) output(name, text string) { t.lines(name, terminal(text)) }

func (t *entry) lines(name, text string) {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return
	}
	indent := "    "
	if name != "" {
		t.b.WriteString(indent + name + ":\n")
		indent += "  "
	}
	for l := range strings.SplitSeq(text, "\n") {
		t.b.WriteString(strings.TrimRight(indent+l, " ") + "\n")
	}
}

// writeEvent writes one event, whole.
func writeEvent(w io.Writer, e session.Event) error {
	t := &entry{}
	fmt.Fprintf(&t.b, "\n#%d %s %s", e.Seq, e.At.UTC().Format("2006-01-02 15:04:05Z"), line(string(e.Kind)))
	head := func(words ...string) {
		for _, s := range words {
			if s = line(s); s != "" {
				t.b.WriteString(" " + s)
			}
		}
		t.b.WriteString("\n")
	}
	switch {
	case e.Prompt != nil:
		head(who(e.Prompt.Author), string(e.Prompt.State))
		if e.Prompt.Position > 0 {
			t.fact("place in the queue", fmt.Sprint(e.Prompt.Position))
		}
		if e.Prompt.Edited {
			t.fact("edited", "it reads now")
		}
		t.fact("corrects", e.Prompt.Corrects)
		t.fact("runs again for", e.Prompt.AskedBy)
		t.fact("reason", e.Prompt.Reason)
		t.body("", e.Prompt.Text)
	case e.Boot != nil:
		head(string(e.Boot.Phase), string(e.Boot.State), took(e.Boot.Millis))
		t.body("", e.Boot.Detail)
		t.output("output", e.Boot.Output)
	case e.Turn != nil:
		head(string(e.Turn.State), string(e.Turn.Outcome))
		t.fact("reason", e.Turn.Reason)
		t.fact("card", e.Turn.Card)
	case e.Text != nil:
		head()
		t.body("", e.Text.Text)
	case e.Tool != nil:
		head(e.Tool.Name, string(e.Tool.State), took(e.Tool.Millis))
		t.tool(e.Tool)
	case e.Kind == session.KindTodo:
		head()
		for _, i := range e.Todo {
			t.body("", fmt.Sprintf("[%s] %s", line(i.State), line(i.Text)))
		}
	case e.Model != nil:
		m := e.Model
		head(m.Model, dollars(m.Cost))
		t.fact("tokens", tokens(m.Usage))
		if m.Estimate {
			t.fact("estimated", "the answer broke off before it told its usage")
		}
		if m.Status != 0 {
			t.fact("refused with HTTP status", fmt.Sprint(m.Status))
		}
	case e.Retry != nil:
		head("attempt", fmt.Sprint(e.Retry.Attempt))
		t.body("", e.Retry.Reason)
		if !e.Retry.Next.IsZero() {
			t.fact("next", e.Retry.Next.UTC().Format("15:04:05Z"))
		}
	case e.Commits != nil:
		head(fmt.Sprint(e.Commits.Count), "up to", e.Commits.Head)
		t.files(e.Commits.Files)
		t.body("patch", e.Commits.Patch)
	case e.Card != nil:
		head(e.Card.ID, string(e.Card.Kind), string(e.Card.State))
		t.card(e.Card)
	case e.Approval != nil:
		head(e.Approval.ID, "by", who(e.Approval.By), "on", e.Approval.Card, string(e.Approval.Kind), string(e.Approval.State))
		t.fact("second of", e.Approval.Seconds)
	case e.PullRequest != nil:
		p := e.PullRequest
		head(fmt.Sprintf("#%d", p.Number), string(p.State))
		t.pull(p)
	case e.Sandbox != nil:
		head(e.Sandbox.Name, string(e.Sandbox.State))
		t.body("", e.Sandbox.Reason)
	case e.Note != nil && e.Note.To != "":
		head("for one person alone")
	case e.Note != nil:
		head(string(e.Note.Kind))
		t.body("", e.Note.Text)
		t.body("", e.Note.Over)
		t.fact("address", e.Note.URL)
		t.body("as it is said there", e.Note.Quote)
		for _, o := range e.Note.Options {
			t.body("", "- "+line(o))
		}
	case e.Budget != nil:
		head(string(e.Budget.State))
		t.budget(e.Budget)
	case e.Repository != nil:
		head(string(e.Repository.State))
		t.fact("repository", e.Repository.Repo.String())
		t.fact("branch", e.Repository.Base)
		if e.Repository.By.Slack != "" {
			t.fact("by", who(e.Repository.By))
		}
		t.fact("reason", e.Repository.Reason)
	case e.Error != nil:
		head(string(e.Error.Code))
		t.body("", e.Error.Message)
	default:
		head()
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

func (t *entry) tool(c *session.Tool) {
	t.fact("title", c.Title)
	if c.Child {
		t.fact("called by", "a sub-agent")
	}
	if c.Exit != nil {
		t.fact("exit", fmt.Sprint(*c.Exit))
	}
	t.body("input", inputText(c.Input))
	t.output("output", c.Output)
	t.output("error", c.Error)
	t.body("diff", c.Diff)
}

// inputText writes a tool's input for reading: JSON over several lines, anything else as it is.
func inputText(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

func (t *entry) files(files []session.FileChange) {
	for _, f := range files {
		if f.Binary {
			t.body("", line(f.Path)+" (binary)")
		} else {
			t.body("", fmt.Sprintf("%s +%d -%d", line(f.Path), f.Added, f.Deleted))
		}
	}
}

func (t *entry) card(c *session.Card) {
	t.fact("title", c.Title)
	t.fact("repository", c.Repo.String())
	t.fact("branch", line(c.Branch)+" onto "+line(c.Base))
	t.fact("commit", c.Commit)
	t.fact("commits", fmt.Sprint(c.Commits))
	if c.Merging != nil {
		t.fact("being merged", "for "+who(*c.Merging))
	}
	t.fact("outcome", c.Outcome)
	var people []string
	for _, p := range c.Contributors {
		people = append(people, who(p))
	}
	if c.Asked.Name != "" {
		t.fact("asked by", who(c.Asked))
	}
	t.fact("contributors", strings.Join(people, ", "))
	if c.Draft {
		t.fact("opens", "a draft")
	}
	t.files(c.Files)
	for _, path := range c.Attention {
		t.fact("wants a second look", path)
	}
	for _, path := range c.Named {
		t.fact("needs a second approval", path)
	}
	t.body("text", c.Body)
	t.body("tests, as reported by the agent", c.Tests)
	if c.PullRequest != nil {
		t.pull(c.PullRequest)
	}
}

func (t *entry) pull(p *session.PullRequest) {
	t.fact("pull request", fmt.Sprintf("#%d %s", p.Number, line(p.Title)))
	t.fact("address", p.URL)
	t.fact("repository", p.Repo.String())
	t.fact("branch", line(p.Branch)+" onto "+line(p.Base))
	t.fact("commit", p.Commit)
	t.fact("opened by", who(p.OpenedBy))
	if p.Adopted {
		t.fact("adopted", "it was there already")
	}
	if p.Draft {
		t.fact("draft", "not ready for review")
	}
	t.fact("moved on GitHub to", p.Head)
	t.fact("not seen", p.Lost)
	t.fact("checks", string(p.Checks.State))
	for _, c := range p.Checks.Failed {
		t.fact("failed", c.Name)
	}
	for _, r := range p.Reviews {
		t.fact("review", r.By.Login+" "+string(r.State)+" at "+r.Commit)
	}
	if p.Outside > 0 {
		t.fact("remarks by people who may not write there", fmt.Sprint(p.Outside))
	}
	if p.MergedAs != "" {
		t.fact("merged", "as "+p.MergedAs+" by "+p.MergedBy.Login)
	}
}

func (t *entry) budget(b *session.BudgetChange) {
	t.fact("spent", session.Dollars(b.Spent)+" of "+session.Dollars(b.Limit))
	switch b.State {
	case session.BudgetAsked:
		t.fact("paused until somebody allows", session.Dollars(b.More)+" more")
	case session.BudgetRaised:
		t.fact("raised", "by "+who(b.By)+", by "+session.Dollars(b.More))
	case session.BudgetWarned, session.BudgetEnded:
	}
	t.fact("reason", b.Reason)
}

// took writes a duration; "" for none.
func took(millis int64) string {
	switch {
	case millis <= 0:
		return ""
	case millis < 1000:
		return fmt.Sprintf("%d ms", millis)
	}
	return (time.Duration(millis) * time.Millisecond).Round(100 * time.Millisecond).String()
}

func tokens(u session.Usage) string {
	s := fmt.Sprintf("%d in, %d out", u.Input, u.Output)
	if u.CacheRead > 0 {
		s += fmt.Sprintf(", %d read from cache", u.CacheRead)
	}
	if u.CacheWrite > 0 {
		s += fmt.Sprintf(", %d written to cache", u.CacheWrite)
	}
	return s
}
