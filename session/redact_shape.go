package session

import (
	"slices"
	"strings"
)

// shape is a kind of token that is known by its looks. Wherever one of the anchors is found at i, match returns the token around it; an
// empty span means that it is none. Anchors have four bytes, for the index. standing tells that no letter or digit is right before i.
type shape struct {
	anchors []string
	spaced  bool // may hold spaces and line breaks
	loose   bool // ordinary documentation looks like it too
	match   func(s string, i int, standing bool) (from, to int)
}

// OwnToken begins every token that this program makes for a sandbox: of links, and of what listens inside.
const OwnToken = "oitok_"

// shapes have the forms that their issuers gave them; none is recognised by an exact length, because those change without notice.
var shapes = []shape{
	{anchors: followed("gh", lower, "_"), match: githubToken},
	{anchors: []string{"gith"}, match: prefixed("github_pat_", 10, word)},
	{anchors: followed("xox", lower, ""), match: slackToken},
	{anchors: []string{"xapp"}, match: appToken},
	{anchors: followed("sk-", wordDash, ""), match: secretKey},
	{anchors: []string{"AKIA"}, match: prefixed("AKIA", 12, upper)},
	{anchors: []string{"ASIA"}, match: prefixed("ASIA", 12, upper)},
	{anchors: followed("eyJ", wordDash, ""), match: webToken},
	{anchors: []string{"BEGI"}, match: pemBlock, spaced: true},
	{anchors: []string{"utho", "UTHO"}, match: authorization, spaced: true, loose: true},
	{anchors: []string{"glpa"}, match: prefixed("glpat-", 16, wordDash)},
	{anchors: []string{"npm_"}, match: prefixed("npm_", 30, alnum)},
	{anchors: []string{"AIza"}, match: prefixed("AIza", 30, wordDash)},
	{anchors: []string{"oito"}, match: prefixed(OwnToken, 16, wordDash)},
}

// followed returns the anchors that a prefix and any byte of an alphabet make, with the rest behind.
func followed(prefix string, k class, rest string) []string {
	var all []string
	for c := range 128 {
		if k.has(byte(c)) {
			all = append(all, prefix+string(rune(c))+rest)
		}
	}
	return all
}

// mayBegin reports whether a token may begin in a word that goes on: whether a standing anchor, or the beginning of one at its end, is in it.
func mayBegin(s string, gap func(int) bool) bool {
	for i := range len(s) {
		if i > 0 && alnum.has(s[i-1]) && !gap(i) {
			continue
		}
		if slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(s[i:], b) || strings.HasPrefix(b, s[i:]) }) {
			return true
		}
	}
	return false
}

// beginnings are what tokens without spaces begin with.
var beginnings = func() []string {
	var all []string
	for _, s := range shapes {
		if !s.spaced {
			all = append(all, s.anchors...)
		}
	}
	return all
}()

// class is a set of bytes.
type class uint8

const (
	lower class = 1 << iota
	capital
	digit
	underscore
	dash

	alnum    = lower | capital | digit
	upper    = capital | digit
	word     = alnum | underscore
	wordDash = word | dash
)

var classes = func() (of [256]class) {
	for c := 'a'; c <= 'z'; c++ {
		of[c], of[c-'a'+'A'] = lower, capital
	}
	for c := '0'; c <= '9'; c++ {
		of[c] = digit
	}
	of['_'], of['-'] = underscore, dash
	return of
}()

func (k class) has(c byte) bool { return classes[c]&k != 0 }

// run returns the end of the bytes from i on that are of a class.
func run(s string, i int, k class) int {
	for i < len(s) && classes[s[i]]&k != 0 {
		i++
	}
	return i
}

// runOf returns the end of the bytes from i on that are among some.
func runOf(s string, i int, some string) int {
	for i < len(s) && strings.IndexByte(some, s[i]) >= 0 {
		i++
	}
	return i
}

// prefixed matches a prefix with at least least more bytes of the alphabet.
func prefixed(prefix string, least int, k class) func(string, int, bool) (int, int) {
	return func(s string, i int, standing bool) (int, int) {
		if !standing || !strings.HasPrefix(s[i:], prefix) {
			return 0, 0
		}
		to := run(s, i+len(prefix), k)
		if to-i-len(prefix) < least {
			return 0, 0
		}
		return i, to
	}
}

