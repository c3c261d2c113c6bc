package session

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Credit is what the trailers of a session's commits say: who worked on them, and in which session. It is the bot's word: whatever else a message
// claims of that kind is the agent's, and is not kept.
type Credit struct {
	CoAuthors  []Author `json:"co_authors,omitempty"`  // the contributors so far; a commit does not name its own author
	PromptedBy []string `json:"prompted_by,omitempty"` // those without an account, such as "Ada (Slack U024BE7LH)"
}

// credit is that of the commits of a turn.
func (m *Machine) credit(author Person) (c Credit) {
	for _, p := range addPerson(m.s.Contributors, author) {
		c = c.with(p)
	}
	return c
}

// with is the credit with one more person, who is in it once.
func (c Credit) with(p Person) Credit {
	if a, ok := p.Author(); ok {
		if !slices.ContainsFunc(c.CoAuthors, func(b Author) bool { return b.Email == a.Email }) {
			c.CoAuthors = append(slices.Clone(c.CoAuthors), a)
		}
		return c
	}
	if words := promptedBy(p); !slices.Contains(c.PromptedBy, words) {
		c.PromptedBy = append(slices.Clone(c.PromptedBy), words)
	}
	return c
}

// same reports whether two credits say the same.
func (c Credit) same(d Credit) bool {
	return slices.Equal(c.CoAuthors, d.CoAuthors) && slices.Equal(c.PromptedBy, d.PromptedBy)
}

// Message returns the message of a commit by author with its trailers, and with none of what claims to be one. A message that it returned it returns
// again: whoever holds a commit to a credit compares.
func (c Credit) Message(message string, author Author, log string) string {
	text := strings.Trim(WithoutClaims(message), "\n")
	if strings.TrimSpace(text) == "" {
		text = "Changes without a message"
	}
	return text + trailerGap(text) + strings.Join(c.Trailers(author, log), "\n") + "\n"
}

// Trailers are the lines for a commit by author; log names the session.
func (c Credit) Trailers(author Author, log string) (lines []string) {
	for _, a := range c.CoAuthors {
		if a.Email != author.Email {
			lines = append(lines, fmt.Sprintf("Co-authored-by: %s <%s>", OneLine(a.Name, 80), OneLine(a.Email, 200)))
		}
	}
	for _, p := range c.PromptedBy {
		lines = append(lines, "Prompted-by: "+OneLine(p, 200))
	}
	return append(lines, "Inspect-Session: "+OneLine(log, 500))
}

// trailer is a line that git takes for a trailer, as one of the last paragraph: git-interpret-trailers(1).
var trailer = regexp.MustCompile(`^[A-Za-z0-9-]+[ \t]*:`)

// trailerGap is what comes between a message and trailers: they go on where the last paragraph has no other lines.
func trailerGap(text string) string {
	_, last, ok := cutLast(text, "\n\n")
	for i, line := range strings.Split(last, "\n") {
		if !trailer.MatchString(line) && (i == 0 || !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t")) {
			ok = false
		}
	}
	if ok {
		return "\n"
	}
	return "\n\n"
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// claim is a line that says for somebody that they wrote, prompted, reviewed, signed or answer for something, or that GitHub is to run no checks. GitHub
// counts Co-authored-by and On-behalf-of and obeys Skip-checks, checks of licences count Signed-off-by, and people read all of them. What stands before it,
// such as a quotation's mark or a number, does not make it less of one.
var claim = regexp.MustCompile(`(?i)^((co-?)?authored-by|co-?developed-by|signed-off-by|on-behalf-of|(prompted|reviewed|approved|acked|tested|reported|suggested|requested)-by|` +
	`inspect-session|inspect-audit|skip-checks|request-checks)[^\pL\pN:：]*[:：]`)

func claims(line string) bool {
	line = strings.TrimLeftFunc(line, func(r rune) bool { return !unicode.IsLetter(r) })
	return claim.MatchString(spelled(line[:min(len(line), 400)]))
}

// spelling is what spelled brings to one.
var spelling = regexp.MustCompile(`[\p{Cf}\p{Mn}]+|[\p{Pd}\x{2212}]|[\t\p{Zs}]+`)

// spelled is text in the one spelling that claim knows: marks that do not show are left out, and what joins words is a hyphen.
func spelled(text string) string {
	return spelling.ReplaceAllStringFunc(text, func(s string) string {
		if r, _ := utf8.DecodeRuneInString(s); unicode.In(r, unicode.Cf, unicode.Mn) {
			return ""
		}
		return "-"
	})
}

// breaks are what may be taken for the end of a line.
var breaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\v", "\n", "\f", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// WithoutClaims takes the lines out of an agent's text that claim something for somebody, with those that go on with them.
func WithoutClaims(text string) string {
	text, _ = splitClaims(text)
	return text
}

// Claims are the lines that WithoutClaims takes out.
func Claims(text string) []string {
	_, claimed := splitClaims(text)
	return claimed
}

func splitClaims(text string) (rest string, claimed []string) {
	var kept []string
	dropped := false
	for line := range strings.SplitSeq(breaks.Replace(text), "\n") {
		goesOn := dropped && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"))
		if dropped = goesOn || claims(line); dropped {
			claimed = append(claimed, line)
		} else {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n"), claimed
}
