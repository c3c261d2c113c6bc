package github

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"openinspect/session"
)

// Limits of what a turn may add.
const (
	maxCommits = 500
	maxFile    = 25 << 20 // bytes of one new file
	maxScan    = 4 << 20  // larger files are not looked through for secrets
	maxGroup   = 32 << 20 // read at a time
	maxFiles   = 10_000   // changed against the base
)

// check is the gate between a sandbox's commits and the remote. Nothing in them is believed: what is new is what the remote does not
// have, and every new commit is looked at, not only the result.
type check struct {
	g          *GitHub
	repo       string  // the quarantine
	lazy       command // with which blobs of the remote can be had
	tips       map[string]string
	bot        session.Author
	identities []session.Author
}

// commit is a new commit as far as it is checked.
type commit struct {
	hash, author, committer, subject string
}

// not is the revisions that the remote has, as rev-list reads them.
func (k *check) not() io.Reader {
	var b strings.Builder
	for _, hash := range k.tips {
		b.WriteString("^" + hash + "\n")
	}
	return strings.NewReader(b.String())
}

// commits returns the new commits, newest first, and refuses those whose author or committer was not given to this session.
func (k *check) commits(ctx context.Context, head string) ([]commit, error) {
	out, err := k.g.git.run(ctx, command{repo: k.repo, in: k.not()}, "log", "--stdin", "--topo-order", "--no-show-signature",
		"--max-count="+strconv.Itoa(maxCommits+1), "--format=%H%x00%ae%x00%ce%x00%s%x00", head)
	if err != nil {
		return nil, session.Wrap("github.check", err)
	}
	var commits []commit
	fields := strings.Split(out, "\x00")
	for ; len(fields) >= 4; fields = fields[4:] {
		commits = append(commits, commit{strings.TrimSpace(fields[0]), fields[1], fields[2], session.OneLine(fields[3], 200)})
	}
	if len(commits) > maxCommits {
		return nil, session.Errorf(session.Invalid, "The turn left more than %d commits, so none was taken. Ask the agent to squash them.", maxCommits)
	}
	for _, c := range commits {
		known := c.author == k.bot.Email || slices.ContainsFunc(k.identities, func(a session.Author) bool { return a.Email == c.author })
		switch {
		case !known:
			return nil, session.Errorf(session.Invalid, "Commit %.7s names an author who did not prompt in this session (%s), so it was not taken.", c.hash, session.OneLine(c.author, 100))
		case c.committer != k.bot.Email:
			return nil, session.Errorf(session.Invalid, "Commit %.7s was committed by %s instead of the bot, so it was not taken.", c.hash, session.OneLine(c.committer, 100))
		}
	}
	return commits, nil
}

// blob is one file that a commit adds or changes.
type blob struct{ commit, hash, path string }

// contents looks through every file that any new commit adds or changes, and returns the paths that want a second look.
func (k *check) contents(ctx context.Context, head string) (attention []string, err error) {
	// For a merge, -c leaves out what one of its parents has as it is: a merge of main is not main's changes again.
	out, err := k.g.git.run(ctx, command{repo: k.repo, in: k.not()}, "log", "--stdin", "-z", "--raw", "-c", "--root", "--no-renames", "--no-abbrev", "--format=%x01%H", head)
	if err != nil {
		return nil, session.Wrap("github.check", err)
	}
	var blobs []blob
	current := ""
	fields := strings.Split(out, "\x00")
	for i := 0; i < len(fields); i++ {
		f := strings.TrimLeft(fields[i], "\n")
		if hash, ok := strings.CutPrefix(f, "\x01"); ok {
			current, _, _ = strings.Cut(hash, "\n")
			if _, rest, ok := strings.Cut(hash, "\n"); ok {
				f = strings.TrimLeft(rest, "\n")
			} else {
				continue
			}
		}
		if !strings.HasPrefix(f, ":") || i+1 >= len(fields) {
			continue
		}
		i++
		name := fields[i]
		mode, hash, ok := result(f)
		if !ok {
			continue // a deletion
		}
		if a := second(name, mode); a != "" && !slices.Contains(attention, a) {
			attention = append(attention, a)
		}
		if mode != "160000" {
			blobs = append(blobs, blob{current, hash, name})
		}
	}
	slices.Sort(attention)
	return attention, k.scan(ctx, blobs)
}

// result reads what a line of --raw leaves behind: its colons count the parents, after which come the modes, the hashes and the status.
func result(line string) (mode, hash string, ok bool) {
	parents := len(line) - len(strings.TrimLeft(line, ":"))
	words := strings.Fields(line[parents:])
	if len(words) != 2*parents+3 {
		return "", "", false
	}
	mode, hash = words[parents], words[2*parents+1]
	return mode, hash, mode != "000000"
}

// second says why a path wants a second look; "" if it does not.
func second(name, mode string) string {
	clean := strings.ToLower(path.Clean("/" + name))[1:]
	switch {
	case strings.HasPrefix(clean, ".github/workflows/"), strings.HasPrefix(clean, ".github/actions/"), strings.HasPrefix(clean, ".openinspect/"):
		return name
	case mode == "160000":
		return name + " (a submodule)"
	}
	return ""
}