// githubToken matches ghp_, gho_, ghu_, ghs_, ghr_, and whatever comes next. Installation tokens may be web tokens behind their prefix, with dots and
// dashes. Names in programs begin like it too, gha_cache_key and ghc_options: a token is drawn from capitals and digits as well, or is one long word.
func githubToken(s string, i int, standing bool) (int, int) {
	const prefix = len("ghx_")
	to := run(s[:min(len(s), i+maxLook)], i+prefix, word)
	if !standing || to-i-prefix < 10 {
		return 0, 0
	}
	figures, capitals, long := drawn(s[i+prefix : to])
	if known := strings.IndexByte("pousr", s[i+2]) >= 0; known && !figures && !capitals && !long || !known && !(figures && capitals) {
		return 0, 0
	}
	to = run(s, to, word)
	for to < len(s) && (s[to] == '.' || s[to] == '-') {
		more := run(s, to+1, wordDash)
		if more-to < 10 { // the end of a sentence, a file's extension
			break
		}
		to = more
	}
	return i, to
}

// longWord is how many letters and digits in a row are no name of a program's.
const longWord = 20

// drawn reports whether there are digits, capitals and a long word in s.
func drawn(s string) (figures, capitals, long bool) {
	n := 0
	for _, c := range []byte(s) {
		figures, capitals = figures || digit.has(c), capitals || capital.has(c)
		if n++; !alnum.has(c) {
			n = 0
		}
		long = long || n >= longWord
	}
	return figures, capitals, long
}

// slackToken matches xoxb-, xoxp-, xoxe-, xoxe.xoxp-, …; all have numbers in them, xoxb-your-token has not.
func slackToken(s string, i int, standing bool) (int, int) {
	j := i + len("xoxb")
	if !standing || j >= len(s) {
		return 0, 0
	}
	if strings.HasPrefix(s[j:], ".xox") && j+5 < len(s) && lower.has(s[j+4]) {
		j += len(".xoxp")
	}
	if j >= len(s) || s[j] != '-' {
		return 0, 0
	}
	return numbered(s, i, j+1)
}

// appToken matches Slack's xapp-1-….
func appToken(s string, i int, standing bool) (int, int) {
	const prefix = "xapp-"
	if !standing || !strings.HasPrefix(s[i:], prefix) {
		return 0, 0
	}
	return numbered(s, i, i+len(prefix))
}

// numbered is a token that begins at i and whose rest, from j on, has a number or a long word in it.
func numbered(s string, i, j int) (from, to int) {
	to = run(s[:min(len(s), i+maxLook)], j, wordDash)
	if figures, _, long := drawn(s[j:to]); to-j < 9 || !figures && !long {
		return 0, 0
	}
	return i, run(s, to, wordDash)
}

// maxLook bounds how far is looked for what makes a token of something: a text of nothing but beginnings must not cost the square of its length.
const maxLook = 256

// secretKey matches the keys of model providers: sk-ant-…, sk-proj-…, sk-svcacct-…, and plain sk-… with letters and digits.
func secretKey(s string, i int, standing bool) (int, int) {
	if !standing {
		return 0, 0
	}
	to := run(s[:min(len(s), i+maxLook)], i, wordDash)
	body := s[i+len("sk-") : to]
	for _, p := range []string{"ant-", "proj-", "svcacct-", "admin-", "or-"} {
		if strings.HasPrefix(body, p) && len(body) >= len(p)+8 {
			return i, run(s, to, wordDash)
		}
	}
	if len(body) >= 20 && strings.ContainsAny(body, "0123456789") {
		return i, run(s, to, wordDash)
	}
	return 0, 0
}

// webToken matches a JSON web token: two or three parts of base64url, the first of which begins like {" does.
func webToken(s string, i int, standing bool) (int, int) {
	if !standing {
		return 0, 0
	}
	to := run(s[:min(len(s), i+4*maxLook)], i, wordDash)
	if to-i < 12 || to == len(s) || s[to] != '.' {
		return 0, 0
	}
	second := run(s, to+1, wordDash)
	if second-to < 9 {
		return 0, 0
	}
	if second < len(s) && s[second] == '.' {
		return i, run(s, second+1, wordDash)
	}
	return i, second
}

