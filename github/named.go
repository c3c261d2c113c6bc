package github

import (
	"context"
	"path"
	"slices"
	"strings"

	"openinspect/session"
)

// workflows are always named: what is pushed there runs with the repository's secrets.
const workflows = ".github/workflows/**"

// Paths are patterns of paths, by segment and in lower case.
type Paths [][]string

// ParsePaths reads patterns: for each segment of a path a glob as path.Match has it, or ** for any number of segments. A pattern that ends with a
// slash is all that is below. Invalid names the one that is none.
func ParsePaths(patterns []string) (Paths, error) {
	var all Paths
	for _, pattern := range append([]string{workflows}, patterns...) {
		clean := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(pattern)), "/")
		if strings.HasSuffix(clean, "/") {
			clean += "**"
		}
		segments := strings.Split(clean, "/")
		for _, s := range segments {
			if _, err := path.Match(s, ""); err != nil || s == "" || s == "." || s == ".." || strings.HasPrefix(clean, "!") {
				return nil, session.Errorf(session.Invalid, "%q", pattern)
			}
		}
		all = append(all, segments)
	}
	return all, nil
}

// match reports whether a clean path in lower case is one of them.
func (p Paths) match(name string) bool {
	segments := strings.Split(name, "/")
	return slices.ContainsFunc(p, func(pattern []string) bool { return matches(pattern, segments) })
}

// matches goes through a path once, and back to the last ** alone: paths are the sandbox's, and may be deep.
func matches(pattern, name []string) bool {
	p, n, stars, from := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			stars, from = p, n
			p++
		case p < len(pattern) && globs(pattern[p], name[n]):
			p, n = p+1, n+1
		case stars >= 0:
			from++
			p, n = stars+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}

func globs(pattern, segment string) bool {
	ok, err := path.Match(pattern, segment)
	return ok && err == nil
}

// named lists what an approval has to name.
func (k *check) named() []string {
	var names []string
	for _, shown := range k.sorted() {
		if k.attention[shown] == attentionNamed {
			names = append(names, shown)
		}
	}
	return cutNames(names)
}

// unpushed tells the paths that an approval before this one did not push already. A merge can bring back what no commit of its own shows.
func (k *check) unpushed(ctx context.Context, head string) (fresh func(string) bool, err error) {
	if !isHash(k.pushed) {
		return func(string) bool { return true }, nil
	}
	if _, err := k.git(ctx, nil, "cat-file", "-e", k.pushed+"^{commit}"); err != nil {
		return func(string) bool { return true }, ctx.Err() // not held any more
	}
	out, err := k.git(ctx, nil, "diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", k.pushed, head)
	if err != nil {
		return nil, k.damaged(err)
	}
	paths := map[string]bool{}
	for name := range strings.SplitSeq(out, "\x00") {
		paths[name] = true
	}
	return func(name string) bool { return paths[name] }, nil
}
