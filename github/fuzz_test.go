package github

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"openinspect/session"
)

// FuzzHeader: what is taken for a bundle's header is one, to the byte, and is read in bounded memory.
func FuzzHeader(f *testing.F) {
	hash := strings.Repeat("a", 40)
	for _, s := range []string{
		"", "PACK", "# v2 git bundle\n" + hash + " refs/inspect/head\n\nPACK", "# v2 git bundle\n-" + hash + " x\n-" + hash + "\n" + hash + " refs/inspect/head\n\n",
		"# v3 git bundle\n@object-format=sha256\n" + hash + " refs/inspect/head\n\n", "# v3 git bundle\n@filter=blob:none\n\n",
		"# v2 git bundle\n" + hash + " refs/inspect/head\n" + hash + " refs/inspect/head\n\n", "# v2 git bundle\n" + hash + " --upload-pack=touch x\n\n",
		"# v2 git bundle\n" + hash + " refs/inspect/head\r\n\n", "# v2 git bundle\n" + hash + " refs/inspect/head\x00\n\n", "# v2 git bundle\n-" + hash, "# v2 git bundle\n" + strings.Repeat("-", 5000) + "\n",
		"# v2 git bundle\n" + strings.Repeat("-"+hash+" x\n", maxPrerequisites+1) + hash + " refs/inspect/head\n\n", "# v2 git bundle\n" + strings.ToUpper(hash) + " refs/inspect/head\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		under := bytes.NewReader(data)
		r := bufio.NewReaderSize(under, 64<<10)
		h, err := readHeader(r)
		if err != nil {
			if session.CodeOf(err) != session.Invalid || !strings.HasSuffix(session.Sentence(err), "so nothing was taken.") {
				t.Fatalf("%v", err)
			}
			return
		}
		if !isHash(h.head) || len(h.prerequisites) > maxPrerequisites {
			t.Fatalf("%+v", h)
		}
		rest, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(data[:len(data)-len(rest)]), "\n\n"), "\n")
		want := []string{"# v2 git bundle"}
		for i, p := range h.prerequisites {
			if !isHash(p) || i+1 >= len(lines) {
				t.Fatalf("%+v", h)
			}
			_, comment, spoken := strings.Cut(lines[i+1], " ")
			if spoken {
				comment = " " + comment
			}
			want = append(want, "-"+p+comment)
		}
		if want = append(want, h.head+" "+bundleRef); !slices.Equal(lines, want) {
			t.Fatalf("%q was read as %+v", lines, h)
		}
	})
}

// FuzzCommit: a commit that is taken says exactly what was read out of it, whoever reads it.
func FuzzCommit(f *testing.F) {
	tree, who := strings.Repeat("a", 40), "Ada <101+ada@users.noreply.github.com> 1795000000 +0000"
	for _, s := range []string{
		"tree " + tree + "\nauthor " + who + "\ncommitter " + who + "\n\nFix\n", "tree " + tree + "\nparent " + tree + "\nauthor " + who + "\ncommitter " + who + "\n\nFix\n",
		"tree " + tree + "\nauthor " + who + "\ncommitter " + who + "\nencoding UTF-7\n\nFix\n", "tree " + tree + "\nauthor " + who + "\nauthor " + who + "\ncommitter " + who + "\n\n",
		"tree " + tree + "\nauthor A <a> <b> 1 +0000\ncommitter " + who + "\n\n", "tree " + tree + "\nauthor <> 1 +0000\ncommitter " + who + "\n\n", "tree " + tree + "\nauthor " + who + "\ncommitter " + who,
		"tree " + tree + "\nauthor " + who + "\ncommitter " + who + "\ngpgsig x\n y\n\nFix\n", "", "\n\n", "tree", "tree " + tree + "\nauthor  <> 0 -0000\ncommitter " + who + "\n\n\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseCommit(tree, raw)
		if err != nil {
			if session.CodeOf(err) != session.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		lines := strings.Split(string(raw), "\n")
		parents := len(c.parents)
		if len(lines) < parents+3 || !strings.HasPrefix(lines[parents+1], "author "+c.author.Name+" <"+c.author.Email+"> ") ||
			!strings.HasPrefix(lines[parents+2], "committer "+c.committer.Name+" <"+c.committer.Email+"> ") {
			t.Fatalf("%q was read as %+v", raw, c)
		}
		if len(lines) > parents+3 && lines[parents+3] != "" {
			t.Fatalf("a header was passed over in %q", raw)
		}
	})
}