const pemBegin, pemEnd, pemDashes = "-----BEGIN ", "-----END ", "-----"

// Bounds of a PEM block: of what stands between the dashes of its first and last line, of how far behind the first its key begins, and how many
// digits of base64 in a row make one. Programs name the first line to look for it, and what follows it there is code.
const (
	maxPEMTitle  = 60
	maxPEMHead   = 256
	minPEMDigits = 40
)

// pemBlock matches a private key from its first line to its last, or to the end of the text when that is missing; i is behind the first dashes.
func pemBlock(s string, i int, _ bool) (int, int) {
	if i -= len(pemDashes); i < 0 || !strings.HasPrefix(s[i:], pemBegin) {
		return 0, 0
	}
	end, key, _ := pem(s, i)
	if !key {
		return 0, 0
	}
	return i, end
}

// pem reads the block that begins at i, and tells where it ends, whether it is a private key, and whether that holds whatever text follows.
func pem(s string, i int) (end int, key, sure bool) {
	begin := i + len(pemBegin)
	line, _, broken := strings.Cut(s[begin:min(len(s), begin+maxPEMTitle+len(pemDashes))], "\n")
	title, _, closed := strings.Cut(line, pemDashes)
	if !closed {
		return 0, false, broken || len(s)-begin >= maxPEMTitle+len(pemDashes)
	}
	if !strings.HasSuffix(title, "PRIVATE KEY") {
		return 0, false, true
	}
	from := begin + len(title) + len(pemDashes)
	const most = maxPEMHead + minPEMDigits
	head, _, ended := strings.Cut(s[from:min(len(s), from+most+len(pemEnd))], pemEnd)
	if head = head[:min(len(head), most)]; !hasKey(head) {
		return 0, false, ended || len(head) == most
	}
	j := strings.Index(s[from:], pemEnd)
	if j < 0 {
		return len(s), true, false
	}
	j += from + len(pemEnd)
	if k := strings.Index(s[j:min(len(s), j+maxPEMTitle+len(pemDashes))], pemDashes); k >= 0 {
		return j + k + len(pemDashes), true, true
	}
	return len(s), true, false
}

// hasKey reports whether enough digits of base64 stand in a row.
func hasKey(s string) bool {
	n := 0
	for _, c := range []byte(s) {
		if n++; !alnum.has(c) && c != '+' && c != '/' && c != '=' {
			n = 0
		}
		if n == minPEMDigits {
			return true
		}
	}
	return false
}

// maxBetween bounds what stands between the parts of an Authorization header.
const maxBetween = 8

// authorization matches the credentials of an Authorization header, as HTTP, JSON and command lines write it; i is at its second letter.
func authorization(s string, i int, _ bool) (int, int) {
	const rest, shout = "uthorization", "UTHORIZATION"
	if i == 0 || s[i-1] != 'a' && s[i-1] != 'A' || !strings.HasPrefix(s[i:], rest) && !strings.HasPrefix(s[i:], shout) {
		return 0, 0
	}
	begin := i + len(rest)
	j := runOf(s, begin, "\"'\\: =[\t")
	if strings.Trim(s[begin:j], " \t") == "" { // words: “Authorization Basic guide”
		return 0, 0
	}
	scheme := run(s[:min(len(s), j+len("bearer")+1)], j, alnum)
	switch strings.ToLower(s[j:scheme]) {
	case "bearer", "basic", "token":
	default:
		return 0, 0
	}
	from := runOf(s, scheme, " \t")
	if from == scheme || j-begin > maxBetween || from-scheme > maxBetween {
		return 0, 0
	}
	if from < len(s) && strings.IndexByte("${", s[from]) >= 0 || strings.HasPrefix(s[from:], "%s") { // a variable's name
		return 0, 0
	}
	to := from
	for to < len(s) && s[to] > ' ' && strings.IndexByte("\"'\\`<>,", s[to]) < 0 {
		to++
	}
	return from, to
}
