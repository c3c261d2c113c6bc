package bot

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// Slack refuses a message whose blocks hold more than about 13,000 characters, and a section of more than 3,000. So a message has at most 12,000:
// the agent's words, and what a card takes beside them.
const (
	maxAnswer   = 11_500 // of a message without a card
	besideCard  = 7_000
	maxList     = 1_400 // characters of a card's list of files
	maxNames    = 700   // of other lists
	maxSection  = 2_900
	maxStatus   = 8_000
	maxFiles    = 10
	maxFallback = 3_900
)

// view renders what a session's thread shows.
type view struct {
	id      session.ID
	thread  session.Thread
	rooted  bool   // which replies are prompts: all, or those that mention us
	repo    string // with its branch, in Slack's markup; empty: none
	logURL  string // in Slack's markup; empty: none is shown
	approve string // emoji
	stop    string // emoji
	merge   string // emoji; empty: nothing is merged from Slack
	quorum  int    // how many approvals a merge needs
}

func (v view) message(key string, op session.MessageOp, kind, promptID string) session.Message {
	return session.Message{Key: string(v.id) + "/" + key, Session: v.id, Op: op, Team: v.thread.Team, Channel: v.thread.Channel, Thread: v.thread.TS,
		Subject: session.Subject{Kind: kind, PromptID: promptID}}
}

// link makes a link of a few words in Slack's markup to an event in the session's log, where links are posted.
func (v view) link(seq int64, words string) string {
	if v.logURL == "" || seq == 0 {
		return words
	}
	return fmt.Sprintf("<%s#e%d|%s>", v.logURL, seq, words)
}

// status is the message of the turn that goes on.
func (v view) status(d *digest) session.Message {
	m := v.message("status/"+d.turn.prompt, session.MessagePost, "status", d.turn.prompt)
	heading, lines, footer := d.status(v)
	top := &slack.SectionBlock{Type: slack.MBTSection, Text: mrkdwn(heading)}
	if d.turn.stoppable() {
		top.Accessory = slack.NewAccessory(button(m, pressEnd, "Stop", slack.StyleDefault))
	}
	parts := []slack.Block{top}
	for _, text := range packed(lines, maxSection, maxStatus) {
		s := section(text)
		s.Expand = true
		parts = append(parts, s)
	}
	m.Blocks = blocks(append(parts, note(footer))...)
	v.logURL = "" // without blocks nobody follows links
	_, lines, _ = d.status(v)
	m.Text, _ = cut(strings.Join(append([]string{heading}, lines...), "\n"), maxFallback)
	return m
}

// packed joins lines to texts of at most limit characters. Of more than most in all the oldest are left out.
func packed(lines []string, limit, most int) []string {
	total := 0
	for n := len(lines) - 1; n >= 0; n-- {
		lines[n], _ = cut(lines[n], limit)
		if total += utf8.RuneCountInString(lines[n]) + 1; total > most {
			lines = lines[n+1:]
			break
		}
	}
	var texts []string
	size := 0
	for _, l := range lines {
		n := utf8.RuneCountInString(l) + 1
		if len(texts) == 0 || size+n > limit {
			texts, size = append(texts, l), n
			continue
		}
		texts[len(texts)-1] += "\n" + l
		size += n
	}
	return texts
}

// closed is what a status message becomes when its turn is over.
func (v view) closed(r *result) session.Message {
	m := v.message("status/"+r.prompt, session.MessagePost, "status", r.prompt)
	line := r.closing
	if v.logURL != "" {
		line += " · <" + v.logURL + "|log>"
	}
	m.Text, m.Blocks, m.Urgent = line, blocks(note(line)), true
	return m
}

// prose shows a sentence of ours that may quote somebody: nothing in it is markup but inline code.
func prose(s string) string { return escape(short(s, 2_000)) }

// changes is the card that proposes a pull request.
func (v view) changes(c *session.Card) ([]slack.Block, string) {
	heading := "*Changes ready*"
	switch c.State {
	case session.CardOpening:
		heading = "*Opening the pull request …*"
	case session.CardDone:
		heading = "*" + opened(c) + "*"
	case session.CardStale:
		heading = "*Changes, not the newest any more.* " + escape(c.Outcome)
	case session.CardOpen:
	}
	where := fmt.Sprintf("%s: %s ← %s at %s, %s", code(c.Repo.String()), code(short(c.Base, 100)), code(short(c.Branch, 100)), code(sevenDigits(c.Commit)), plural(c.Commits, "commit"))
	parts := []slack.Block{section(heading + "\n" + where), plainSection("Title, by the agent: " + c.Title)}
	if c.State != session.CardStale {
		parts = append(parts, section(files(c.Files)))
		if len(c.Attention) > 0 {
			parts = append(parts, section(attention(c.Attention)))
		}
		if c.Tests != "" {
			parts = append(parts, plainSection("Tests, as reported by the agent: "+c.Tests))
		}
	}
	var facts []string
	if c.Asked.Name != "" {
		facts = append(facts, "Asked by "+people([]session.Person{c.Asked}))
	}
	if len(c.Contributors) > 0 {
		facts = append(facts, "Contributors: "+people(c.Contributors))
	}
	if c.State == session.CardOpen {
		facts = append(facts, ":"+v.approve+": "+v.proposes(c))
		if len(c.Named) > 0 {
			facts[len(facts)-1] += ", after a second :" + v.approve + ": on a message that names " + plural(len(c.Named), "path")
		}
	}
	if v.logURL != "" {
		facts = append(facts, "<"+v.logURL+"|log and diff>")
	}
	if len(facts) > 0 {
		parts = append(parts, note(strings.Join(facts, " · ")))
	}
	return parts, heading + " " + where
}

