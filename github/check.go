package github

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"openinspect/session"
)

// Limits of what a turn may add.
const (
	maxCommits   = 500
	maxFile      = 25 << 20  // bytes of one new file
	maxTotal     = 200 << 20 // of all of them
	maxGroup     = 32 << 20  // read at a time
	maxFiles     = 10_000    // changed against the base
	maxPath      = 4096      // bytes, as Linux has it
	maxPaths     = 1 << 20   // bytes of the changed files' names together
	maxAttention = 100
)

// allowance is how much a turn may add, in bytes.
type allowance struct{ file, total int64 }

// check is the gate between a sandbox's commits and the remote. Nothing in them is believed: what is new is what the remote does not
// have, and every new commit is looked at, not only the result.
type check struct {
	g          *GitHub
	where      session.Repo
	repo       string // the quarantine
	objects    string // the bundle's own, beside it
	token, url string // with which blobs of the remote can be had
	tips       map[string]string
	bot        session.Author
	identities []session.Author
	paths      Paths          // that an approval has to name
	pushed     string         // by an approval before; "": nothing
	attention  map[string]int // what wants a second look, and how much it does
}

// git looks at the quarantine and the bundle, and nowhere else.
func (k *check) git(ctx context.Context, in io.Reader, args ...string) (string, error) {
	return k.g.git.run(ctx, command{repo: k.repo, objects: k.objects, in: in}, args...)
}

// lazy is how to run git where it may fetch blobs that the mirror does not have.
func (k *check) lazy() command {
	return command{repo: k.repo, objects: k.objects, token: k.token, url: k.url, lazy: true}
}

// not is the revisions that the remote has, as rev-list reads them.
func (k *check) not() io.Reader {
	var b strings.Builder
	for _, hash := range k.tips {
		b.WriteString("^" + hash + "\n")
	}
	return strings.NewReader(b.String())
}

// damaged is git's failure to read what came: every object is sound by itself, so something that they name is missing or of another kind.
func (k *check) damaged(err error) error {
	if session.CodeOf(err) != session.Internal || said(err) == "" {
		return err
	}
	return &session.Error{Code: session.Invalid, Op: "github.check", Message: "The commits name things that did not come with them, so they were not taken. Ask the agent to commit its work anew.", Err: err}
}

// blob is one file that a commit adds or changes.
type blob struct{ commit, hash, path, mode string }

// contents looks through every file that any new commit adds or changes, and notes those that want a second look.
func (k *check) contents(ctx context.Context, head string) error {
	// For a merge, -c leaves out what one of its parents has as it is: a merge of main is not main's changes again.
	out, err := k.git(ctx, k.not(), "log", "--stdin", "-z", "--raw", "-c", "--root", "--no-renames", "--no-abbrev", "--no-show-signature", "--format=%x01%H", head)
	if err != nil {
		return k.damaged(err)
	}
	var blobs []blob
	seen := map[string]bool{} // of a file that many commits change in turn, each state once
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
		if session.FindToken(name) >= 0 {
			return session.Errorf(session.Invalid, "The name of a file in commit %.7s holds what looks like a secret, so the commits were not taken. Ask the agent to make them anew without it.", current)
		}
		if len(name) > maxPath {
			return session.Errorf(session.Invalid, "Commit %.7s has a file whose path is %d bytes long; at most %d are taken. Ask the agent to leave it out of its commits.", current, len(name), maxPath)
		}
		mode, hash, ok := result(f)
		k.note(name, mode, true)
		if ok && mode != modeModule && !seen[hash+mode] {
			seen[hash+mode] = true
			blobs = append(blobs, blob{current, hash, name, mode})
		}
	}
	return k.scan(ctx, blobs)
}

// The modes of what is no file. They are strings of git's tree format.
const (
	modeModule = "160000"
	modeLink   = "120000"
)

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

