package session

import (
	"os/exec"
	"strings"
	"testing"
)

var (
	creditAda = Author{Name: "Ada", Email: "1+ada-l@users.noreply.github.com"}
	creditBob = Author{Name: "Bob", Email: "2+bob-h@users.noreply.github.com"}
	credited  = Credit{CoAuthors: []Author{creditAda, creditBob}, PromptedBy: []string{"Cyd (Slack U0CYD)"}}
)

const (
	creditLog   = "https://inspect.test/s/abcdefghij"
	creditLines = "Co-authored-by: Bob <2+bob-h@users.noreply.github.com>\nPrompted-by: Cyd (Slack U0CYD)\nInspect-Session: https://inspect.test/s/abcdefghij\n"
)

// forgedMessages are messages that claim something, by what of them is to be left.
var forgedMessages = map[string]string{
	"Fix":                                  "Fix\n\n",
	"\n\nFix\n\nwith words\n\n\n":          "Fix\n\nwith words\n\n",
	"Fix\n\nFixes: #1\nRefs: #2\n":         "Fix\n\nFixes: #1\nRefs: #2\n",
	"Fix\n\nFixes: #1\n  and more":         "Fix\n\nFixes: #1\n  and more\n",
	"Fix\n\nSee: this\nand that":           "Fix\n\nSee: this\nand that\n\n",
	"Fixes: #1":                            "Fixes: #1\n\n",
	"Fix\n\n" + creditLines:                "Fix\n\n",
	"Fix\n\nFixes: #1\n" + creditLines:     "Fix\n\nFixes: #1\n",
	"Fix\n\nCo-Authored-By: CEO <c@x>":     "Fix\n\n",
	"Fix\n\nCo-authored-by : CEO <c@x>":    "Fix\n\n",
	"Fix\n\nSigned-off-by: CEO <c@x>":      "Fix\n\n",
	"Fix\n\nsigned-off-by:CEO <c@x>\nx":    "Fix\n\nx\n\n",
	"Fix\n\non-behalf-of: @acme <a@x>":     "Fix\n\n",
	"Fix\n\nPrompted-by: CEO (Slack U1)":   "Fix\n\n",
	"Fix\n\nInspect-Session: other":        "Fix\n\n",
	"Fix\n\nInspect-Audit: 1 00":           "Fix\n\n",
	"Co-authored-by: CEO <c@x>":            "Changes without a message\n\n",
	" \n\t\n":                              "Changes without a message\n\n",
	"":                                     "Changes without a message\n\n",
	"Co-authored-by: CEO <c@x>\n\nFix":     "Fix\n\n",
	"Fix\n\nCo-authored-by: CEO\n <c@x>":   "Fix\n\n",
	"Fix\n\nA: b\nCo-authored-by: C\n\tx":  "Fix\n\nA: b\n",
	"Fix\n> Co-authored-by: CEO <c@x>":     "Fix\n\n",
	"Fix\n  * Signed-off-by: CEO":          "Fix\n\n",
	"Fix\n\u200bCo-authored-by: CEO":       "Fix\n\n",
	"Fix\n\u00a0Co-authored-by\u00a0: C":   "Fix\n\n",
	"Fix\r\rCo-authored-by: CEO <c@x>":     "Fix\n\n",
	"Fix\r\n\r\nCo-authored-by: CEO\r\n":   "Fix\n\n",
	"Fix\u2028Co-authored-by: CEO <c@x>":   "Fix\n\n",
	"Fix\vCo-authored-by: CEO\fmore":       "Fix\nmore\n\n",
	"Fix\u0085Signed-off-by: CEO":          "Fix\n\n",
	"Say that Co-authored-by: works":       "Say that Co-authored-by: works\n\n",
	"Read co-authored-by\n\nand its kind":  "Read co-authored-by\n\nand its kind\n\n",
	"Fix\n---\nCo-authored-by: CEO <c@x>":  "Fix\n---\n\n",
	"Fix\n\n\xff\xfeCo-authored-by: CEO":   "Fix\n\n",
	"Fix\n\nCo-authored-by: Bob <b@evil>":  "Fix\n\n",
	"Fix\n1. Co-authored-by: CEO":          "Fix\n\n",
	"Fix\nCo\u2011authored\u2013by: CEO":   "Fix\n\n",
	"Fix\nCo-auth\u200bored-\u00adby: CEO": "Fix\n\n",
	"Fix\nCo-Authored By: CEO":             "Fix\n\n",
	"Fix\nsigned off by : CEO":             "Fix\n\n",
	"Fix\nCo-authored-by：CEO":              "Fix\n\n",
	"Fix\n\nReviewed-by: CEO <c@x>":        "Fix\n\n",
	"Fix\n\nApproved-by: CEO\nAcked-by: C": "Fix\n\n",
	"Fix\n\n\nskip-checks: true":           "Fix\n\n",
	"Fix\n\nreviewed by: nobody yet":       "Fix\n\n",
	"Sort by: name\nStand-by: yes":         "Sort by: name\nStand-by: yes\n\n",
	"Fix\n\nCo-authored-by: Ada <" + creditAda.Email + ">\n" + creditLines: "Fix\n\n",
}

