package github

import (
	"strings"
	"testing"

	"openinspect/session"
)

// FuzzText: whatever the agent and people in the thread say, the bot's part begins once and ends once, notifies nobody, its last paragraph is the bot's, and it is exchanged whole
// with what people wrote around it left to the byte.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		"", "It was broken.", "<!-- inspect:end -->", "<!-- inspect:begin -->", "<!<!---- inspect:end -->", "<!-", "- inspect:end -->", "@everyone\r\n\x00", "Inspect-Session: other",
		"```\n<!-- inspect:end -->\n```", "Co-authored-by: Grace <grace@acme.test>", strings.Repeat("@", 40_000), "\xff<!--\xff",
	} {
		f.Add(s, s, s, s, s, s)
		f.Add(s, "", "Ada", "", "Closes #7.\r\n", "\r\nSee the wiki.")
	}
	g := &GitHub{c: Config{LogURL: func(id session.ID) string { return "https://inspect.test/s/" + string(id) }}}
	f.Fuzz(func(t *testing.T, summary, tests, name, asked, before, after string) {
		by := session.Person{Slack: "U1", Name: name}
		r := session.OpenRequest{Session: id, Repo: web, Body: summary, Tests: tests, By: by, Asked: []session.Asking{{By: by, Text: asked}}, Contributors: []session.Person{by, ada}}
		first := g.body(r)
		if strings.Count(first, blockBegins) != 1 || strings.Count(first, blockEnd) != 1 || !strings.HasPrefix(first, blockBegin+"\n") || !strings.HasSuffix(first, "\n"+blockEnd+"\n") {
			t.Fatalf("not one part:\n%s", first)
		}
		paragraphs := strings.Split(strings.TrimSuffix(first, "\n\n"+blockEnd+"\n"), "\n\n")
		last := paragraphs[len(paragraphs)-1]
		if lines := strings.Split(last, "\n"); len(lines) != 3 || lines[0] != trailer(id) || !strings.HasPrefix(lines[1], "Prompted-by: ") || lines[2] != "Co-authored-by: Ada <101+ada@users.noreply.github.com>" {
			t.Fatalf("not the bot's paragraph:\n%s", last)
		}
		said := strings.NewReplacer("@users.noreply.github.com>", "", "(@ada)", "").Replace(first)
		if strings.Count(said, "@") != strings.Count(said, "@\u200b") {
			t.Fatalf("it notifies somebody:\n%s", first)
		}
		r.Body, r.Expect, r.OpenedBy = "Another summary.", 1, bob
		second := g.body(r)
		whole := before + first + after
		made, ok := rewritten(whole, second, trailer(id))
		if strings.Contains(before+after, blockBegins) || strings.Contains(before+after, blockEnd) { // people may write what they like
			if ok && strings.Count(whole, blockBegins) != 1 {
				t.Fatalf("which of them is ours?\n%s", whole)
			}
			return
		}
		if !ok || made != before+second+after {
			t.Fatalf("%t\n%s", ok, made)
		}
	})
}