// proposes is what an approval of changes does.
func (v view) proposes(c *session.Card) string {
	switch {
	case c.PullRequest != nil:
		return "pushes this to " + pullLink(c.PullRequest)
	case c.Draft:
		return "opens a draft as you (you then cannot review it)"
	}
	return "opens the pull request as you (you then cannot review it)"
}

// opened is the outcome of a card whose pull request is there, with a link.
func opened(c *session.Card) string {
	if c.PullRequest == nil {
		return escape(c.Outcome)
	}
	number := fmt.Sprintf("#%d", c.PullRequest.Number)
	return strings.Replace(escape(c.Outcome), number, pullLink(c.PullRequest), 1)
}

func pullLink(pr *session.PullRequest) string {
	if pr.URL == "" {
		return fmt.Sprintf("#%d", pr.Number)
	}
	return fmt.Sprintf("<%s|#%d>", escape(pr.URL), pr.Number)
}

// notice is a message of ours in the thread; text is Slack's markup.
func (v view) notice(seq int64, promptID, text string) session.Message {
	m := v.message(fmt.Sprintf("note/%d", seq), session.MessagePost, "notice", promptID)
	m.Text, m.Urgent = text, true
	return m
}

// private is a message for one person; text is Slack's markup.
func (v view) private(seq int64, user, text string) session.Message {
	m := v.message(fmt.Sprintf("private/%d", seq), privately(v.thread.Channel), "", "")
	m.User, m.Text, m.Urgent = user, text, true
	return m
}

func files(changes []session.FileChange) string {
	added, deleted := 0, 0
	var lines []string
	for i, f := range changes {
		added, deleted = added+f.Added, deleted+f.Deleted
		if i >= maxFiles {
			continue
		}
		size := fmt.Sprintf("+%d −%d", f.Added, f.Deleted)
		if f.Binary {
			size = "binary"
		}
		lines = append(lines, code(short(f.Path, 120))+" "+size)
	}
	if more := len(changes) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %s", plural(more, "more file")))
	}
	text, _ := cut(fmt.Sprintf("%s, +%d −%d\n", plural(len(changes), "file"), added, deleted)+strings.Join(lines, "\n"), maxList)
	return text
}

func attention(paths []string) string {
	var names []string
	for _, p := range paths[:min(maxFiles, len(paths))] {
		names = append(names, code(short(p, 120)))
	}
	s := ":warning: Look twice: " + strings.Join(names, ", ")
	if more := len(paths) - len(names); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	s, _ = cut(s, maxNames)
	return s
}

func people(all []session.Person) string {
	var names []string
	for _, p := range all {
		name := escape(p.Name)
		if p.GitHub != nil {
			name += " (" + escape(p.GitHub.Login) + ")"
		}
		names = append(names, name)
	}
	text, _ := cut(strings.Join(names, ", "), maxNames)
	return text
}

func sevenDigits(commit string) string { return commit[:min(7, len(commit))] }

func mrkdwn(text string) *slack.TextBlockObject {
	return &slack.TextBlockObject{Type: slack.MarkdownType, Text: text, Verbatim: true}
}

func section(text string) *slack.SectionBlock {
	text, _ = cut(text, maxSection)
	return slack.NewSectionBlock(mrkdwn(text), nil, nil)
}

func plainSection(text string) slack.Block {
	return slack.NewSectionBlock(&slack.TextBlockObject{Type: slack.PlainTextType, Text: short(text, 300)}, nil, nil)
}

func note(text string) slack.Block {
	text, _ = cut(text, maxSection)
	return slack.NewContextBlock("", slack.TextBlockObject{Type: slack.MarkdownType, Text: text, Verbatim: true})
}

func blocks(parts ...slack.Block) json.RawMessage {
	raw, err := json.Marshal(parts)
	if err != nil {
		return nil // the text is sent alone
	}
	return raw
}
