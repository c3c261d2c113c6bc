package github

import (
	"strings"
	"testing"

	"openinspect/session"
)

// TestCredits: a commit names this session and exactly those who contributed, or it is not taken. The sandbox is hostile: what its runner mends is
// convenience, this counts.
func TestCredits(t *testing.T) {
	a, _ := ada.Author()
	b, _ := bob.Author()
	both := session.Credit{CoAuthors: []session.Author{a, b}, PromptedBy: []string{"Cyd (Slack UCYD)"}}
	good := both.Message("Fix the cart", a, string(id))
	url := "https://inspect.test/s/" + string(id)
	w := newWorld(t)
	w.clone()
	w.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "x")
	for _, tt := range []struct{ name, message, refusal string }{
		{"as it has to be", good, ""},
		{"with the log's address", both.Message("Fix the cart", a, url), ""},
		{"among other trailers", both.Message("Fix the cart\n\nFixes: #1", a, url), ""},
		{"none", "Fix the cart\n", "does not end with the lines"},
		{"one left out", strings.Replace(good, "Co-authored-by: Bob <102+bob@users.noreply.github.com>\n", "", 1), "does not end with the lines"},
		{"unlinked left out", strings.Replace(good, "Prompted-by: Cyd (Slack UCYD)\n", "", 1), "does not end with the lines"},
		{"one twice", strings.Replace(good, "Prompted", "Co-authored-by: Bob <102+bob@users.noreply.github.com>\nPrompted", 1), "does not end with the lines"},
		{"themselves", strings.Replace(good, "Prompted", "Co-authored-by: Ada <101+ada@users.noreply.github.com>\nPrompted", 1), "what is not so (Co-authored-by: Ada 101+ada@"},
		{"somebody else", strings.Replace(good, "Prompted", "Co-authored-by: CEO <ceo@acme.test>\nPrompted", 1), "what is not so (Co-authored-by: CEO ceo@acme.test)"},
		{"somebody else, above", "Fix the cart\n\nCo-authored-by: CEO <ceo@acme.test>\n\nand more\n\n" + strings.TrimPrefix(good, "Fix the cart\n\n"), "what is not so (Co-authored-by: CEO"},
		{"somebody else, in the subject", "co-authored-by: CEO\n\n" + good, "what is not so (co-authored-by: CEO)"},
		{"somebody else, quoted", "Fix\n> Co-Authored-By : CEO\n\n" + strings.TrimPrefix(good, "Fix the cart\n\n"), "what is not so"},
		{"somebody else, behind a return", "Fix\rCo-authored-by: CEO\n\n" + strings.TrimPrefix(good, "Fix the cart\n\n"), "what is not so"},
		{"a contributor's name, another's address", strings.Replace(good, "102+bob@users.noreply.github.com", "103+eve@users.noreply.github.com", 1), "what is not so (Co-authored-by: Bob 103+eve@"},
		{"going on in the next line", strings.Replace(good, "Prompted", " , CEO <ceo@acme.test>\nPrompted", 1), "what is not so (, CEO ceo@acme.test)"},
		{"signed", "Fix\n\nSigned-off-by: Ada <101+ada@users.noreply.github.com>\n" + strings.TrimPrefix(good, "Fix the cart\n\n"), "what is not so (Signed-off-by: Ada"},
		{"for an organisation", good + "on-behalf-of: @acme <acme@acme.test>\n", "what is not so (on-behalf-of: @acme"},
		{"a prompter who was not", strings.Replace(good, "Cyd (Slack UCYD)", "CEO (Slack UCEO)", 1), "what is not so (Prompted-by: CEO (Slack UCEO))"},
		{"another session", strings.Replace(good, "abcdefghij", "jihgfedcba", 1), "what is not so (Inspect-Session: jihgfedcba)"},
		{"another page", strings.Replace(good, "Inspect-Session: ", "Inspect-Session: https://evil.test/s/", 1), "what is not so (Inspect-Session: https://evil.test/s/abcdefghij)"},
		{"a head of the audit log", good + "Inspect-Audit: 1 00\n", "what is not so (Inspect-Audit: 1 00)"},
		{"a secret", strings.Replace(good, "Cyd (Slack UCYD)", fakeToken, 1), "what looks like a secret"},
		{"blank lines at its end", good + "\n", "does not end with the lines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.amend(ada, tt.message)
			r := w.request()
			r.Credits = []session.Credit{{CoAuthors: []session.Author{a}}, both}
			c, err := w.github.Collect(t.Context(), r, w.bundler)
			if tt.refusal == "" {
				if err != nil || c == nil {
					t.Fatalf("%+v %v", c, err)
				}
				return
			}
			refusedWith(t, err, session.Invalid, tt.refusal)
			if strings.Contains(session.Sentence(err), fakeToken) {
				t.Error("the refusal shows the secret")
			}
		})
	}
}

// What was collected before named those of its time; and where it is not known who had contributed by when, nobody else may be named.
func TestCreditsOfBefore(t *testing.T) {
	a, _ := ada.Author()
	b, _ := bob.Author()
	alone, both := session.Credit{CoAuthors: []session.Author{a}}, session.Credit{CoAuthors: []session.Author{a, b}}
	w := newWorld(t)
	w.clone()
	w.commit(ada, "a.txt", "a\n", "x")
	w.amend(ada, alone.Message("First", a, string(id)))
	r := w.request()
	r.Credits = []session.Credit{alone}
	first, err := w.github.Collect(t.Context(), r, w.bundler)
	must(t, err)
	w.commit(bob, "b.txt", "b\n", "x")
	w.amend(bob, both.Message("Second", b, string(id)))
	r.Credits = []session.Credit{both}
	_, err = w.github.Collect(t.Context(), r, w.bundler)
	refusedWith(t, err, session.Invalid, "The message of commit "+first.Head[:7]+" does not end with the lines")
	r.Collected = first.Head
	second, err := w.github.Collect(t.Context(), r, w.bundler)
	must(t, err)
	if second.Commits != 2 {
		t.Errorf("%+v", second)
	}
	r = w.request()
	r.Known = []string{"Cyd (Slack UCYD)"}
	_, err = w.github.Collect(t.Context(), r, w.bundler)
	must(t, err)
	w.amend(bob, "Third\n\nPrompted-by: Cyd (Slack UCYD)\n")
	_, err = w.github.Collect(t.Context(), r, w.bundler)
	must(t, err)
	w.amend(bob, "Third\n\nPrompted-by: CEO (Slack UCEO)\n")
	_, err = w.github.Collect(t.Context(), r, w.bundler)
	refusedWith(t, err, session.Invalid, "what is not so (Prompted-by: CEO")
}