// dice makes choices out of a fuzzer's bytes; when they are used up, it always chooses the first.
type dice []byte

func (d *dice) roll(n int) int {
	if len(*d) == 0 {
		return 0
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return int(b) % n
}

func pick[T any](d *dice, list ...T) T { return list[d.roll(len(list))] }

// suspect is a choice, and whether the gate must not let it through.
type suspect struct {
	text string
	bad  bool
}

// forged is a commit of a forged history.
type forged struct {
	hash    string
	parents []string
	bad     string // why it must not be taken
}

// forge makes a history out of dice: up to four commits on main or on nothing, with trees and names of every kind.
func forge(w *world, d *dice) (*forgery, []forged) {
	f := &forgery{prerequisites: []string{w.tip()}}
	var made []forged
	a, _ := ada.Author()
	adas := fmt.Sprintf("%s <%s> ", a.Name, a.Email)
	bots := fmt.Sprintf("%s <%s> ", w.bot.Name, w.bot.Email)
	for range 1 + d.roll(4) {
		c := forged{parents: []string{w.tip()}}
		if len(made) > 0 && d.roll(4) < 3 {
			c.parents = []string{made[len(made)-1].hash}
		}
		switch d.roll(8) {
		case 6:
			c.parents = append(c.parents, w.tip())
		case 7:
			c.parents = nil
		}
		worse := func(why string, s suspect) string {
			if s.bad {
				c.bad = why
			}
			return s.text
		}
		var entries []treeEntry
		if d.roll(4) > 0 {
			entries = w.mainTree()
		}
		for range 1 + d.roll(3) {
			e := treeEntry{mode: pick(d, "100644", "100755", "120000", "160000", "100664", "40000")}
			e.name = worse("name", pick(d, suspect{"a.txt", false}, suspect{"b", false}, suspect{"z\tz", false}, suspect{".gitattributes", false}, suspect{"-x", false}, suspect{"\"q\"", false},
				suspect{"CODEOWNERS", false}, suspect{".github", false}, suspect{".git", true}, suspect{".GIT", true}, suspect{"git~1", true}, suspect{"..", true}, suspect{"a/b", true},
				suspect{fakeToken, true}, suspect{"\x01" + strings.Repeat("a", 40), false}, suspect{":100644", false}, suspect{"\xff\xfe", false}))
			text := pick(d, suspect{"x\n", false}, suspect{"", false}, suspect{"* diff=evil filter=evil\n", false}, suspect{"../../etc", false}, suspect{"KEY=" + fakeToken + "\n", true}, suspect{strings.Repeat("line\n", 30_000), false})
			switch e.mode {
			case "160000":
				e.hash = strings.Repeat("1", 40)
			case "40000":
				e.hash = f.tree(treeEntry{"100644", "in", f.blob(worse("secret", text))})
			default:
				e.hash = f.blob(worse("secret", text))
			}
			entries = append(entries, e)
		}
		if d.roll(8) < 7 {
			slices.SortStableFunc(entries, func(a, b treeEntry) int { return strings.Compare(sortName(a), sortName(b)) })
		}
		for i := 1; i < len(entries); i++ {
			if entries[i].name == entries[i-1].name {
				c.bad = "twice"
			}
			if sortName(entries[i]) < sortName(entries[i-1]) {
				c.bad = "unsorted"
			}
		}
		when := pick(d, suspect{date, false}, suspect{"0 +0000", false}, suspect{"9999999999 +0000", true}, suspect{"-5 +0000", true}, suspect{"1 +9999", true})
		message := pick(d, suspect{"Fix\n", false}, suspect{"", false}, suspect{"\xff\n", false}, suspect{"Use " + fakeToken + "\n", true}, suspect{"a\x00b", true},
			suspect{"Fix\n\nCo-authored-by: Bob <102+bob@users.noreply.github.com>\nInspect-Session: abcdefghij\n", false}, suspect{"Fix\n\nCo-authored-by: Eve <e@e>\n", true},
			suspect{"Signed-off-by: Ada <101+ada@users.noreply.github.com>\n", true}, suspect{"Fix\r\r> inspect-session : abcdefghik\r", true})
		headers := pick(d, suspect{"", false}, suspect{"", false}, suspect{"encoding UTF-7\n", true}, suspect{"gpgsig x\n y\n", true}, suspect{"parent " + strings.Repeat("1", 40) + "\n", true})
		author := pick(d, suspect{adas, false}, suspect{bots, false}, suspect{"Eve <e@e> ", true}, suspect{"Eve <101+ada@users.noreply.github.com> ", true}, suspect{"Ada <> ", true}, suspect{"Ada <a@a> <101+ada@users.noreply.github.com> ", true})
		committer := pick(d, suspect{bots, false}, suspect{bots, false}, suspect{bots, false}, suspect{adas, true})
		stamp := worse("date", when)
		c.hash = f.commit(w, draft{
			tree: f.tree(entries...), parents: c.parents, author: worse("author", author) + stamp, committer: worse("committer", committer) + stamp,
			headers: worse("header", headers), message: worse("message", message),
		})
		made = append(made, c)
	}
	return f, made
}

// FuzzGate forges histories and has the gate judge them. Whatever they hold, it answers with a sentence, runs nothing, leaves nothing behind, and
// takes nothing of which the forger knows that it must not be taken; what it takes is what it will push.
func FuzzGate(f *testing.F) {
	f.Add([]byte{})
	for i := range 16 { // one thing after another
		f.Add(slices.Concat(make([]byte, i), []byte{byte(i + 1), 3, 2, 1}))
	}
	chance := rand.New(rand.NewPCG(1, 2))
	forgeries := 12
	if os.Getenv("TEST_LONG") == "1" {
		forgeries = 2000
	}
	for range forgeries {
		b := make([]byte, 60)
		for i := range b {
			if b[i] = 0; chance.IntN(3) == 0 { // mostly honest: all that is forged is not worth judging
				b[i] = byte(chance.Uint32())
			}
		}
		f.Add(b)
	}
	canary := plantCanary(f)
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		w.t = t
		d := dice(data)
		forgery, made := forge(w, &d)
		got, err := w.taken(forgery.bundle())
		if sung, e := os.ReadFile(canary); e == nil {
			t.Fatalf("git ran something: %s", sung)
		}
		if left := w.outside(); len(left) > 0 {
			t.Fatalf("left behind: %v", left)
		}
		if err != nil {
			if session.CodeOf(err) != session.Invalid || strings.Contains(err.Error(), fakeToken) {
				t.Fatalf("%v", err)
			}
			return
		}
		if got == nil {
			return // nothing new, or nothing changed
		}
		bad := map[string]string{}
		reach := []string{got.Head}
		for i := len(made) - 1; i >= 0; i-- { // each is made after its parents
			if slices.Contains(reach, made[i].hash) {
				reach = append(reach, made[i].parents...)
				bad[made[i].hash] = made[i].bad
			}
		}
		for hash, why := range bad {
			if why != "" {
				t.Fatalf("commit %s was taken in spite of its %s: %+v", hash, why, got)
			}
		}
		quarantine := w.github.git.dir + "/quarantine/" + string(id) + ".git"
		held, err := w.github.git.run(t.Context(), command{repo: quarantine}, "rev-parse", "refs/checked/"+got.Head+"^{commit}")
		if err != nil || strings.TrimSpace(held) != forgery.head || got.Head != forgery.head {
			t.Fatalf("taken was %s, held is %q: %v", got.Head, held, err)
		}
	})
}
