package github

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// What is between these lines of a pull request's text is the bot's. Neither is in what the agent or people in a thread say: quiet sees to that.
const (
	blockBegins = "<!-- inspect:begin"
	blockBegin  = blockBegins + " (written by the bot, and again with each push from the thread; write above it or below) -->"
	blockEnd    = "<!-- inspect:end -->"
)

// maxText is how many characters the bot's part may have. GitHub takes 65,536, and people write, too.
const maxText = 60_000

// body is the bot's part of the pull request's text: the agent's words, labelled as such, then what the bot knows itself: who asked for what, who
// contributed, and where the log is.
func (g *GitHub) body(r session.OpenRequest) string {
	var b strings.Builder
	if text := strings.TrimSpace(session.WithoutClaims(r.Tests)); text != "" {
		b.WriteString("### Tests, as reported by the agent\n\n" + quotation(text) + "\n\n")
	}
	if len(r.Asked) > 0 {
		b.WriteString("### Asked for\n\n")
		for _, a := range r.Asked {
			fmt.Fprintf(&b, "- **%s**: %s\n", named(a.By), quiet(session.OneLine(a.Text, 300)))
		}
		b.WriteString("\n")
	}
	b.WriteString("---\n\n" + opened(r) + ". The changes were made by an agent.")
	if url := g.c.LogURL(r.Session); url != "" {
		fmt.Fprintf(&b, " [The session's log](%s)", url)
	}
	b.WriteString("\n\n" + trailer(r.Session) + audited(r.Audit) + "\n")
	for _, p := range r.Contributors {
		if a, ok := p.Author(); ok {
			fmt.Fprintf(&b, "Co-authored-by: %s <%s>\n", quiet(a.Name), a.Email)
		} else {
			fmt.Fprintf(&b, "Prompted-by: %s (Slack %s)\n", quiet(session.OneLine(p.Name, 80)), p.Slack)
		}
	}
	b.WriteString("\n" + blockEnd + "\n")
	summary := ""
	if text := strings.TrimSpace(session.WithoutClaims(r.Body)); text != "" {
		summary = "### Summary, by the agent\n\n" + cutText(quotation(text), maxText-utf8.RuneCountInString(b.String())) + "\n\n"
	}
	return blockBegin + "\n" + summary + b.String()
}

// cutText cuts a text to at most limit characters.
func cutText(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return strings.TrimSpace(string(r[:max(0, limit-1)])) + "…"
	}
	return s
}

// opened tells who opened the pull request, and who had the newest commits pushed to it.
func opened(r session.OpenRequest) string {
	if r.Expect == 0 {
		return "Opened by " + named(r.By) + " from Slack"
	}
	return "Opened by " + named(r.OpenedBy) + "; the newest commits were pushed by " + named(r.By) + " from Slack"
}

// describe brings the bot's part of a pull request's text up to date and leaves what people wrote around it alone, all of it if that part is not
// there, or there twice. The commits are pushed by now, so what keeps it from that is the operator's to know.
func (g *GitHub) describe(ctx context.Context, c *gh.Client, r session.OpenRequest, pr *gh.PullRequest) {
	text, ok := rewritten(pr.GetBody(), g.body(r), trailer(r.Session))
	if !ok {
		return
	}
	if _, _, err := c.PullRequests.Edit(ctx, r.Repo.Owner, r.Repo.Name, pr.GetNumber(), &gh.PullRequest{Body: gh.String(text)}); err != nil {
		g.c.Report("github.describe", fmt.Errorf("the text of %s#%d was not brought up to date: %w", r.Repo, pr.GetNumber(), err))
	}
}

// rewritten puts block in the place of the one that a text has; false if there is none of this session, or nothing to change.
func rewritten(text, block, session string) (string, bool) {
	before, rest, begins := strings.Cut(text, blockBegins)
	was, after, ends := strings.Cut(rest, blockEnd)
	if !begins || !ends || strings.Contains(was+after, blockBegins) || strings.Contains(after, blockEnd) || !strings.Contains(was, session) {
		return "", false
	}
	made := before + strings.TrimSuffix(block, "\n") + after
	return made, plainLines(made) != plainLines(text)
}

// plainLines makes GitHub's line ends comparable: a text that was edited in a browser has others.
func plainLines(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }

// trailer is the line by which a pull request tells its session.
const trailerName = "Inspect-Session: "

func trailer(id session.ID) string { return trailerName + string(id) }

// audited is the line that tells what the bot's audit log had come to; "" if that is not known.
func audited(h session.AuditHead) string {
	if h.N == 0 {
		return ""
	}
	return "\nInspect-Audit: " + h.String()
}

// named is a person as the body names them.
func named(p session.Person) string {
	name := quiet(session.OneLine(p.Name, 80))
	if p.GitHub == nil {
		return name + " (Slack)"
	}
	return name + " (@" + p.GitHub.Login + ")"
}

// closing is how a text closes issues when it is merged: docs.github.com, "Linking a pull request to an issue".
var closing = regexp.MustCompile(`(?i)\b(close[sd]?|fix(?:e[sd])?|resolve[sd]?)((?::\s*|\s+)(?:(?:[\w.-]+/[\w.-]+)?#\d|GH-\d|https?://))`)

// tag is what Markdown takes for HTML; not <https://…>, which is a link.
var tag = regexp.MustCompile(`(?i)<(https?://|[a-z/!?])`)

// quiet keeps text from an agent or a thread from doing anything but being read. A zero-width space ends what would notify people, close issues (whoever
// wants that writes it above or below the bot's part), or be a tag, which could hide what comes after it, or end the bot's part.
func quiet(s string) string {
	s = tag.ReplaceAllStringFunc(s, func(t string) string {
		if strings.HasSuffix(t, "//") {
			return t
		}
		return "<\u200b" + t[1:]
	})
	return strings.ReplaceAll(closing.ReplaceAllString(s, "$1\u200b$2"), "@", "@\u200b")
}

// quotation is an agent's text as one: what it begins ends with it, and its headings are not the bot's.
func quotation(text string) string {
	return "> " + strings.ReplaceAll(quiet(text), "\n", "\n> ")
}