// scan refuses files that are too large or hold what looks like a secret, and names them.
func (k *check) scan(ctx context.Context, blobs []blob) error {
	if len(blobs) == 0 {
		return nil
	}
	var ask strings.Builder
	for _, b := range blobs {
		ask.WriteString(b.hash + "\n")
	}
	sizes, err := k.git(ctx, strings.NewReader(ask.String()), "cat-file", "--batch-check=%(objecttype) %(objectsize)")
	if err != nil {
		return k.damaged(err)
	}
	var group []blob // read together, so that memory stays bounded
	var bytes, total int64
	flush := func() error {
		err := k.secrets(ctx, group)
		group, bytes = nil, 0
		return err
	}
	for i, line := range strings.Split(strings.TrimSpace(sizes), "\n") {
		kind, text, _ := strings.Cut(line, " ")
		size, err := strconv.ParseInt(text, 10, 64)
		if i >= len(blobs) {
			break
		}
		b := blobs[i]
		if err != nil { // "missing": not among what came, the remote has it by another path
			if b.mode == modeLink {
				k.noteLink(b.path, "")
			}
			continue
		}
		switch total += size; {
		case kind != "blob":
			return session.Errorf(session.Invalid, "`%s` in commit %.7s is no file, so the commits were not taken. Ask the agent to commit its work anew.", readable(b.path, 120), b.commit)
		case size > k.g.most.file:
			return session.Errorf(session.Invalid, "`%s` in commit %.7s has %d MiB; at most %d are taken. Ask the agent to leave it out of its commits.", readable(b.path, 120), b.commit, size>>20, k.g.most.file>>20)
		case total > k.g.most.total:
			return session.Errorf(session.Invalid, "The commits of this turn add more than %d MiB of files, the last of them `%s` in commit %.7s, so they were not taken. Ask the agent to leave large files out of its commits.", k.g.most.total>>20, readable(b.path, 120), b.commit)
		}
		if bytes+size > maxGroup {
			if err := flush(); err != nil {
				return err
			}
		}
		bytes += size
		group = append(group, b)
	}
	return flush()
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
	out, err := k.git(ctx, strings.NewReader(ask.String()), "cat-file", "--batch")
	if err != nil {
		return k.damaged(err)
	}
	r := bufio.NewReader(strings.NewReader(out))
	for _, b := range blobs {
		text, err := next(r)
		if err != nil {
			return session.Wrap("github.scan", err)
		}
		if at := session.FindToken(text); at >= 0 {
			line := 1 + strings.Count(text[:at], "\n")
			return session.Errorf(session.Invalid, "`%s` line %d in commit %.7s holds what looks like a secret, so the commits were not taken. Ask the agent to take it out of its commits; deleting it in a later commit is not enough.", readable(b.path, 120), line, b.commit)
		}
		if b.mode == modeLink {
			k.noteLink(b.path, text)
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

// diff returns what head changes since it left the base branch, for people to see.
func (k *check) diff(ctx context.Context, base, head string) ([]session.FileChange, string, error) {
	from, err := k.git(ctx, nil, "merge-base", base, head)
	if err != nil {
		if said(err) != "" || session.CodeOf(err) == session.Invalid {
			return nil, "", k.damaged(err)
		}
		return nil, "", &session.Error{Code: session.Invalid, Op: "github.diff", Message: "The commits have no history in common with the base branch, so they were not taken. Ask the agent to begin its branch from it.", Err: err}
	}
	from = strings.TrimSpace(from)
	out, err := k.g.git.run(ctx, k.lazy(), "diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", from, head)
	if err != nil {
		return nil, "", remoteProblem("github.diff", k.where, "Then send another message here.", err)
	}
	fresh, err := k.unpushed(ctx, head)
	if err != nil {
		return nil, "", err
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
		k.note(f.Path, "", fresh(f.Path)) // a merge can bring back what a branch had, which no commit of its own shows
	}
	if len(files) > maxFiles {
		return nil, "", session.Errorf(session.Invalid, "The changes touch %d files; at most %d are taken. Ask the agent to leave generated files out of its commits.", len(files), maxFiles)
	}
	names := 0
	for _, f := range files {
		names += len(f.Path)
	}
	if names > maxPaths {
		return nil, "", session.Errorf(session.Invalid, "The names of the %d changed files are too long to be shown, so the commits were not taken. Ask the agent for shorter paths.", len(files))
	}
	enough := k.lazy()
	enough.cut = maxPatch + 1
	patch, err := k.g.git.run(ctx, enough, "diff", "--no-color", "--no-renames", "--no-ext-diff", "--no-textconv", from, head)
	if err != nil {
		return nil, "", remoteProblem("github.diff", k.where, "Then send another message here.", err)
	}
	if len(patch) > maxPatch {
		cut := strings.LastIndexByte(patch[:maxPatch], '\n') + 1
		patch = patch[:cut] + "… the diff goes on; it was cut here\n"
	}
	return files, strings.ToValidUTF8(patch, "�"), nil
}
