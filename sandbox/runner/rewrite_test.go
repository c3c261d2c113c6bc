package runner_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"openinspect/session"
)

// oneLine is how the tests show commits: author, committer, subject.
const oneLine = "--format=%an | %cn | %s"

func TestAuthorsAreKeptOrReplaced(t *testing.T) {
	b := newBox(t, session.BootFresh, newRemote(t)).start().ready()
	ident := func(a session.Author) string {
		return "git -c user.name='" + a.Name + "' -c user.email=" + a.Email + " commit -q --allow-empty"
	}
	b.turn(session.Delivery{ID: "1", Author: ana, Identities: []session.Author{ana, ben}, Credit: session.Credit{CoAuthors: []session.Author{ana, ben}},
		Text: strings.Join([]string{
			"!run git commit -q --allow-empty -m 'by the configured'",
			"!run " + ident(ben) + " -m 'by Ben'",
			"!run " + ident(session.Author{Name: "Linus", Email: "linus@example.com"}) + " -m 'by a stranger' --date='2001-02-03T04:05:06+0200'",
			"!run " + ident(session.Author{Name: "Ana", Email: "evil@example.com"}) + " -m $'three\\n\\nwith words\\n---\\nand a line\\n\\nFixes: #1\\nSigned-off-by: Ana <x@y>\\nCo-authored-by: CEO <c@x>\\nInspect-Session: other'",
		}, "\n")})
	equal(t, "commits", b.git("log", "-4", "--reverse", oneLine), strings.Join([]string{
		"Ana | inspect[bot] | by the configured",
		"Ben | inspect[bot] | by Ben",
		"Ana | inspect[bot] | by a stranger",
		"Ana | inspect[bot] | three",
	}, "\n"))
	equal(t, "date", b.git("log", "-1", "--format=%ad", "HEAD~1"), "Sat Feb 3 04:05:06 2001 +0200")
	equal(t, "e-mail", b.git("log", "-1", "--format=%ae"), ana.Email)
	equal(t, "co-author of Ana's", b.git("log", "-1", "--format=%b", "HEAD~3"), "Co-authored-by: Ben <"+ben.Email+">\nInspect-Session: abcdefghij")
	equal(t, "co-author of Ben's", b.git("log", "-1", "--format=%b", "HEAD~2"), "Co-authored-by: Ana <"+ana.Email+">\nInspect-Session: abcdefghij")
	equal(t, "message", b.git("log", "-1", "--format=%B"), "three\n\nwith words\n---\nand a line\n\nFixes: #1\nCo-authored-by: Ben <"+ben.Email+">\nInspect-Session: abcdefghij")
	equal(t, "the remote's commit", b.git("log", "-1", "--format=%an", "HEAD~4"), "Dev")

	// What an earlier turn made is left alone; an author of the session stays through a rebase in a later turn.
	before := b.git("rev-parse", "HEAD")
	b.turn(session.Delivery{ID: "2", Author: session.Author{}, Credit: session.Credit{CoAuthors: []session.Author{ana, ben}, PromptedBy: []string{"Cy (Slack U3)"}}, Log: "https://inspect.test/s/abcdefghij", Identities: []session.Author{ana, ben},
		Text: "!write c.txt c"})
	equal(t, "parent", b.git("rev-parse", "HEAD~"), before)
	equal(t, "unlinked", b.git("log", "-1", "--format=%an %b"),
		"inspect[bot] Co-authored-by: Ana <"+ana.Email+">\nCo-authored-by: Ben <"+ben.Email+">\nPrompted-by: Cy (Slack U3)\nInspect-Session: https://inspect.test/s/abcdefghij")
	b.turn(session.Delivery{ID: "3", Author: ben, Identities: []session.Author{ana, ben}, Text: "!run git commit -q --amend -m 'mended'"})
	equal(t, "amended", b.git("log", "-1", oneLine), "inspect[bot] | inspect[bot] | mended")
}

func TestMergesAndOrderStay(t *testing.T) {
	b := newBox(t, session.BootFresh, newRemote(t)).start().ready()
	b.turn(session.Delivery{ID: "1", Author: ana, Text: `!run git checkout -q -b side && echo s > side.txt && git add . && git commit -q -m side
!run git checkout -q main && echo m > main.txt && git add . && git commit -q -m trunk && git merge -q --no-ff -m merge side`})
	equal(t, "graph", b.git("log", "--topo-order", "--format=%s %an %cn", "HEAD", "--not", "origin/main"),
		"merge Ana inspect[bot]\nside Ana inspect[bot]\ntrunk Ana inspect[bot]")
	equal(t, "parents", b.git("log", "-1", "--format=%s", "HEAD^1")+" "+b.git("log", "-1", "--format=%s", "HEAD^2"), "trunk side")
	equal(t, "the other branch moved along", b.git("rev-parse", "side"), b.git("rev-parse", "HEAD^2"))
	equal(t, "branch", b.git("symbolic-ref", "--short", "HEAD"), "main")
	equal(t, "status", b.git("status", "--short"), "")
}

