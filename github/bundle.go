package github

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

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

// source remembers why reading a bundle ended, if that was not its end: a link that broke is not the bundle's fault.
type source struct {
	r  io.Reader
	mu sync.Mutex
	e  error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.mu.Lock()
		s.e = err
		s.mu.Unlock()
	}
	return n, err
}

// failed may be called while a copy to git is still going on.
func (s *source) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.e
}

// isHash reports whether s is a full SHA-1 in lower-case hexadecimal.
func isHash(s string) bool { return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == "" }

// unpack takes a bundle into the quarantine and returns the commit it is about.
func (k *check) unpack(ctx context.Context, bundle io.Reader) (head string, err error) {
	source := &source{r: bundle}
	r := bufio.NewReaderSize(source, 64<<10)
	h, err := readHeader(r)
	if source.failed() != nil {
		return "", session.Wrap("github.unpack", source.failed())
	}
	if err != nil {
		return "", err
	}
	if err := k.known(ctx, h.prerequisites); err != nil {
		return "", err
	}
	// Objects are checked as they come in. --strict would also want every blob that a new tree names, and the mirror has none.
	in := k.lazy()
	in.in = io.LimitReader(r, maxBundle+1)
	_, err = k.g.git.run(ctx, in, "index-pack", "--stdin", "--fix-thin", "--fsck-objects", fmt.Sprintf("--max-input-size=%d", maxBundle))
	if err != nil {
		if ctx.Err() != nil {
			return "", session.Wrap("github.unpack", err)
		}
		if source.failed() != nil { // git only saw that there was no more
			return "", session.Wrap("github.unpack", source.failed())
		}
		if code := session.CodeOf(err); code == session.Invalid || code == session.Unavailable {
			return "", err
		}
		return "", &session.Error{Code: session.Invalid, Op: "github.unpack", Message: "The commits that came out of the sandbox are damaged or too large (" + session.OneLine(said(err), 200) + "), so nothing was taken.", Err: err}
	}
	if kind, err := k.git(ctx, nil, "cat-file", "-t", h.head); err != nil || strings.TrimSpace(kind) != "commit" {
		return "", session.Errorf(session.Invalid, "The bundle does not hold the commit it names, so nothing was taken.")
	}
	return h.head, nil
}

// known refuses a bundle that builds on what is neither on the remote nor was collected before. Commits of the mirror are whole, so one that is not
// here is none of this repository's.
func (k *check) known(ctx context.Context, prerequisites []string) error {
	if len(prerequisites) == 0 {
		return nil
	}
	kinds, err := k.git(ctx, strings.NewReader(strings.Join(prerequisites, "\n")+"\n"), "cat-file", "--batch-check=%(objecttype)")
	if err != nil {
		return session.Wrap("github.unpack", err)
	}
	lines := strings.Split(strings.TrimSpace(kinds), "\n")
	for i, p := range prerequisites {
		if i >= len(lines) || lines[i] != "commit" {
			return session.Errorf(session.Invalid, "What came out of the sandbox builds on commit %.7s, which the repository does not have, so nothing was taken. Ask the agent to begin from a branch that is on GitHub.", p)
		}
	}
	return nil
}
