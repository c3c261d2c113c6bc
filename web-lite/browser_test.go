package weblite

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// tab is a page in headless Chromium. A dialog, an error in the script and whatever the content policy had to stop fail the test.
type tab struct {
	r   *rig
	ctx context.Context
}

// browse opens the session's link in a window of that size; where is the fragment with its #, or empty.
func (r *rig) browse(width, height int64, where string) *tab {
	r.t.Helper()
	program := os.Getenv("TEST_CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && program == "" {
			program = found
		}
	}
	if program == "" {
		if os.Getenv("TEST_ALL") == "1" {
			r.t.Fatal("no chromium: install it, or name a browser in TEST_CHROMIUM")
		}
		r.t.Skip("no chromium")
	}
	// The pages are ours and on loopback: Chromium's own sandbox, which root cannot have, guards nothing here.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(r.t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(r.ctx, options...)
	r.t.Cleanup(cancel)
	listen := func(ev any) {
		switch ev := ev.(type) {
		case *cdppage.EventJavascriptDialogOpening:
			r.t.Errorf("a dialog: %s", ev.Message)
		case *runtime.EventExceptionThrown:
			r.t.Errorf("the script fails: %s", ev.ExceptionDetails.Text)
		case *cdplog.EventEntryAdded:
			if ev.Entry.Source != cdplog.EntrySourceNetwork { // a refused request says so there
				r.t.Errorf("the browser says: %s", ev.Entry.Text)
			}
		}
	}
	ctx, _ = chromedp.NewContext(ctx, chromedp.WithListener(listen))
	r.t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until the browser is gone
	w := &tab{r: r, ctx: ctx}
	w.do() // starts it
	if _, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{}); err != nil {
		r.t.Fatal(err)
	}
	w.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(r.web.Link(id)+where))
	return w
}

func (w *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	w.r.t.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.r.t.Fatal(err)
	}
}

func (w *tab) run(statement string) {
	w.r.t.Helper()
	w.do(chromedp.Evaluate[chromedp.Void](statement))
}

// until waits until an expression is true in the page.
func (w *tab) until(expression string) {
	w.r.t.Helper()
	if err := chromedp.Do(w.ctx, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(2*time.Minute))); err != nil {
		text, _ := chromedp.Run(w.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
		w.r.t.Fatalf("%s: %v\n%s", expression, err, text)
	}
}

// is fails the test unless an expression is true in the page now.
func (w *tab) is(expression string) {
	w.r.t.Helper()
	if ok, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")")); err != nil || !ok {
		w.r.t.Errorf("not so in the page: %s (%v)", expression, err)
	}
}

// picture keeps what the page looks like, for eyes, where TEST_PICTURES names a directory.
func (w *tab) picture(name string) {
	w.r.t.Helper()
	if dir := os.Getenv("TEST_PICTURES"); dir != "" {
		b, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			w.r.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), b, 0o600); err != nil {
			w.r.t.Fatal(err)
		}
	}
}

const (
	live   = `document.getElementById("status").textContent.startsWith("Live")`
	inView = `(n => n && n.getBoundingClientRect().top >= 0 && n.getBoundingClientRect().bottom <= innerHeight)`
	atEnd  = `innerHeight + scrollY >= document.documentElement.scrollHeight - 80`
)

// TestBrowserShowsHostileText: all that a log can hold is text in the page, on a wide screen and on a telephone's.
func TestBrowserShowsHostileText(t *testing.T) {
	r := newRig(t, nil)
	events := every(hostile + strings.Repeat("x", 400))
	r.keep(session.Session{Title: hostile, Model: hostile, Participants: []session.Person{{Slack: "U1", Name: hostile}}}, events)
	for name, size := range map[string][2]int64{"wide": {1280, 900}, "narrow": {390, 844}} {
		w := r.browse(size[0], size[1], "")
		w.until(live)
		w.is(fmt.Sprintf(`document.querySelectorAll("#log > .entry").length === %d`, len(events)))
		w.run(`document.querySelectorAll("details").forEach((d) => { d.open = true; })`)
		w.until(`document.querySelectorAll("pre.diff").length >= 2`) // folds that are filled when they open
		w.is(`!document.querySelector("#log script, #log img, #log style, #log iframe, header img")`)
		w.is(`![...document.querySelectorAll("a")].some((a) => a.protocol === "javascript:")`)
		w.is(`document.getElementById("log").innerText.includes("<script>alert(1)</script>")`)
		w.is(`!/[\u202e\u001b]/.test(document.body.innerText)`)
		w.is(`!document.body.innerText.includes("for one person alone to read") && !document.body.innerText.includes("for the approver alone")`)
		w.is(`document.documentElement.scrollWidth <= innerWidth`)
		w.picture("hostile-" + name)
	}
}