// scan refuses files that are too large or hold what looks like a secret, and names them.
func (k *check) scan(ctx context.Context, blobs []blob) error {
	if len(blobs) == 0 {
		return nil
	}
	var ask strings.Builder
	for _, b := range blobs {
		ask.WriteString(b.hash + "\n")
	}
	sizes, err := k.g.git.run(ctx, command{repo: k.repo, in: strings.NewReader(ask.String())}, "cat-file", "--batch-check=%(objecttype) %(objectsize)")
	if err != nil {
		return session.Wrap("github.scan", err)
	}
	var group []blob // read together, so that memory stays bounded
	var bytes int64
	for i, line := range strings.Split(strings.TrimSpace(sizes), "\n") {
		kind, text, _ := strings.Cut(line, " ")
		size, err := strconv.ParseInt(text, 10, 64)
		if i >= len(blobs) || kind != "blob" || err != nil {
			continue // not among what came: the remote has it, by another path
		}
		if size > maxFile {
			return session.Errorf(session.Invalid, "`%s` in commit %.7s has %d MiB; at most %d are taken. Ask the agent to leave it out of its commits.", shown(blobs[i].path), blobs[i].commit, size>>20, maxFile>>20)
		}
		if size > maxScan {
			continue
		}
		if bytes += size; bytes > maxGroup {
			if err := k.secrets(ctx, group); err != nil {
				return err
			}
			group, bytes = nil, size
		}
		group = append(group, blobs[i])
	}
	return k.secrets(ctx, group)
}

// secrets refuses the first of some files that holds what looks like a secret.
func (k *check) secrets(ctx context.Context, blobs []blob) error {
	if len(blobs) == 0 {
		return nil
	}
	var ask strings.Builder
	for _, b := range blobs {
		ask.WriteString(b.hash + "\n")
	}
	out, err := k.g.git.run(ctx, command{repo: k.repo, in: strings.NewReader(ask.String())}, "cat-file", "--batch")
	if err != nil {
		return session.Wrap("github.scan", err)
	}
	r := bufio.NewReader(strings.NewReader(out))
	for _, b := range blobs {
		text, err := next(r)
		if err != nil {
			return session.Wrap("github.scan", err)
		}
		if at := session.FindToken(text); at >= 0 {
			line := 1 + strings.Count(text[:at], "\n")
			return session.Errorf(session.Invalid, "`%s` line %d in commit %.7s holds what looks like a secret, so the commits were not taken. Ask the agent to take it out of its commits; deleting it in a later commit is not enough.", shown(b.path), line, b.commit)
		}
	}
	return nil
}

// next reads one object of cat-file --batch.
func next(r *bufio.Reader) (string, error) {
	head, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	words := strings.Fields(head)
	if len(words) != 3 {
		return "", fmt.Errorf("cat-file answered %q", session.OneLine(head, 100))
	}
	size, err := strconv.Atoi(words[2])
	if err != nil {
		return "", err
	}
	b := make([]byte, size+1)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", err
	}
	return string(b[:size]), nil
}

// shown is a path as it may stand in a message.
func shown(name string) string { return session.OneLine(name, 120) }

// diff returns what head changes since it left the base branch, for people to see.
func (k *check) diff(ctx context.Context, base, head string) ([]session.FileChange, string, error) {
	from, err := k.g.git.run(ctx, command{repo: k.repo}, "merge-base", base, head)
	if err != nil {
		return nil, "", &session.Error{Code: session.Invalid, Op: "github.diff", Message: "The commits have no history in common with the base branch, so they were not taken.", Err: err}
	}
	from = strings.TrimSpace(from)
	out, err := k.g.git.run(ctx, k.lazy, "diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", from, head)
	if err != nil {
		return nil, "", session.Wrap("github.diff", err)
	}
	var files []session.FileChange
	for _, line := range strings.Split(out, "\x00") {
		words := strings.SplitN(line, "\t", 3)
		if len(words) != 3 {
			continue
		}
		f := session.FileChange{Path: words[2], Binary: words[0] == "-"}
		f.Added, _ = strconv.Atoi(words[0])
		f.Deleted, _ = strconv.Atoi(words[1])
		files = append(files, f)
	}
	if len(files) > maxFiles {
		return nil, "", session.Errorf(session.Invalid, "The changes touch %d files; at most %d are taken. Ask the agent to leave generated files out of its commits.", len(files), maxFiles)
	}
	enough := k.lazy
	enough.cut = maxPatch + 1
	patch, err := k.g.git.run(ctx, enough, "diff", "--no-color", "--no-renames", "--no-ext-diff", "--no-textconv", from, head)
	if err != nil {
		return nil, "", session.Wrap("github.diff", err)
	}
	if len(patch) > maxPatch {
		cut := strings.LastIndexByte(patch[:maxPatch], '\n') + 1
		patch = patch[:cut] + "… the diff goes on; it was cut here\n"
	}
	return files, strings.ToValidUTF8(patch, "�"), nil
}
