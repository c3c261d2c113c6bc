package github

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"openinspect/session"
)

// How much a path wants a second look: the list on a card is short, and what runs or decides comes first.
const (
	attentionNamed   = iota // an approval has to name it
	attentionRuns           // workflows, actions, our own scripts: it runs on somebody's machine
	attentionDecides        // who must review, and what a diff shows
	attentionLeads          // a submodule or a symlink: what is there is somewhere else
	attentionOdd
)

// note keeps a path that a commit touches if it wants a second look. A deletion counts: a check that is gone checks nothing. fresh: nobody
// has approved it yet.
func (k *check) note(name, mode string, fresh bool) {
	clean := strings.ToLower(path.Clean("/" + name))[1:]
	shown, rank := readable(name, 200), -1
	switch base := path.Base(clean); {
	case strings.HasPrefix(clean, ".github/workflows/"), strings.HasPrefix(clean, ".github/actions/"), strings.HasPrefix(clean, ".openinspect/"):
		rank = attentionRuns
	case base == "codeowners" && (clean == base || clean == ".github/"+base || clean == "docs/"+base), base == ".gitattributes", base == ".gitmodules":
		rank = attentionDecides
	case mode == modeModule:
		rank, shown = attentionLeads, shown+" (a submodule)"
	case strings.ContainsFunc(name, func(r rune) bool {
		return r < ' ' || r == 0x7f || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
	}):
		rank, shown = attentionOdd, shown+" (its name has control characters)"
	}
	if fresh && k.paths.match(clean) {
		rank = attentionNamed
	}
	if rank >= 0 {
		k.notice(shown, rank)
	}
}

// noteLink keeps a symlink; target is "" where it is not known.
func (k *check) noteLink(name, target string) {
	shown := readable(name, 120)
	switch inside := path.Join(path.Dir("/"+name), target); {
	case target == "":
		shown += " (a symlink)"
	case path.IsAbs(target), climbs(name, target), strings.EqualFold(strings.SplitN(inside[1:], "/", 2)[0], ".git"):
		shown += " (a symlink out of the repository, to " + readable(target, 80) + ")"
	default:
		shown += " (a symlink to " + readable(target, 80) + ")"
	}
	k.notice(shown, attentionLeads)
}

// climbs reports whether a link leads above the root.
func climbs(name, target string) bool {
	depth := strings.Count(name, "/")
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// skips is how a message keeps GitHub from running workflows: docs.github.com, "Skipping workflow runs".
var skips = regexp.MustCompile(`(?i)\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]`)

// noteSkips keeps the newest commit that wants no checks: then none fails.
func (k *check) noteSkips(commits []commit) {
	for _, c := range commits {
		if words := skips.FindString(c.message); words != "" {
			k.notice(fmt.Sprintf("commit %.7s (%s: GitHub is to run no checks)", c.hash, strings.ToLower(words)), attentionDecides)
			return
		}
	}
}

func (k *check) notice(shown string, rank int) {
	if k.attention == nil {
		k.attention = map[string]int{}
	}
	if have, ok := k.attention[shown]; !ok || rank < have {
		k.attention[shown] = rank
	}
}

// wanted lists what wants a second look, the most urgent first.
func (k *check) wanted() []string { return cutNames(k.sorted()) }

func (k *check) sorted() []string {
	return slices.SortedFunc(maps.Keys(k.attention), func(a, b string) int {
		return cmp.Or(cmp.Compare(k.attention[a], k.attention[b]), cmp.Compare(a, b))
	})
}

// cutNames bounds how many names are kept.
func cutNames(list []string) []string {
	if more := len(list) - maxAttention; more > 0 {
		list = append(list[:maxAttention:maxAttention], fmt.Sprintf("and %d more", more))
	}
	return list
}

// readable is a text of the sandbox's as it may stand in a message: cut, on one line, and without what looks like a secret.
func readable(s string, limit int) string {
	if session.FindToken(s) >= 0 {
		return "(what looks like a secret)"
	}
	return session.OneLine(strings.ToValidUTF8(s, "�"), limit)
}