// TestBrowserShowsPullRequests: who merges it, at which commit somebody approved, where a remark stands, and that GitHub does not show it; in the plain text, too.
func TestBrowserShowsPullRequests(t *testing.T) {
	r := newRig(t, nil)
	repo, commit := session.Repo{Owner: "acme", Name: "till"}, strings.Repeat("1a2b3c4d", 5)
	pr := session.PullRequest{Number: 12, URL: "https://github.test/acme/till/pull/12", Title: "Fix the test", Repo: repo, Branch: "inspect/x-fix", Base: "main", Commit: commit,
		State: session.PullOpen, OpenedBy: sessiontest.Ada, Checks: session.Checks{State: session.ChecksGreen, Total: 3},
		Reviews: []session.Review{{By: session.Identity{ID: 9, Login: "cyd"}, State: session.ReviewApproved, Commit: strings.Repeat("9", 40), Writes: true}}}
	lost := pr
	lost.Lost = "GitHub does not show this pull request to the bot any more."
	card := session.Card{ID: "c2", Kind: session.CardPullRequest, State: session.CardOpen, Commit: commit, Repo: repo, Title: "Fix the test", Commits: 1,
		Contributors: []session.Person{sessiontest.Ada}, Merging: &sessiontest.Ada, PullRequest: &pr}
	r.keep(session.Session{Title: "Fix the test"}, []session.Event{
		{Kind: session.KindApproval, Approval: &session.Approval{ID: "a2", Card: "c1", By: sessiontest.Ada, State: session.ApprovalDone, Seconds: "a1"}},
		{Kind: session.KindNote, Note: &session.Note{Kind: session.NoteNotice, Text: "`acme/shop` is called `acme/till` on GitHub now. This thread goes on there."}},
		{Kind: session.KindNote, Note: &session.Note{Kind: session.NoteOffer, ID: "r1", Text: "cyd commented on #12", Quote: "Better.", URL: pr.URL + "#r1"}},
		{Kind: session.KindNote, Note: &session.Note{Kind: session.NoteOffer, ID: "r1", Over: "#12 is merged."}},
		{Kind: session.KindCard, Card: &card},
		{Kind: session.KindApproval, Approval: &session.Approval{ID: "a3", Kind: session.ApprovalMerge, Card: "c2", By: sessiontest.Ada, State: session.ApprovalMerging}},
		{Kind: session.KindPullRequest, PullRequest: &lost},
	})
	w := r.browse(1280, 1500, "")
	w.until(live)
	for _, want := range []string{"for " + sessiontest.Ada.Name, "cyd approved at 9999999", lost.Lost} {
		w.is(fmt.Sprintf(`document.getElementById("log").innerText.includes(%q)`, want))
	}
	w.is(fmt.Sprintf(`[...document.querySelectorAll("#log h3 a")].some((a) => a.href === %q)`, pr.URL+"#r1"))
	w.picture("pull")
	_, text := r.get("/s/abcdefghij/log.txt", "Cookie", r.enter())
	for _, want := range []string{"    being merged: for " + sessiontest.Ada.Name, "    not seen: " + lost.Lost} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
}

// TestBrowserGoesToAnEntry: a link of the thread's, …#e{seq}, ends at that entry, opened and marked, also when a later number names the end of what began before.
func TestBrowserGoesToAnEntry(t *testing.T) {
	r := newRig(t, nil)
	var events []session.Event
	for i := range 400 {
		events = append(events, session.Event{Kind: session.KindTool, PromptID: "1.0", Tool: &session.Tool{
			Call: fmt.Sprint(i / 2), Name: "bash", Title: "go test ./...", State: cmp.Or(map[int]session.StepState{0: session.StepRunning}[i%2], session.StepDone), Output: fmt.Sprintln("line", i)}})
	}
	r.keep(session.Session{Title: "long"}, events)
	w := r.browse(1280, 900, "#e202")
	w.until(live)
	w.until(inView + `(document.getElementById("e202"))`)
	w.is(`document.querySelector(":target").id === "e202" && document.getElementById("e202").closest(".entry").id === "e201"`)
	w.is(`document.getElementById("e202").closest(".entry").querySelector("details").open`)
	w.picture("entry")
	w.run(`location.hash = "#e11"`)
	w.until(inView + `(document.getElementById("e11"))`)
}

// TestBrowserFollows: pieces of text as they are written, their finished text once, and the end of the page kept in view for who is there and not for who reads above.
func TestBrowserFollows(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	w := r.browse(1280, 500, "")
	w.until(live)
	r.send(session.Prompted{Prompt: session.Prompt{ID: "1.0", Author: sessiontest.Ada, Text: "fix the test"}})
	w.until(`document.getElementById("log").innerText.includes("fix the test") && document.title === "fix the test"`)
	r.hub.Live(id, session.Delta{PromptID: "1.0", Kind: session.KindText, Part: "p", Text: "<b>pie"})
	r.hub.Live(id, session.Delta{PromptID: "1.0", Kind: session.KindText, Part: "p", Offset: 6, Text: "ce</b>"})
	w.until(`document.getElementById("writing").innerText.includes("<b>piece</b>")`)
	for i := range 40 {
		r.send(session.Updated{Text: fmt.Sprintf("update %d", i)})
	}
	w.until(`document.getElementById("log").innerText.includes("update 39")`)
	w.until(atEnd)
	w.run(`scrollTo(0, 0)`)
	r.send(session.Updated{Text: "while you read above"})
	w.until(`document.getElementById("log").innerText.includes("while you read above")`)
	w.is(`scrollY === 0`)
	w.do(chromedp.Click("#end"))
	w.until(atEnd)
	w.picture("live")
}

// TestBrowserSaysThatTheLinkExpired: an open page does, in words, and stops asking.
func TestBrowserSaysThatTheLinkExpired(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	w := r.browse(1280, 900, "")
	w.until(live)
	r.clock.Advance(LinkFor)
	w.until(`document.getElementById("status").textContent.includes("expired")`)
}