func TestRebaseLeavesRemoteCommitsAlone(t *testing.T) {
	remote := newRemote(t)
	b := newBox(t, session.BootFresh, remote).start().ready()
	b.turn(session.Delivery{ID: "1", Author: ana, Identities: []session.Author{ana}, Text: "!write a.txt a"})
	tip := pushed(t, remote, "b.txt", "b")
	b.turn(session.Delivery{ID: "2", Author: ben, Identities: []session.Author{ana, ben}, Text: "!run git fetch -q && git rebase -q origin/main\n!write c.txt c"})
	equal(t, "base", b.git("rev-parse", "HEAD~2"), tip)
	equal(t, "commits", b.git("log", "-3", oneLine), "Ben | inspect[bot] | !run git fetch -q && git rebase -q origin/main\nAna | inspect[bot] | !write a.txt a\nDev | Dev | Remote change of b.txt")
}

// A branch of the remote that the agent fetches stays its authors'.
func TestFetchedBranchIsLeftAlone(t *testing.T) {
	remote := newRemote(t)
	b := newBox(t, session.BootFresh, remote).start().ready()
	git(t, remote, "branch", "feature", pushed(t, remote, "feature.txt", "f"))
	git(t, remote, "update-ref", "refs/heads/main", "main~")
	b.turn(session.Delivery{ID: "1", Author: ana, Text: "Prompt\n!run git fetch -q origin feature && git merge -q FETCH_HEAD ;; !write a.txt a"})
	equal(t, "commits", b.git("log", "-2", oneLine), "Ana | inspect[bot] | Prompt\nDev | Dev | Remote change of feature.txt")
}

func TestDetachedHead(t *testing.T) {
	b := newBox(t, session.BootFresh, newRemote(t)).start().ready()
	main := b.git("rev-parse", "main")
	b.turn(session.Delivery{ID: "1", Author: ana, Text: "!run git checkout -q --detach && git -c user.name=X commit -q --allow-empty -m loose"})
	equal(t, "commit", b.git("log", "-1", oneLine), "Ana | inspect[bot] | loose")
	equal(t, "main", b.git("rev-parse", "main"), main)
	st := b.status()
	for st.Head == "" { // it did not come to look
		st = b.status()
	}
	equal(t, "branch", st.Branch, "")
}

// What an agent leaves in the middle is finished or given up, and never in the way of the next turn.
func TestUnfinishedOperations(t *testing.T) {
	diverged := `!run git checkout -q -b side && echo side > f && git add . && git commit -q -m side && git checkout -q main && echo main > f && git add . && git commit -q -m trunk`
	for _, c := range []struct{ name, text, subjects, files string }{
		{"merge with conflicts", diverged + "\n!run git merge side", "trunk", "main"},
		{"merge resolved, not committed", diverged + "\n!run git merge side; echo both > f; git add f", "Prompt|side|trunk", "both"},
		{"rebase with conflicts", diverged + "\n!run git rebase side", "trunk", "main"},
		{"cherry-pick with conflicts", diverged + "\n!run git cherry-pick side", "trunk", "main"},
		{"cherry-pick resolved", diverged + "\n!run git cherry-pick side; echo picked > f; git add f", "Prompt|trunk", "picked"},
		{"bisect", diverged + "\n!run git bisect start -q HEAD origin/main", "trunk", "main"},
		{"lock", diverged + "\n!run touch .git/index.lock ;; !write f locked", "Prompt|trunk", "locked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, session.BootFresh, newRemote(t)).start().ready()
			answer := b.turn(session.Delivery{ID: "1", Author: ana, Text: "Prompt\n" + c.text})
			equal(t, "outcome", answer.Outcome, session.PromptDone)
			subjects := strings.Split(b.git("log", "--format=%s", "HEAD", "--not", "origin/main"), "\n")
			slices.Sort(subjects) // the sides of a merge have no order
			equal(t, "commits", strings.Join(subjects, "|"), c.subjects)
			content, err := os.ReadFile(filepath.Join(b.checkout(), "f"))
			check(t, err)
			equal(t, "f", strings.TrimSpace(string(content)), c.files)
			equal(t, "status", b.git("status", "--short"), "")
			equal(t, "branch", b.git("symbolic-ref", "--short", "HEAD"), "main")
		})
	}
}

// The checkout's configuration is the agent's. It can neither run programs of its choice through our git nor keep it waiting.
func TestHostileConfiguration(t *testing.T) {
	b := newBox(t, session.BootFresh, newRemote(t)).start().ready()
	answer := b.turn(session.Delivery{ID: "1", Author: ana, Text: strings.Join([]string{
		"Prompt",
		`!run printf '#!/bin/sh\ntouch ~/hooked\nexit 1\n' > .git/hooks/pre-commit; cp .git/hooks/pre-commit .git/hooks/post-commit; chmod +x .git/hooks/*`,
		"!run git config core.hooksPath .git/hooks; git config commit.gpgsign true; git config gpg.program /bin/false; git config core.editor 'sleep 1000'",
		"!run git config core.fsmonitor 'sleep 1000'; git config core.pager 'sleep 1000'; git config log.showSignature true; git config color.ui always",
		"!run git config format.pretty oneline; git config log.decorate full; git config log.date iso; git config commit.template /nonexistent",
		"!write a.txt a",
	}, "\n")})
	equal(t, "answer", answer, session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone})
	if _, err := os.Stat(filepath.Join(b.home(), "hooked")); err == nil {
		t.Error("our git ran the agent's hook")
	}
	out, err := os.ReadFile(filepath.Join(b.checkout(), "a.txt"))
	check(t, err)
	equal(t, "file", string(out), "a\n")
	equal(t, "commit", b.git("log", "-1", "--no-show-signature", "--no-color", "--format=%an | %cn | %s"), "Ana | inspect[bot] | Prompt")
}
