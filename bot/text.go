package bot

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	unescaper = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")
	escaper   = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

	// Slack escapes what people type, so in the text of an event angle brackets are always Slack's own markup.
	markup   = regexp.MustCompile(`<([^<>]*)>`)
	mention  = regexp.MustCompile(`<@([A-Z0-9]+)(?:\|[^<>]*)?>`)
	leading  = regexp.MustCompile(`^(?:\s*<@[A-Z0-9]+(?:\|[^<>]*)?>[\s,:;]*)+`)
	trailing = regexp.MustCompile(`[\s,:;]*<@([A-Z0-9]+)(?:\|[^<>]*)?>[\s.!?]*$`)
)

// hidden reports characters that are not seen, but change what is: control characters, and those that turn the direction of writing.
func hidden(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || 0x7f <= r && r < 0xa0 || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
}

// seen is s without what is hidden in it.
func seen(s string) string {
	return strings.Map(func(r rune) rune {
		if hidden(r) {
			return -1
		}
		return r
	}, s)
}

// escape makes text safe to put into Slack's markup: nothing in it is a mention, a link or a broadcast, or reorders what is beside it.
func escape(s string) string { return escaper.Replace(seen(s)) }

// code shows s as inline code in Slack's markup.
func code(s string) string {
	s = strings.NewReplacer("`", "ˋ", "\n", " ", "\r", " ").Replace(s)
	if strings.TrimSpace(s) == "" {
		return ""
	}
	return "`" + escape(s) + "`"
}

// mentions reports whether a message's text names a user.
func mentions(text, user string) bool {
	for _, m := range mention.FindAllStringSubmatch(text, -1) {
		if m[1] == user {
			return true
		}
	}
	return false
}

// toOthers reports whether a text begins by mentioning people of whom none is us.
func toOthers(text, us string) bool {
	run := leading.FindString(text)
	return run != "" && !mentions(run, us)
}

// withoutUs takes our name off the beginning and the end of a text.
func withoutUs(text, us string) string {
	run := leading.FindString(text)
	rest := ""
	for _, m := range mention.FindAllString(run, -1) {
		if !mentions(m, us) {
			rest += m + " "
		}
	}
	rest += text[len(run):]
	if m := trailing.FindStringSubmatchIndex(rest); m != nil && rest[m[2]:m[3]] == us {
		rest = rest[:m[0]]
	}
	return strings.TrimSpace(rest)
}

// plain turns Slack's markup into what the person saw: mentions become names, links addresses, escapes characters.
func plain(text string, name func(user string) string) string {
	var b strings.Builder
	for text != "" {
		m := markup.FindStringSubmatchIndex(text)
		if m == nil {
			b.WriteString(unescaper.Replace(text))
			break
		}
		b.WriteString(unescaper.Replace(text[:m[0]]))
		b.WriteString(element(text[m[2]:m[3]], name))
		text = text[m[1]:]
	}
	return strings.TrimSpace(b.String())
}

// element is one piece of markup, without its brackets.
func element(s string, name func(string) string) string {
	what, label, labelled := strings.Cut(s, "|")
	what, label = unescaper.Replace(what), unescaper.Replace(label)
	switch {
	case strings.HasPrefix(what, "@"):
		return "@" + name(what[1:])
	case strings.HasPrefix(what, "#"):
		if labelled && label != "" {
			return "#" + label
		}
		return what
	case strings.HasPrefix(what, "!"):
		if labelled && label != "" {
			return label
		}
		word, _, _ := strings.Cut(what[1:], "^")
		return "@" + word
	case labelled && label != "" && !strings.HasSuffix(what, label):
		return label + " (" + what + ")"
	case strings.HasPrefix(what, "mailto:"):
		return strings.TrimPrefix(what, "mailto:")
	}
	return what
}

