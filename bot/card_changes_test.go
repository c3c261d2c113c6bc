package bot

import (
	"fmt"
	"strings"
	"testing"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// TestChangesCard: what people read of changes, in each of their states.
func TestChangesCard(t *testing.T) {
	v := view{id: "abcdefghij", thread: session.Thread{Channel: "C", TS: "1.0"}, approve: "white_check_mark"}
	var out strings.Builder
	for _, tt := range []struct {
		name string
		do   func(c *session.Card)
	}{
		{"ready", func(*session.Card) {}},
		{"a draft, with tests", func(c *session.Card) { c.Draft, c.Tests = true, "`go test ./...`: ok\n<!channel>" }},
		{"a follow-up by another", func(c *session.Card) {
			c.Asked, c.Contributors = sessiontest.Bob, append(c.Contributors, sessiontest.Bob)
			c.Draft, c.PullRequest = true, &session.PullRequest{Number: 12, URL: "https://github.test/acme/web/pull/12"}
		}},
		{"to be named", func(c *session.Card) {
			c.Attention = []string{".github/workflows/ci.yml", ".gitmodules"}
			c.Named = c.Attention[:1]
		}},
		{"opening", func(c *session.Card) { c.State = session.CardOpening }},
		{"opened", func(c *session.Card) {
			c.State, c.Outcome, c.PullRequest = session.CardDone, "Opened as #12 by Bob.", &session.PullRequest{Number: 12, URL: "https://github.test/acme/web/pull/12"}
		}},
		{"stale", func(c *session.Card) {
			c.State, c.Outcome, c.Tests = session.CardStale, "Superseded by bbbbbbb.", "not shown"
		}},
		{"of before who asked was kept", func(c *session.Card) { c.Asked = session.Person{} }},
	} {
		c := session.Card{
			ID: "c1", Kind: session.CardChanges, State: session.CardOpen, Commit: "1a2b3c4d5e6f", Repo: session.Repo{Owner: "acme", Name: "web"}, Base: "main", Branch: "inspect/abcdefghij-fix",
			Title: "Fix it", Commits: 1, Files: []session.FileChange{{Path: "a.go", Added: 2, Deleted: 1}}, Asked: sessiontest.Ada, Contributors: []session.Person{sessiontest.Ada},
		}
		tt.do(&c)
		parts, _ := v.changes(&c)
		fmt.Fprintf(&out, "# %s\n%s\n\n", tt.name, strings.Join(texts(t, blocks(parts...)), "\n"))
	}
	golden(t, "card-changes.txt", out.String())
}
