package github

import (
	"fmt"
	"strings"

	"openinspect/session"
)

// body is the pull request's text: the agent's words, then what the bot knows itself: who asked for what, who contributed, and where the log is.
func (g *GitHub) body(r session.OpenRequest) string {
	var b strings.Builder
	if text := strings.TrimSpace(r.Body); text != "" {
		b.WriteString("### Summary, by the agent\n\n" + quiet(text) + "\n\n")
	}
	if text := strings.TrimSpace(r.Tests); text != "" {
		b.WriteString("### Tests, as reported by the agent\n\n" + quiet(text) + "\n\n")
	}
	if len(r.Asked) > 0 {
		b.WriteString("### Asked for\n\n")
		for _, a := range r.Asked {
			fmt.Fprintf(&b, "- **%s**: %s\n", named(a.By), quiet(session.OneLine(a.Text, 300)))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "---\n\nOpened by %s from Slack; the changes were made by an agent.", named(r.By))
	if url := g.c.LogURL(r.Session); url != "" {
		fmt.Fprintf(&b, " [The session's log](%s)", url)
	}
	b.WriteString("\n\n" + trailer(r.Session) + "\n")
	if r.Audit != "" {
		b.WriteString("Inspect-Audit: " + r.Audit + "\n")
	}
	for _, p := range r.Contributors {
		if a, ok := p.Author(); ok {
			fmt.Fprintf(&b, "Co-authored-by: %s <%s>\n", a.Name, a.Email)
		} else {
			fmt.Fprintf(&b, "Prompted-by: %s (Slack %s)\n", session.OneLine(p.Name, 80), p.Slack)
		}
	}
	return b.String()
}

// trailer is the line by which a pull request tells its session.
func trailer(id session.ID) string { return "Inspect-Session: " + string(id) }

// named is a person as the body names them.
func named(p session.Person) string {
	name := quiet(session.OneLine(p.Name, 80))
	if p.GitHub == nil {
		return name + " (Slack)"
	}
	return name + " (@" + p.GitHub.Login + ")"
}

// quiet keeps text from an agent or a thread from notifying people: a zero-width space after each @ ends GitHub's mentions.
func quiet(s string) string { return strings.ReplaceAll(s, "@", "@\u200b") }
