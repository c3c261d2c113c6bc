package github

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/session"
)

// fakeToken has the shape of a GitHub token.
var fakeToken = "ghp_" + strings.Repeat("a1B2", 9)

// plantCanary sets up everything by which somebody could have git run a program: configuration of the machine, of the user and of the environment,
// with hooks, filters, textconv, external diff, and more. Each would create the file whose name is returned.
func plantCanary(t testing.TB) (canary string) {
	t.Helper()
	dir := t.TempDir()
	canary = filepath.Join(dir, "canary")
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$0 $*\" >>"+canary+"\ncat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	hooks := filepath.Join(dir, "hooks")
	if err := os.Mkdir(hooks, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, h := range []string{"pre-push", "post-index-change", "reference-transaction", "post-checkout", "pre-receive", "update", "post-update"} {
		if err := os.Symlink(program, filepath.Join(hooks, h)); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, ".gitconfig")
	text := fmt.Sprintf(`
[core]
	hooksPath = %[2]s
	fsmonitor = %[1]s
	alternateRefsCommand = %[1]s
	sshCommand = %[1]s
	attributesFile = %[3]s
[diff]
	external = %[1]s
[diff "evil"]
	textconv = %[1]s
	command = %[1]s
[filter "evil"]
	clean = %[1]s
	smudge = %[1]s
	process = %[1]s
	required = true
[merge "evil"]
	driver = %[1]s
[credential]
	helper = %[1]s
[gpg]
	program = %[1]s
[gpg "ssh"]
	program = %[1]s
[log]
	showSignature = true
[uploadpack]
	packObjectsHook = %[1]s
[url "ext::%[1]s "]
	insteadOf = http
[protocol "ext"]
	allow = always
`, program, hooks, filepath.Join(dir, "attributes"))
	for name, content := range map[string]string{config: text, filepath.Join(dir, "attributes"): "* diff=evil filter=evil merge=evil\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{
		"HOME": dir, "XDG_CONFIG_HOME": dir, "GIT_CONFIG_GLOBAL": config, "GIT_CONFIG_SYSTEM": config, "GIT_EXTERNAL_DIFF": program,
		"GIT_SSH_COMMAND": program, "GIT_ASKPASS": program, "GIT_PAGER": program,
	} {
		t.Setenv(name, value)
	}
	return canary
}

// TestCanary shows that the canary sings: an ordinary git, in that environment, runs the planted programs.
func TestCanary(t *testing.T) {
	canary := plantCanary(t)
	dir := t.TempDir()
	for _, args := range [][]string{{"init", "-q"}, {"-c", "core.fsmonitor=false", "add", "."}, {"diff", "--cached"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		_ = os.WriteFile(filepath.Join(dir, "a.txt"), []byte("a\n"), 0o600)
		_, _ = cmd.CombinedOutput() // whatever it says, it has run them
	}
	sung, err := os.ReadFile(canary)
	if err != nil || !bytes.Contains(sung, []byte("/program")) && !bytes.Contains(sung, []byte("/hooks/")) {
		t.Errorf("the canary is dumb: %v\n%s", err, sung)
	}
}

// outside lists what lies in the bot's directory beside mirrors and quarantines, and what is left of bundles.
func (w *world) outside() []string {
	w.t.Helper()
	var found []string
	err := filepath.WalkDir(w.github.c.Dir, func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(w.github.c.Dir, name)
		parts := strings.Split(rel, string(filepath.Separator))
		switch {
		case err != nil:
			return err
		case len(parts) > 1 && parts[1] != "mirrors" && parts[1] != "quarantine", parts[0] != "git" && parts[0] != ".":
			found = append(found, rel)
		case strings.HasPrefix(d.Name(), "incoming-"), strings.HasPrefix(d.Name(), "tmp_pack"):
			found = append(found, rel)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// gateCase is a bundle that the gate has to refuse, and in which words; or to take, and then what it says to look at twice.
type gateCase struct {
	name string
	make func(w *world, f *forgery)
	want string // of the refusal; "" if it is to be taken
	look []string
}

// adding makes a commit on main that adds entries to its tree.
func adding(entries ...func(f *forgery) treeEntry) func(*world, *forgery) {
	return func(w *world, f *forgery) {
		all := w.mainTree()
		for _, e := range entries {
			all = append(all, e(f))
		}
		slices.SortFunc(all, func(a, b treeEntry) int { return strings.Compare(sortName(a), sortName(b)) })
		f.prerequisites = []string{w.tip()}
		f.commit(w, draft{tree: f.tree(all...), parents: f.prerequisites})
	}
}

// sortName is a name as git sorts it: a directory as if it ended in a slash.
func sortName(e treeEntry) string {
	if e.mode == "40000" {
		return e.name + "/"
	}
	return e.name
}

func file(mode, name, text string) func(*forgery) treeEntry {
	return func(f *forgery) treeEntry { return treeEntry{mode, name, f.blob(text)} }
}

// below is a file in directories, the outermost first.
func below(path, text string) func(*forgery) treeEntry {
	return func(f *forgery) treeEntry {
		parts := strings.Split(path, "/")
		e := treeEntry{"100644", parts[len(parts)-1], f.blob(text)}
		for i := len(parts) - 2; i >= 0; i-- {
			e = treeEntry{"40000", parts[i], f.tree(e)}
		}
		return e
	}
}

// drafted makes a commit on main that differs from an honest one in what change says.
func drafted(change func(w *world, d *draft)) func(*world, *forgery) {
	return func(w *world, f *forgery) {
		d := draft{tree: f.file("a.txt", "a\n"), parents: []string{w.tip()}}
		f.prerequisites = d.parents
		change(w, &d)
		f.commit(w, d)
	}
}

const adaLine = "Ada <101+ada@users.noreply.github.com> "

var gateCases = []gateCase{
	{name: "honest", make: adding(file("100644", "new.txt", "x\n"))},

	// Paths.
	{name: "absolute link", make: adding(file("120000", "l", "/etc/passwd")), look: []string{"l (a symlink out of the repository, to /etc/passwd)"}},
	{name: "escaping link", make: adding(file("120000", "l", "a/../../x")), look: []string{"l (a symlink out of the repository, to a/../../x)"}},
	{name: "link into git", make: adding(file("120000", "l", ".git/hooks/pre-commit")), look: []string{"l (a symlink out of the repository, to .git/hooks/pre-commit)"}},
	{name: "ordinary link", make: adding(file("120000", "l", "README.md")), look: []string{"l (a symlink to README.md)"}},
	{name: "linked .gitmodules", make: adding(file("120000", ".gitmodules", "x")), want: "are damaged"},
	{name: ".git", make: adding(below(".git/config", "[core]\n")), want: "are damaged"},
	{name: ".GIT", make: adding(below(".GIT/config", "[core]\n")), want: "are damaged"},
	{name: "git~1", make: adding(below("git~1/config", "[core]\n")), want: "are damaged"},
	{name: ".git on a Mac", make: adding(below(".g\u200cit/config", "[core]\n")), want: "are damaged"},
	{name: ".git with a stream", make: adding(below(".git::$INDEX_ALLOCATION/config", "[core]\n")), want: "are damaged"},
	{name: "dot dot", make: adding(below("../x", "x")), want: "are damaged"},
	{name: "dot", make: adding(below("./x", "x")), want: "are damaged"},
	{name: "slash", make: adding(file("100644", "a/b", "x")), want: "are damaged"},
	{name: "no name", make: adding(file("100644", "", "x")), want: "are damaged"},
	{name: "twice", make: adding(file("100644", "n", "x"), file("100644", "n", "y")), want: "are damaged"},
	{name: "file and directory", make: adding(file("100644", "n", "x"), below("n/x", "y")), want: "are damaged"},
	{name: "unsorted", make: func(w *world, f *forgery) {
		b := f.blob("x")
		f.commit(w, draft{tree: f.tree(treeEntry{"100644", "b", b}, treeEntry{"100644", "a", b})})
	}, want: "are damaged"},
	{name: "padded mode", make: func(w *world, f *forgery) {
		f.commit(w, draft{tree: f.tree(treeEntry{"0100644", "b", f.blob("x")})})
	}, want: "are damaged"},
	{name: "null hash", make: func(w *world, f *forgery) {
		f.commit(w, draft{tree: f.tree(treeEntry{"100644", "b", strings.Repeat("0", 40)})})
	}, want: "are damaged"},
	{name: "line break in a name", make: adding(file("100644", "a\nb", "x")), look: []string{"a b (its name has control characters)"}},
	{name: "reversed name", make: adding(file("100644", "a\u202etxt.exe", "x")), look: []string{"a txt.exe (its name has control characters)"}},
	{name: "long path", make: adding(below(strings.Repeat(strings.Repeat("d", 200)+"/", 21)+"x", "x")), want: "a file whose path is"},
	{name: "a secret in a name", make: adding(file("100644", fakeToken, "x")), want: "The name of a file in commit"},

	// Files that do something.
	{name: "attributes", make: adding(file("100644", ".gitattributes", "* diff=evil filter=evil merge=evil\n"), file("100644", "z.txt", "z\n")), look: []string{".gitattributes"}},
	{name: "workflow", make: adding(below(".github/workflows/ci.yml", "on: push\n")), look: []string{".github/workflows/ci.yml"}},
	{name: "workflow in capitals", make: adding(below(".GitHub/WorkFlows/ci.yml", "on: push\n")), look: []string{".GitHub/WorkFlows/ci.yml"}},
	{name: "owners", make: adding(file("100644", "CODEOWNERS", "* @eve\n")), look: []string{"CODEOWNERS"}},
	{name: "the most urgent first", make: adding(file("120000", "a", "b"), below(".github/workflows/ci.yml", "on: push\n"), file("100644", ".gitattributes", "x -diff\n")), look: []string{".github/workflows/ci.yml", ".gitattributes", "a (a symlink to b)"}},
	{name: "submodule", make: adding(func(*forgery) treeEntry { return treeEntry{"160000", "sub", strings.Repeat("1", 40)} }), look: []string{"sub (a submodule)"}},
	{name: "modules that are options", make: adding(file("100644", ".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=touch x\n")), want: "are damaged"},
	{name: "modules with a path that is an option", make: adding(file("100644", ".gitmodules", "[submodule \"x\"]\n\tpath = -x\n\turl = https://x.test/x\n")), want: "are damaged"},
	{name: "modules with a name that climbs", make: adding(file("100644", ".gitmodules", "[submodule \"../../hooks\"]\n\tpath = x\n\turl = https://x.test/x\n")), want: "are damaged"},
	{name: "modules with a program", make: adding(file("100644", ".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = https://x.test/x\n\tupdate = !touch x\n")), want: "are damaged"},

	// Secrets.
	{name: "secret in a middle commit", make: func(w *world, f *forgery) {
		one := f.commit(w, draft{tree: f.file("a.txt", "a\n"), parents: []string{w.tip()}})
		two := f.commit(w, draft{tree: f.file("prod.env", "A=1\nKEY="+fakeToken+"\n"), parents: []string{one}})
		f.prerequisites = []string{w.tip()}
		f.commit(w, draft{tree: f.file("a.txt", "b\n"), parents: []string{two}})
	}, want: "`prod.env` line 2 in commit"},
	{name: "secret in a message", make: drafted(func(_ *world, d *draft) { d.message = "Use the key\n\nIt is " + fakeToken + ".\n" }), want: "The message of commit"},
	{name: "secret in one parent of a merge", make: func(w *world, f *forgery) {
		side := f.commit(w, draft{tree: f.file("x.env", "KEY="+fakeToken+"\n")})
		f.prerequisites = []string{w.tip()}
		f.commit(w, draft{tree: f.file("a.txt", "a\n"), parents: []string{w.tip(), side}})
	}, want: "`x.env` line 1 in commit"},
	{name: "secret under an author's name", make: drafted(func(_ *world, d *draft) { d.author = fakeToken + " <x@x> " + date }), want: "(what looks like a secret)"},
	{name: "secret in a large file", make: adding(file("100644", "large.txt", strings.Repeat("x\n", 900_000)+fakeToken+"\n")), want: "`large.txt` line 900001 in commit"},

	// Names and dates.
	{name: "another's name", make: drafted(func(_ *world, d *draft) { d.author = "Linus <101+ada@users.noreply.github.com> " + date }), want: "names an author who did not prompt in this session (Linus, 101+ada@"},
	{name: "committed by somebody", make: drafted(func(_ *world, d *draft) { d.committer = adaLine + date }), want: "was committed by Ada, 101+ada@"},
	{name: "an encoding that hides a name", make: drafted(func(_ *world, d *draft) {
		d.author = "Ada <+ADEAMAAx-+AD-evil> " + date
		d.headers = "encoding UTF-7\n"
	}), want: "a header that the bot's commits do not have (encoding)"},
	{name: "signature", make: drafted(func(_ *world, d *draft) {
		d.headers = "gpgsig -----BEGIN SSH SIGNATURE-----\n x\n -----END SSH SIGNATURE-----\n"
	}), want: "(gpgsig)"},
	{name: "merge tag", make: drafted(func(_ *world, d *draft) {
		d.headers = "mergetag object " + strings.Repeat("1", 40) + "\n type commit\n tag x\n tagger x <x@x> 1 +0000\n"
	}), want: "(mergetag)"},
	{name: "two authors", make: drafted(func(_ *world, d *draft) { d.author = adaLine + date + "\nauthor Eve <e@e> " + date }), want: "so nothing was taken"},
	{name: "no date", make: drafted(func(_ *world, d *draft) { d.author = "Ada <101+ada@users.noreply.github.com>" }), want: "so nothing was taken"},
	{name: "negative date", make: drafted(func(_ *world, d *draft) { d.author = adaLine + "-1 +0000" }), want: "so nothing was taken"},
	{name: "date beyond all dates", make: drafted(func(_ *world, d *draft) { d.author = adaLine + "99999999999999999999 +0000" }), want: "so nothing was taken"},
	{name: "date in the year 2286", make: drafted(func(_ *world, d *draft) { d.author = adaLine + "9999999999 +0000" }), want: "has a date that cannot be right"},
	{name: "zone of 99 hours", make: drafted(func(_ *world, d *draft) { d.author = adaLine + "1795000000 +9900" }), want: "has a date that cannot be right"},
	{name: "line break in a name", make: drafted(func(_ *world, d *draft) { d.author = "Ada\x00 <101+ada@users.noreply.github.com> " + date }), want: "so nothing was taken"},
	{name: "bot as an author", make: drafted(func(w *world, d *draft) { d.author = fmt.Sprintf("%s <%s> %s", w.bot.Name, w.bot.Email, date) })},
	{name: "message of two MiB", make: drafted(func(_ *world, d *draft) { d.message = strings.Repeat("x", 2<<20) }), want: "a message of 2 MiB"},

	// Histories.
	{name: "unrelated", make: func(w *world, f *forgery) { f.commit(w, draft{tree: f.file("a", "a")}) }, want: "no history in common"},
	{name: "of another repository", make: func(w *world, f *forgery) {
		f.prerequisites = []string{strings.Repeat("1", 40)}
		f.commit(w, draft{tree: f.file("a", "a"), parents: f.prerequisites})
	}, want: "which the repository does not have"},
	{name: "parent that nobody has", make: func(w *world, f *forgery) {
		f.prerequisites = []string{w.tip()}
		f.commit(w, draft{tree: f.file("a", "a"), parents: []string{strings.Repeat("1", 40)}})
	}, want: "name things that did not come with them"},
	{name: "octopus", make: func(w *world, f *forgery) {
		a := f.commit(w, draft{tree: f.file("a", "a"), parents: []string{w.tip()}})
		b := f.commit(w, draft{tree: f.file("b", "b"), parents: []string{w.tip()}})
		f.prerequisites = []string{w.tip()}
		f.commit(w, draft{tree: f.tree(treeEntry{"100644", "a", f.blob("a")}, treeEntry{"100644", "b", f.blob("b")}), parents: []string{w.tip(), a, b}})
	}},
	{name: "many parents", make: func(w *world, f *forgery) {
		tree := f.file("a", "a")
		var parents []string
		for i := range 40 {
			parents = append(parents, f.commit(w, draft{tree: tree, parents: []string{w.tip()}, message: fmt.Sprint(i)}))
		}
		f.prerequisites = []string{w.tip()}
		f.commit(w, draft{tree: tree, parents: parents})
	}, want: "more than 32 parents"},
	{name: "many commits", make: func(w *world, f *forgery) {
		f.prerequisites = []string{w.tip()}
		at, tree := w.tip(), f.file("a", "a")
		for range maxCommits + 1 {
			at = f.commit(w, draft{tree: tree, parents: []string{at}})
		}
	}, want: "more than 500 commits"},
	{name: "head that is a tree", make: func(_ *world, f *forgery) { f.head = f.file("a", "a") }, want: "does not hold the commit it names"},
	{name: "head that is a tag", make: func(w *world, f *forgery) {
		c := f.commit(w, draft{tree: f.file("a", "a"), parents: []string{w.tip()}})
		f.prerequisites = []string{w.tip()}
		f.head = f.add(packTag, []byte("object "+c+"\ntype commit\ntag x\ntagger x <x@x> 1 +0000\n\nx\n"))
	}, want: "does not hold the commit it names"},
	{name: "head that did not come", make: func(w *world, f *forgery) {
		f.commit(w, draft{tree: f.file("a", "a"), parents: []string{w.tip()}})
		f.head, f.prerequisites = strings.Repeat("1", 40), []string{w.tip()}
	}, want: "does not hold the commit it names"},
	{name: "file that is nowhere", make: adding(func(*forgery) treeEntry { return treeEntry{"100644", "n", strings.Repeat("1", 40)} }), want: "name files that neither came with them nor are on GitHub"},
	{name: "directory that is nowhere", make: adding(func(*forgery) treeEntry { return treeEntry{"40000", "n", strings.Repeat("1", 40)} }), want: "name things that did not come with them"},
	{name: "file that is a directory", make: adding(func(f *forgery) treeEntry { return treeEntry{"100644", "n", f.file("x", fakeToken)} }), want: "is no file"},
	{name: "directory that is a file", make: adding(func(f *forgery) treeEntry { return treeEntry{"40000", "n", f.blob("x")} }), want: "name things that did not come with them"},
	{name: "replacement in the pack", make: func(w *world, f *forgery) {
		// An object alone replaces nothing; the ref that would make it one cannot come.
		f.blob("not wanted")
		adding(file("100644", "n", "x"))(w, f)
	}},

	// Sizes.
	{name: "large file", make: adding(func(f *forgery) treeEntry {
		return treeEntry{"100644", "big", f.add(packBlob, make([]byte, 2<<20+1))}
	}), want: "has 2 MiB; at most 2 are taken"},
	{name: "much in all", make: func(w *world, f *forgery) {
		var all []treeEntry
		for i := range 5 {
			data := make([]byte, 2<<20-1)
			data[0] = byte(i)
			all = append(all, treeEntry{"100644", fmt.Sprint("big", i), f.add(packBlob, data)})
		}
		f.prerequisites = []string{w.tip()}
		f.commit(w, draft{tree: f.tree(all...), parents: f.prerequisites})
	}, want: "add more than 8 MiB of files"},
	{name: "four thousand million objects", make: func(w *world, f *forgery) {
		adding(file("100644", "n", "x"))(w, f)
		f.count = 4e9
	}, want: "are damaged or too large"},
	{name: "delta that unfolds", make: func(w *world, f *forgery) {
		base := strings.Repeat("x", 1<<20)
		f.repeat(f.blob(base), len(base), 3000)
		adding(file("100644", "n", "x"))(w, f)
	}, want: "too long or too much memory"},
	{name: "directories that multiply", make: func(w *world, f *forgery) {
		w.github.git.local.cpu = time.Second
		t := f.tree()
		for range 12 {
			var all []treeEntry
			for i := range 10 {
				all = append(all, treeEntry{"40000", fmt.Sprint(i), t})
			}
			t = f.tree(all...)
		}
		f.prerequisites = []string{w.tip()}
		f.commit(w, draft{tree: t, parents: f.prerequisites})
	}, want: "too long or too much memory"},
	{name: "directories without end", make: func(w *world, f *forgery) {
		e := treeEntry{"100644", "x", f.blob("x")}
		for range depth() {
			e = treeEntry{"40000", "d", f.tree(e)}
		}
		f.prerequisites = []string{w.tip()}
		f.commit(w, draft{tree: f.tree(e), parents: f.prerequisites})
	}, want: "taken. Ask the agent"},
	{name: "names without end", make: func(w *world, f *forgery) {
		blob := f.blob("x")
		var all []treeEntry
		for i := range 200 {
			all = append(all, treeEntry{"100644", fmt.Sprintf("%03d", i) + strings.Repeat("n", 3000), blob})
		}
		t := f.tree(all...)
		for range 2 {
			all = nil
			for i := range 20 {
				all = append(all, treeEntry{"40000", fmt.Sprintf("%03d", i), t})
			}
			t = f.tree(all...)
		}
		f.prerequisites = []string{w.tip()}
		f.commit(w, draft{tree: t, parents: f.prerequisites})
	}, want: "too large to be looked through"},
}

// depth is how many directories are within each other: more than a path may have, and with TEST_LONG more than a stack holds.
func depth() int {
	if os.Getenv("TEST_LONG") == "1" {
		return 60_000
	}
	return 3_000
}

// TestGateAgainstHostileBundles judges them one after the other in one session, as a sandbox would send them, with traps around git.
func TestGateAgainstHostileBundles(t *testing.T) {
	w := newWorld(t)
	canary := plantCanary(t)
	w.github.git.local.memory = 512 << 20
	w.github.most = allowance{2 << 20, 8 << 20}
	for _, c := range gateCases {
		t.Run(c.name, func(t *testing.T) {
			f := &forgery{}
			w.github.git.local.cpu = time.Minute
			c.make(w, f)
			got, err := w.taken(f.bundle())
			switch {
			case c.want == "" && (err != nil || got == nil || got.Head != f.head || !slices.Equal(got.Attention, c.look)):
				t.Errorf("%+v %v", got, err)
			case c.want != "" && (got != nil || session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), c.want)):
				t.Errorf("%+v %v", got, err)
			case err != nil && strings.Contains(err.Error(), fakeToken):
				t.Errorf("the secret is in the error: %v", err)
			}
			if sung, err := os.ReadFile(canary); err == nil {
				t.Fatalf("git ran something: %s", sung)
			}
			if found := w.outside(); len(found) > 0 {
				t.Errorf("left behind: %v", found)
			}
		})
	}
}

// A commit that has GitHub run no checks is named, the newest of them: where nothing runs nothing fails.
func TestNoChecksAreNamed(t *testing.T) {
	w := newWorld(t)
	w.clone()
	for i, tt := range []struct {
		message string
		want    []string
	}{
		{"Fix the cart", nil},
		{"Fix the cart\n\n[no ci]", []string{"commit %.7s ([no ci]: GitHub is to run no checks)"}},
		{"Fix it [Skip CI]", []string{"commit %.7s ([skip ci]: GitHub is to run no checks)"}},
	} {
		w.commit(ada, "cart.go", fmt.Sprint("package cart", i), tt.message)
		c, err := w.collect()
		must(t, err)
		for n := range tt.want {
			tt.want[n] = fmt.Sprintf(tt.want[n], c.Head)
		}
		if !slices.Equal(c.Attention, tt.want) {
			t.Errorf("of %q: %q", tt.message, c.Attention)
		}
	}
}

// A bot that was itself started with lower limits keeps them, and works.
func TestGitBelowALowerLimit(t *testing.T) {
	within := newGit(t.TempDir()).local
	for _, lower := range []string{"true", "ulimit -v 900000", "ulimit -t 30", "ulimit -v 900000 && ulimit -t 30"} {
		cmd := exec.Command("/bin/sh", "-c", lower+` && exec /bin/sh -c "$@"`, "sh", bounded, "git", fmt.Sprint(within.memory>>10), fmt.Sprint(within.cpu.Seconds()), "version")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.HasPrefix(out, []byte("git version")) {
			t.Errorf("%s: %v\n%s", lower, err, out)
		}
	}
	cmd := exec.Command("/bin/sh", "-c", bounded, "git", "no number", "60", "version")
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("git ran without its limits: %s", out)
	}
}
