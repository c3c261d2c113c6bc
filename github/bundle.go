package github

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"openinspect/session"
)

// Limits of a bundle.
const (
	maxBundle        = 100 << 20 // bytes of its pack
	maxPrerequisites = 1000
	maxHeaderLine    = 1 << 10
	bundleRef        = "refs/inspect/head"
)

// header is what a bundle says before its pack: git-scm.com/docs/bundle-format, version 2.
type header struct {
	prerequisites []string
	head          string
}

// readHeader reads a bundle's header and leaves r at the pack. It takes one ref, by its one name.
func readHeader(r *bufio.Reader) (header, error) {
	var h header
	bad := func(format string, args ...any) (header, error) {
		return h, session.Errorf(session.Invalid, "What came out of the sandbox is not a bundle as we ask for it (%s), so nothing was taken.", fmt.Sprintf(format, args...))
	}
	line := func() (string, error) {
		s, err := r.ReadSlice('\n')
		if err != nil || len(s) > maxHeaderLine {
			return "", fmt.Errorf("its header breaks off: %v", err)
		}
		return strings.TrimSuffix(string(s), "\n"), nil
	}
	first, err := line()
	if err != nil || first != "# v2 git bundle" {
		return bad("it does not begin as one")
	}
	for {
		s, err := line()
		switch {
		case err != nil:
			return bad("%v", err)
		case s == "" && h.head == "":
			return bad("it has no ref")
		case s == "":
			return h, nil
		case strings.HasPrefix(s, "-"):
			hash, _, _ := strings.Cut(s[1:], " ")
			if !isHash(hash) || h.head != "" || len(h.prerequisites) == maxPrerequisites {
				return bad("its prerequisites are malformed")
			}
			h.prerequisites = append(h.prerequisites, hash)
		default:
			hash, ref, _ := strings.Cut(s, " ")
			if !isHash(hash) || ref != bundleRef || h.head != "" {
				return bad("it has other refs than %s", bundleRef)
			}
			h.head = hash
		}
	}
}

// isHash reports whether s is a full SHA-1 in lower-case hexadecimal.
func isHash(s string) bool { return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == "" }

// unpack takes a bundle into the quarantine and returns the commit it is about.
func (k *check) unpack(ctx context.Context, bundle io.Reader) (head string, err error) {
	r := bufio.NewReaderSize(bundle, 64<<10)
	h, err := readHeader(r)
	if err != nil {
		return "", err
	}
	for _, p := range h.prerequisites {
		// Commits of the mirror are whole, so one that is not here is none of this repository's.
		if kind, err := k.g.git.run(ctx, command{repo: k.repo}, "cat-file", "-t", p); err != nil || strings.TrimSpace(kind) != "commit" {
			return "", session.Errorf(session.Invalid, "What came out of the sandbox builds on commit %.7s, which the repository does not have, so nothing was taken.", p)
		}
	}
	// Objects are checked as they come in. --strict would also want every blob that a new tree names, and the mirror has none.
	in := k.lazy
	in.in = io.LimitReader(r, maxBundle+1)
	_, err = k.g.git.run(ctx, in, "index-pack", "--stdin", "--fix-thin", "--fsck-objects", fmt.Sprintf("--max-input-size=%d", maxBundle))
	if err != nil {
		if ctx.Err() != nil {
			return "", session.Wrap("github.unpack", err)
		}
		return "", &session.Error{Code: session.Invalid, Op: "github.unpack", Message: "The commits that came out of the sandbox are damaged or too large (" + session.OneLine(said(err), 200) + "), so nothing was taken.", Err: err}
	}
	if kind, err := k.g.git.run(ctx, command{repo: k.repo}, "cat-file", "-t", h.head); err != nil || strings.TrimSpace(kind) != "commit" {
		return "", session.Errorf(session.Invalid, "The bundle does not hold the commit it names, so nothing was taken.")
	}
	return h.head, nil
}