var (
	broadcasts  = regexp.MustCompile(`<(!(?:channel|here|everyone|subteam|date)|[@#][A-Z0-9])`)
	atAll       = regexp.MustCompile(`@(channel|here|everyone)\b`)
	labelled    = regexp.MustCompile(`(?i)<([a-z][a-z0-9+.-]*:[^<>|\s]*)\|([^<>]*)>`)
	definitions = regexp.MustCompile(`\](:|\()`)
	unlabelled  = regexp.MustCompile(`(?i)<([a-z][a-z0-9+.-]*:[^<>|\s]*\|)`)
	fenced      = regexp.MustCompile("(?m)^```[^`\n]*\n((?s:.*?))^(.*)```(.*)$")
	doubtful    = regexp.MustCompile("(?m)```|~~~|^[ \\t]*<")
)

// neutral makes markdown of the agent's harmless: it pings nobody, and a link shows where it goes. Links whose text hides their
// address, and images, come apart into words and the address: a markdown link needs its brackets side by side.
func neutral(s string) string {
	s = labelled.ReplaceAllString(seen(s), "$2 ($1)")
	s = unlabelled.ReplaceAllString(s, "<\u200b$1") // what was in another's label
	s = broadcasts.ReplaceAllString(s, "<\u200b$1")
	s = atAll.ReplaceAllString(s, "@\u200b$1")
	var b strings.Builder
	at := 0
	for _, code := range fences(s) {
		apart(&b, s[at:code[0]])
		b.WriteString(s[code[0]:code[1]])
		at = code[1]
	}
	apart(&b, s[at:])
	return b.String()
}

var (
	spans     = regexp.MustCompile("`[^`\n]+`")
	ambiguous = regexp.MustCompile("``|[\\\\<|~]")
)

// apart writes prose with the brackets of links apart, but for code between single backticks.
func apart(b *strings.Builder, prose string) {
	sure := true
	for line := range strings.Lines(prose) {
		sure = (sure || strings.TrimSpace(line) == "") && plainCode(line)
		at := 0
		if sure {
			for _, code := range spans.FindAllStringIndex(line, -1) {
				b.WriteString(definitions.ReplaceAllString(line[at:code[0]], "] $1"))
				b.WriteString(line[code[0]:code[1]])
				at = code[1]
			}
		}
		b.WriteString(definitions.ReplaceAllString(line[at:], "] $1"))
	}
}

// plainCode reports whether every backtick of a line has its partner there, and no reader of markdown can take it for anything else, if none is
// open from a line before. An empty line ends what is open.
func plainCode(line string) bool {
	if strings.Count(line, "`")%2 != 0 || ambiguous.MatchString(line) {
		return false
	}
	inWord := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	for _, code := range spans.FindAllStringIndex(line, -1) {
		before, _ := utf8.DecodeLastRuneInString(line[:code[0]])
		after, _ := utf8.DecodeRuneInString(line[code[1]:])
		if inWord(before) || inWord(after) {
			return false
		}
	}
	return true
}

// fences are where code stands between fences that no reader of markdown takes for anything else: brackets stand side by side in code for
// reasons of its own.
func fences(s string) (all [][2]int) {
	at := 0
	for _, m := range fenced.FindAllStringSubmatchIndex(s, -1) {
		if doubtful.MatchString(s[at:m[0]]) || m[4] != m[5] || strings.TrimSpace(s[m[6]:m[7]]) != "" {
			break
		}
		all = append(all, [2]int{m[2], m[3]})
		at = m[1]
	}
	return all
}

// cut shortens s to at most limit characters, at the end of a line if one is near, and reports whether it did.
func cut(s string, limit int) (string, bool) {
	if utf8.RuneCountInString(s) <= limit {
		return s, false
	}
	r := []rune(s)[:limit-1]
	if i := strings.LastIndexByte(string(r), '\n'); i > len(string(r))*3/4 {
		return strings.TrimSpace(string(r)[:i]) + "\n…", true
	}
	return strings.TrimSpace(string(r)) + "…", true
}