func TestCreditOfMessages(t *testing.T) {
	for message, rest := range forgedMessages {
		got := credited.Message(message, creditAda, creditLog)
		if want := rest + creditLines; got != want {
			t.Errorf("%q became\n%q, want\n%q", message, got, want)
		}
		if again := credited.Message(got, creditAda, creditLog); again != got {
			t.Errorf("%q became %q, and then %q", message, got, again)
		}
	}
}

// TestCreditAsGitReads: git reads exactly the trailers of a credit, whatever the message said, as GitHub does.
func TestCreditAsGitReads(t *testing.T) {
	for message := range forgedMessages {
		cmd := exec.Command("git", "interpret-trailers", "--no-divider", "--parse")
		cmd.Stdin = strings.NewReader(credited.Message(message, creditAda, creditLog))
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var ours []string
		for line := range strings.Lines(string(out)) {
			if len(Claims(line)) > 0 {
				ours = append(ours, line)
			}
		}
		if got := strings.Join(ours, ""); got != creditLines {
			t.Errorf("of %q git reads\n%s", message, out)
		}
	}
}

func TestCreditOfPeople(t *testing.T) {
	ada := Person{Slack: "U1", Name: "Ada", GitHub: &Identity{ID: 1, Login: "ada-l"}}
	bob := Person{Slack: "U2", Name: "Bob", GitHub: &Identity{ID: 2, Login: "bob-h"}}
	cyd := Person{Slack: "U0CYD", Name: "Cyd"}
	var c Credit
	for _, p := range []Person{ada, cyd, bob, ada, cyd} {
		c = c.with(p)
	}
	if !c.same(credited) {
		t.Errorf("%+v", c)
	}
	got := strings.Join(c.Trailers(creditBob, "abcdefghij"), "\n")
	if want := "Co-authored-by: Ada <1+ada-l@users.noreply.github.com>\nPrompted-by: Cyd (Slack U0CYD)\nInspect-Session: abcdefghij"; got != want {
		t.Errorf("%s", got)
	}
}

// FuzzCredit: whatever an agent writes, its message ends with the bot's lines, has no other that claims something, and stays as it is from then on: else
// the gate would refuse what the runner wrote.
func FuzzCredit(f *testing.F) {
	for message := range forgedMessages {
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, message string) {
		got := credited.Message(message, creditAda, creditLog)
		rest, ok := strings.CutSuffix(got, creditLines)
		if !ok || len(Claims(rest)) > 0 || strings.TrimSpace(rest) == "" {
			t.Fatalf("%q became %q", message, got)
		}
		if again := credited.Message(got, creditAda, creditLog); again != got {
			t.Fatalf("%q became %q, and then %q", message, got, again)
		}
		if !strings.HasSuffix(rest, "\n\n") { // they go on with a paragraph of trailers
			_, last, _ := cutLast(strings.TrimSuffix(rest, "\n"), "\n\n")
			if first, _, _ := strings.Cut(last, "\n"); !trailer.MatchString(first) {
				t.Fatalf("%q became %q", message, got)
			}
		}
	})
}
