package runner

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"

	"openinspect/session"
)

// Refs of ours in the checkout. They are hints for us alone: the agent can move them, and the bot decides by what it holds itself.
const (
	headRef      = "refs/inspect/head"      // what the last bundle was made of
	collectedRef = "refs/inspect/collected" // the newest commit that the bot said it has
	answeredRef  = "refs/inspect/answered"  // HEAD after the last turn
)

// commit is what is kept of one when it is made anew.
type commit struct {
	hash, tree string
	parents    []string
	author     session.Author
	authored   string // date: seconds and zone
	committer  session.Author
	committed  string
	message    string
}

// rewrite puts the turn's own commits under the right names: those of HEAD that are on no remote branch, were not collected and were not
// there after the last turn. Tree, message, order and merges stay; the author stays if it is one of the session's, else it becomes the
// turn's; the committer becomes the bot; the trailers name who else worked on it. A signature is lost: it is of what the commit no longer is.
func (r *runner) rewrite(ctx context.Context, d session.Delivery) error {
	head := r.git.resolve(ctx, "HEAD")
	if head == "" {
		return nil
	}
	// In a shallow checkout commits of the base that lie below the boundary would pass for the turn's.
	if err := r.deepen(ctx, head); err != nil {
		return err
	}
	own, err := r.ownCommits(ctx)
	if err != nil {
		return err
	}
	renamed := map[string]string{}
	for _, c := range own {
		hash, err := r.recommit(ctx, c, d, renamed)
		if err != nil {
			return err
		}
		if hash != c.hash {
			renamed[c.hash] = hash
		}
	}
	if err := r.moveBranches(ctx, renamed); err != nil {
		return err
	}
	if to, ok := renamed[head]; ok {
		// The index and the files stay as they are: the trees are the same. A branch that HEAD is on was moved with the others.
		if r.git.resolve(ctx, "HEAD") != to {
			if _, err := r.git.run(ctx, "update-ref", "-m", "inspect: names", "HEAD", to, head); err != nil {
				return err
			}
		}
		head = to
	}
	_, err = r.git.run(ctx, "update-ref", answeredRef, head)
	return err
}

// ownCommits lists the turn's own commits, parents first.
func (r *runner) ownCommits(ctx context.Context) ([]commit, error) {
	args := []string{"log", "-z", "--topo-order", "--reverse", "--no-notes", "--no-color", "--no-mailmap", "--no-patch", "--encoding=UTF-8", "--date=raw",
		"--format=%H%n%T%n%P%n%an%n%ae%n%ad%n%cn%n%ce%n%cd%n%B", "HEAD", "--not", "--remotes"}
	for _, ref := range []string{collectedRef, answeredRef} {
		if r.git.resolve(ctx, ref) != "" {
			args = append(args, ref)
		}
	}
	out, err := r.git.run(ctx, append(args, "--")...)
	if err != nil || out == "" {
		return nil, err
	}
	var commits []commit
	for record := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		f := strings.SplitN(record, "\n", 10)
		if len(f) != 10 {
			return nil, fmt.Errorf("git log: a record of %d fields", len(f))
		}
		commits = append(commits, commit{
			hash: f[0], tree: f[1], parents: strings.Fields(f[2]), author: session.Author{Name: f[3], Email: f[4]}, authored: f[5],
			committer: session.Author{Name: f[6], Email: f[7]}, committed: f[8], message: f[9]})
	}
	return commits, nil
}

// recommit makes a commit anew under the right names and returns its hash, which is the old one if nothing about it changes.
func (r *runner) recommit(ctx context.Context, c commit, d session.Delivery, renamed map[string]string) (string, error) {
	author, known := r.session(c.author, d)
	if !known {
		author = r.author(d)
	}
	id, log := r.owner()
	message := d.Credit.Message(c.message, author, cmp.Or(d.Log, log, string(id)))
	moved := false
	args := []string{"commit-tree", c.tree}
	for _, p := range c.parents {
		if to, ok := renamed[p]; ok {
			p, moved = to, true
		}
		args = append(args, "-p", p)
	}
	if !moved && known && same(c.committer, r.cfg.Boot.Bot) && strings.TrimRight(c.message, "\n") == strings.TrimRight(message, "\n") {
		return c.hash, nil
	}
	env := append(identity("AUTHOR", author, date(c.authored)), identity("COMMITTER", r.cfg.Boot.Bot, date(c.committed))...)
	return r.git.call(ctx, gitCall{args: append(args, "-F", "-"), env: env, in: message})
}

// session returns the identity of the session that a is, if it is one: given with the prompt, the turn's, or the bot's, whose name
// stands for people who have not linked an account.
func (r *runner) session(a session.Author, d session.Delivery) (session.Author, bool) {
	for _, known := range append([]session.Author{r.author(d), r.cfg.Boot.Bot}, d.Identities...) {
		if same(a, known) {
			return known, true
		}
	}
	return session.Author{}, false
}

// same compares as git writes: it takes punctuation off both ends of a name.
func same(a, b session.Author) bool {
	return plain(a.Name) == plain(b.Name) && plain(a.Email) == plain(b.Email)
}

// plain does what git does to a name or an address before it writes it (ident.c, crud).
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '<' || r == '>' || r == '\n' {
			return -1
		}
		return r
	}, s)
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`.,:;<>"\'`, r) })
}

// rawDate is how git prints a date in raw form.
var rawDate = regexp.MustCompile(`^\d{1,12} [+-]\d{4}$`)

// date makes a date that git takes of one that it printed; what it would not take becomes now.
func date(raw string) string {
	if !rawDate.MatchString(raw) {
		return ""
	}
	return "@" + raw
}

// moveBranches moves the agent's branches along with the commits they point to. HEAD's is moved like the others.
func (r *runner) moveBranches(ctx context.Context, renamed map[string]string) error {
	if len(renamed) == 0 {
		return nil
	}
	out, err := r.git.run(ctx, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/")
	if err != nil {
		return err
	}
	var in strings.Builder
	for line := range strings.Lines(out) {
		hash, ref, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if to, ok := renamed[hash]; ok {
			fmt.Fprintf(&in, "update %s %s %s\n", ref, to, hash)
		}
	}
	_, err = r.git.call(ctx, gitCall{args: []string{"update-ref", "-m", "inspect: names", "--stdin"}, in: in.String()})
	return err
}
