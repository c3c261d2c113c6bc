package session

import "strings"

// shape is a kind of token that is known by its looks. Wherever anchor is found at i, match returns the token around it; an empty
// span means that it is none.
type shape struct {
	anchor string
	match  func(s string, i int) (from, to int)
}

// shapes are by the first byte of their anchors. The forms are their issuers' own; none is recognised by an exact length, because those
// change without notice.
var shapes = func() (by [256][]shape) {
	list := []shape{
		{"github_pat_", prefixed("github_pat_", 10, word)},
		{"gh", githubToken},
		{"xox", slackToken},
		{"xapp-", prefixed("xapp-", 10, wordDash)},
		{"sk-", secretKey},
		{"AKIA", prefixed("AKIA", 12, upper)},
		{"ASIA", prefixed("ASIA", 12, upper)},
		{"eyJ", webToken},
		{"-----BEGIN ", pemBlock},
	}
	for _, p := range []string{"uthorization", "UTHORIZATION"} {
		list = append(list, shape{p, authorization})
	}
	for _, s := range list {
		by[s.anchor[0]] = append(by[s.anchor[0]], s)
	}
	return by
}()

func lower(c byte) bool    { return 'a' <= c && c <= 'z' }
func upperc(c byte) bool   { return 'A' <= c && c <= 'Z' }
func digit(c byte) bool    { return '0' <= c && c <= '9' }
func alnum(c byte) bool    { return lower(c) || upperc(c) || digit(c) }
func upper(c byte) bool    { return upperc(c) || digit(c) }
func word(c byte) bool     { return alnum(c) || c == '_' }
func wordDash(c byte) bool { return word(c) || c == '-' }

// run returns the end of the bytes from i on that satisfy ok.
func run(s string, i int, ok func(byte) bool) int {
	for i < len(s) && ok(s[i]) {
		i++
	}
	return i
}

// standing reports whether no letter or digit is right before i, so that "task-…" is not a key.
func standing(s string, i int) bool { return i == 0 || !alnum(s[i-1]) }

// prefixed matches a prefix with at least least more bytes of the alphabet.
func prefixed(prefix string, least int, ok func(byte) bool) func(string, int) (int, int) {
	return func(s string, i int) (int, int) {
		to := run(s, i+len(prefix), ok)
		if !standing(s, i) || to-i-len(prefix) < least {
			return 0, 0
		}
		return i, to
	}
}

// githubToken matches ghp_, gho_, ghu_, ghs_, ghr_, and whatever comes next.
func githubToken(s string, i int) (int, int) {
	if i+4 > len(s) || !lower(s[i+2]) || s[i+3] != '_' {
		return 0, 0
	}
	return prefixed(s[i:i+4], 10, word)(s, i)
}

// slackToken matches xoxb-, xoxp-, xoxe-, xoxe.xoxp-, …
func slackToken(s string, i int) (int, int) {
	j := i + len("xox")
	if !standing(s, i) || j+1 >= len(s) || !lower(s[j]) {
		return 0, 0
	}
	j++
	switch {
	case s[j] == '-':
	case strings.HasPrefix(s[j:], ".xox"):
		return slackRefresh(s, i, j)
	default:
		return 0, 0
	}
	to := run(s, j+1, wordDash)
	if to-j < 10 {
		return 0, 0
	}
	return i, to
}

func slackRefresh(s string, i, dot int) (int, int) {
	if _, to := slackToken(s, dot+1); to > 0 {
		return i, to
	}
	return 0, 0
}

// secretKey matches the keys of model providers: sk-ant-…, sk-proj-…, sk-svcacct-…, and plain sk-… with letters and digits.
func secretKey(s string, i int) (int, int) {
	if !standing(s, i) {
		return 0, 0
	}
	to := run(s, i, wordDash)
	body := s[i+len("sk-") : to]
	for _, p := range []string{"ant-", "proj-", "svcacct-", "admin-", "or-"} {
		if strings.HasPrefix(body, p) && len(body) >= len(p)+8 {
			return i, to
		}
	}
	if len(body) >= 20 && strings.ContainsAny(body, "0123456789") {
		return i, to
	}
	return 0, 0
}

// webToken matches a JSON web token: two or three parts of base64url, the first of which begins like {" does.
func webToken(s string, i int) (int, int) {
	if !standing(s, i) {
		return 0, 0
	}
	to := run(s, i, wordDash)
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

// pemBlock matches a private key from its first line to its last, or to the end of the text when that is missing.
func pemBlock(s string, i int) (int, int) {
	line, _, _ := strings.Cut(s[i:], "\n")
	title, _, closed := strings.Cut(line[len("-----BEGIN "):], "-----")
	if !closed || len(title) > 60 || !strings.HasSuffix(title, "PRIVATE KEY") {
		return 0, 0
	}
	const end = "-----END "
	j := strings.Index(s[i:], end)
	if j < 0 {
		return i, len(s)
	}
	j += i + len(end)
	if k := strings.Index(s[j:], "-----"); k >= 0 && k <= 60 {
		return i, j + k + len("-----")
	}
	return i, len(s)
}

// authorization matches the credentials of an Authorization header, as HTTP, JSON and command lines write it; i is at its second letter.
func authorization(s string, i int) (int, int) {
	if i == 0 || s[i-1] != 'a' && s[i-1] != 'A' {
		return 0, 0
	}
	j := run(s, i+len("uthorization"), func(c byte) bool { return strings.IndexByte("\"'\\: =[\t", c) >= 0 })
	scheme := run(s, j, alnum)
	switch strings.ToLower(s[j:scheme]) {
	case "bearer", "basic", "token":
	default:
		return 0, 0
	}
	from := run(s, scheme, func(c byte) bool { return c == ' ' || c == '\t' })
	if from == scheme {
		return 0, 0
	}
	to := run(s, from, func(c byte) bool { return c > ' ' && strings.IndexByte("\"'\\`<>,", c) < 0 })
	return from, to
}
