package github

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"openinspect/session"
)

// Limits of one commit.
const (
	maxCommit  = 1 << 20 // bytes, most of them its message
	maxParents = 32
)

// lastDate is the latest date a commit may have. Dates are the agent's to choose, but tools that read 32 bits must not stumble over them.
var lastDate = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// commit is a new commit, as its bytes say.
type commit struct {
	hash              string
	parents           []string
	author, committer session.Author
	message           string
}

func (c commit) subject() string {
	line, _, _ := strings.Cut(strings.TrimLeft(c.message, "\n"), "\n")
	return session.OneLine(strings.ToValidUTF8(line, "�"), 200)
}

// ident is a name, an address, and a date, as a commit holds them.
var ident = regexp.MustCompile(`^([^<>\x00]*) <([^<> \x00]*)> (\d{1,10}) [+-](\d{4})$`)

// parseCommit reads a commit's bytes itself. git's log would decode them first, and an encoding header can make it read another name than GitHub
// does. What the bot's commits never have, such as a signature, is refused, because nobody here could say what it means.
func parseCommit(hash string, raw []byte) (commit, error) {
	c := commit{hash: hash}
	bad := func(format string, args ...any) (commit, error) {
		return c, session.Errorf(session.Invalid, "Commit %.7s %s, so it was not taken. Ask the agent to commit its work anew.", hash, fmt.Sprintf(format, args...))
	}
	head, message, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok {
		head = bytes.TrimSuffix(raw, []byte("\n"))
	}
	c.message = string(message)
	lines := strings.Split(string(head), "\n")
	next := func(key string) (string, bool) {
		if len(lines) == 0 {
			return "", false
		}
		value, ok := strings.CutPrefix(lines[0], key+" ")
		if ok {
			lines = lines[1:]
		}
		return value, ok
	}
	tree, ok := next("tree")
	if !ok || !isHash(tree) {
		return bad("does not begin with a tree")
	}
	for {
		parent, ok := next("parent")
		if !ok {
			break
		}
		if c.parents = append(c.parents, parent); !isHash(parent) || len(c.parents) > maxParents {
			return bad("has more than %d parents, or a malformed one", maxParents)
		}
	}
	for _, who := range []struct {
		key string
		to  *session.Author
	}{{"author", &c.author}, {"committer", &c.committer}} {
		line, ok := next(who.key)
		m := ident.FindStringSubmatch(line)
		if !ok || m == nil {
			return bad("has a malformed %s", who.key)
		}
		*who.to = session.Author{Name: m[1], Email: m[2]}
		seconds, err := strconv.ParseInt(m[3], 10, 64)
		if zone := m[4]; err != nil || !time.Unix(seconds, 0).Before(lastDate) || zone > "1400" || zone[2:] > "59" {
			return bad("has a date that cannot be right")
		}
	}
	if len(lines) > 0 {
		key, _, _ := strings.Cut(lines[0], " ")
		return bad("has a header that the bot's commits do not have (%s)", session.OneLine(key, 30))
	}
	if strings.Contains(c.message, "\x00") {
		return bad("has a message that is not text")
	}
	if at := session.FindToken(c.message); at >= 0 {
		return c, session.Errorf(session.Invalid, "The message of commit %.7s holds what looks like a secret, in line %d, so the commits were not taken. Ask the agent to make the commit anew without it.", hash, 1+strings.Count(c.message[:at], "\n"))
	}
	return c, nil
}

// commits returns the new commits, newest first, and refuses those whose author or committer was not given to this session.
func (k *check) commits(ctx context.Context, head string) ([]commit, error) {
	out, err := k.git(ctx, k.not(), "rev-list", "--stdin", "--topo-order", "--max-count="+strconv.Itoa(maxCommits+1), head)
	if err != nil {
		return nil, k.damaged(err)
	}
	hashes := strings.Fields(out)
	if len(hashes) > maxCommits {
		return nil, session.Errorf(session.Invalid, "The turn left more than %d commits, so none was taken. Ask the agent to squash them.", maxCommits)
	}
	if len(hashes) == 0 {
		return nil, nil
	}
	ask := strings.Join(hashes, "\n") + "\n"
	sizes, err := k.git(ctx, strings.NewReader(ask), "cat-file", "--batch-check=%(objectsize)")
	if err != nil {
		return nil, k.damaged(err)
	}
	for i, text := range strings.Fields(sizes) {
		if size, err := strconv.ParseInt(text, 10, 64); err != nil || size > maxCommit {
			return nil, session.Errorf(session.Invalid, "Commit %.7s has a message of %d MiB; at most 1 is taken. Ask the agent to word it more briefly.", hashes[min(i, len(hashes)-1)], size>>20)
		}
	}
	raw, err := k.git(ctx, strings.NewReader(ask), "cat-file", "--batch")
	if err != nil {
		return nil, k.damaged(err)
	}
	r := bufio.NewReader(strings.NewReader(raw))
	var commits []commit
	for _, hash := range hashes {
		text, err := next(r)
		if err != nil {
			return nil, session.Wrap("github.check", err)
		}
		c, err := parseCommit(hash, []byte(text))
		if err != nil {
			return nil, err
		}
		if err := k.identified(c); err != nil {
			return nil, err
		}
		commits = append(commits, c)
	}
	return commits, nil
}

// identified refuses a commit by or from somebody else than this session's people and the bot. Names count too: people read them before addresses.
func (k *check) identified(c commit) error {
	is := func(a session.Author) func(session.Author) bool {
		return func(b session.Author) bool { return a.Email == written(b.Email) && a.Name == written(b.Name) }
	}
	if !is(c.author)(k.bot) && !slices.ContainsFunc(k.identities, is(c.author)) {
		return session.Errorf(session.Invalid, "Commit %.7s names an author who did not prompt in this session (%s), so it was not taken. Ask the agent to commit its work anew.", c.hash, readable(c.author.Name+", "+c.author.Email, 140))
	}
	if !is(c.committer)(k.bot) {
		return session.Errorf(session.Invalid, "Commit %.7s was committed by %s instead of the bot, so it was not taken. Ask the agent to commit its work anew.", c.hash, readable(c.committer.Name+", "+c.committer.Email, 140))
	}
	return nil
}

// written is a name or an address as git writes it into a commit (ident.c, crud): without what would break the line, and without punctuation at
// its ends.
func written(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '<' || r == '>' || r == '\n' {
			return -1
		}
		return r
	}, s)
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`.,:;<>"\'`, r) })
}
