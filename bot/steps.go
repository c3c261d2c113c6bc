package bot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"openinspect/session"
)

// step is a phase of a boot.
type step struct {
	name   string
	state  session.StepState
	millis int64
	detail string
	since  time.Time // when it began, as far as that is told
	seq    int64     // of the event that told its newest state
}

// maxSteps is how many lines of finished work a status message shows, the newest.
const maxSteps = 6

// steps condenses an agent's tool calls: reads and searches in a row are counted, edits of one file are added up, commands have a line each.
type steps struct {
	lines   []line
	dropped int   // lines that are not kept any more
	first   int64 // the event of the first of these
	total   int   // calls that are over
	current map[string]call
	order   []string // of the calls in current
}

// call is a call that goes on.
type call struct {
	verb, what string // in Slack's markup
	since      time.Time
	seq        int64
}

// line is one of finished work.
type line struct {
	kind           string // read, search, edit, or the rest
	subject        string
	count          int
	added, deleted int
	state          session.StepState
	exit           int
	millis         int64
	seq            int64 // of the event that told of it first
}

// toldOtherwise reports whether what a tool does has events of its own: the agent's list, and our tools, which it calls by their server's
// name. Such a call is no step, and does not part what the agent says before it from what it says after.
func toldOtherwise(tool string) bool {
	switch strings.TrimPrefix(tool, "inspect_") {
	case "todowrite", "todoread", "propose_pull_request", "post_update", "ask", "upload_image":
		return true
	}
	return false
}

// tool takes one event of a call.
func (s *steps) tool(e session.Event) {
	t := e.Tool
	if t.State == session.StepRunning {
		if s.current == nil {
			s.current = map[string]call{}
		}
		now := call{since: e.At, seq: e.Seq}
		if begun, known := s.current[t.Call]; known {
			now.since, now.seq = begun.since, begun.seq
		} else {
			s.order = append(s.order, t.Call)
		}
		now.verb, now.what = describe(t)
		s.current[t.Call] = now
		return
	}
	delete(s.current, t.Call)
	for i, call := range s.order {
		if call == t.Call {
			s.order = append(s.order[:i:i], s.order[i+1:]...)
			break
		}
	}
	s.total++
	l := line{kind: "child", count: 1}
	if !t.Child {
		l = lineOf(t)
	}
	l.seq = e.Seq
	s.add(l)
}

// add puts a line at the end, or into the last one if they go together.
func (s *steps) add(l line) {
	if n := len(s.lines); n > 0 {
		last := &s.lines[n-1]
		together := last.kind == l.kind && last.state == l.state && l.state != session.StepFailed
		switch {
		case together && (l.kind == "read" || l.kind == "search" || l.kind == "child"):
			last.count += l.count
			return
		case together && l.kind == "edit" && last.subject == l.subject:
			last.added += l.added
			last.deleted += l.deleted
			return
		}
	}
	s.lines = append(s.lines, l)
	if over := len(s.lines) - maxSteps; over > 0 {
		if s.dropped == 0 {
			s.first = s.lines[0].seq
		}
		s.lines = append([]line(nil), s.lines[over:]...)
		s.dropped += over
	}
}

func lineOf(t *session.Tool) line {
	l := line{count: 1, state: t.State, subject: subject(t), millis: t.Millis}
	switch t.Name {
	case "read":
		l.kind = "read"
	case "glob", "grep", "list", "ls", "codesearch":
		l.kind = "search"
	case "edit", "write", "patch", "apply_patch", "multiedit":
		l.kind = "edit"
		l.added, l.deleted = diffSize(t.Diff)
	case "bash":
		l.kind = "bash"
		if t.Exit != nil {
			l.exit = *t.Exit
		}
	default:
		l.kind = t.Name
	}
	return l
}

// diffSize counts the changed lines of a unified diff.
func diffSize(diff string) (added, deleted int) {
	for l := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(l, "+++"), strings.HasPrefix(l, "---"):
		case strings.HasPrefix(l, "+"):
			added++
		case strings.HasPrefix(l, "-"):
			deleted++
		}
	}
	return added, deleted
}

// subject is what a call is about, in one short line: a command, a file, a title.
func subject(t *session.Tool) string {
	var in struct {
		Command  string `json:"command"`
		FilePath string `json:"filePath"`
		URL      string `json:"url"`
	}
	_ = json.Unmarshal(t.Input, &in) // the agent's; what is not there stays empty
	s := t.Title
	switch t.Name {
	case "bash":
		if first, _, more := strings.Cut(strings.TrimSpace(in.Command), "\n"); first != "" {
			if s = first; more {
				s += " …"
			}
		}
	case "webfetch":
		if in.URL != "" {
			s = in.URL
		}
	case "read", "edit", "write", "multiedit":
		if s == "" && in.FilePath != "" {
			s = path.Base(in.FilePath)
		}
	}
	return short(s, 80)
}

// short is s as one line of at most limit characters.
func short(s string, limit int) string {
	s = strings.Join(strings.Fields(seen(s)), " ")
	if r := []rune(s); len(r) > limit {
		return strings.TrimSpace(string(r[:limit-1])) + "…"
	}
	return s
}

// verbs say what a call that runs is doing.
var verbs = map[string]string{"bash": "running", "read": "reading", "edit": "editing", "write": "writing", "multiedit": "editing",
	"grep": "searching", "glob": "searching", "list": "listing", "webfetch": "fetching", "task": "a sub-agent works:"}

// describe says what a call that runs is doing, in Slack's markup.
func describe(t *session.Tool) (verb, what string) {
	what = code(subject(t))
	if verb = verbs[t.Name]; verb == "" {
		return "using", strings.TrimSpace(code(short(t.Name, 40)) + " " + what)
	}
	return verb, what
}

// show is the line in Slack's markup; link makes a link to its event in the log of a few words.
func (l line) show(link func(seq int64, words string) string) string {
	mark, at := "", func(words string) string { return link(l.seq, words) }
	if l.state == session.StepFailed {
		mark = " ✗"
	}
	switch l.kind {
	case "read":
		if l.count == 1 && l.subject != "" {
			return at("read") + " " + code(l.subject) + mark
		}
		return at("read "+plural(l.count, "file")) + mark
	case "search":
		return at("searched "+plural(l.count, "time")) + mark
	case "child":
		return at(plural(l.count, "step") + " by a sub-agent")
	case "edit":
		s := at("edited") + " " + cmp.Or(code(l.subject), "a file")
		if l.added+l.deleted > 0 {
			s += fmt.Sprintf(" +%d −%d", l.added, l.deleted)
		}
		return s + mark
	case "webfetch":
		return at("fetched") + " " + cmp.Or(code(l.subject), "a page") + mark
	case "bash":
		how := "✓"
		switch {
		case l.exit != 0:
			how = fmt.Sprintf("✗ exit %d", l.exit)
		case l.state == session.StepFailed:
			how = "✗"
		}
		if took := time.Duration(l.millis) * time.Millisecond; took >= time.Second {
			if l.exit != 0 {
				how += ","
			}
			how += " " + elapsed(took)
		}
		return cmp.Or(code(l.subject), "a command") + " " + at(how)
	}
	return strings.TrimSpace(at("used")+" "+code(short(l.kind, 40))+" "+code(l.subject)) + mark
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "ory"); ok { // repositories, directories
		noun = stem + "orie"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
