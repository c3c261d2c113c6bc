package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// Nothing is lost or doubled over lost links, a new Manager, and a new journal.
func TestJournal(t *testing.T) {
	b := attached(t)
	var want []string
	tell := func(n int) {
		for range n {
			s := fmt.Sprint(len(want))
			want = append(want, s)
			b.runner.Tell(text(s))
		}
	}
	var got []string
	var at session.Cursor
	read := func(n int) {
		t.Helper()
		var more []string
		more, at = b.texts(n)
		got = append(got, more...)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("got %v\nwant %v", got, want)
		}
	}
	tell(3)
	read(3)
	b.runner.Drop()
	tell(1200)
	read(1200)
	for range 20 {
		b.runner.Drop()
		tell(1)
		read(1)
	}
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	tell(5)
	b.Manager = b.manager()
	if err := b.Attach(b.ctx, b.request("s1", at), b.send); err != nil {
		t.Fatal(err)
	}
	read(5)
	// Another runner, another journal: the old cursor means nothing there.
	b.start("s2")
	if err := b.Attach(b.ctx, b.request("s2", at), b.send); err != nil {
		t.Fatal(err)
	}
	for len(b.inputs) > 0 { // the link to the first one may have been quick to see that it is gone
		if lost := next[session.Lost](b); lost.Start != "s1" {
			t.Errorf("got %+v", lost)
		}
	}
	tell(2)
	before := at
	read(2)
	if at.N != 2 || at.Journal == before.Journal {
		t.Errorf("cursor %v after %v", at, before)
	}
	if len(b.inputs) != 0 {
		t.Errorf("%#v came", <-b.inputs)
	}
}

func TestJournalRefused(t *testing.T) {
	b := attached(t)
	b.runner.Refuse("GET /events", link.Problem{Code: session.Invalid, Message: "no such number"})
	b.runner.Drop()
	if j := next[session.Journaled](b); len(j.Events) != 1 || j.Events[0].Error == nil {
		t.Errorf("got %+v", j)
	}
	if lost := next[session.Lost](b); lost.Reason != "The sandbox does not hand out its journal: no such number" {
		t.Errorf("got %+v", lost)
	}
}

// A disk that refuses makes the batch come again, and only once.
func TestRefusedBatchComesAgain(t *testing.T) {
	b := attached(t)
	var tries atomic.Int32
	b.refusing(func(in session.Input) error {
		if _, ok := in.(session.Journaled); ok && tries.Add(1) < 3 {
			return session.Errorf(session.Unavailable, "disk full")
		}
		return nil
	})
	b.runner.Tell(text("one"))
	b.runner.Tell(text("two"))
	if all, at := b.texts(2); strings.Join(all, " ") != "one two" || at.N != 2 {
		t.Errorf("%v at %v", all, at)
	}
}

// What can never be stored does not come for ever, and its session does not wait for it: it is told that this runner is of no use.
func TestUnstorableJournalIsLost(t *testing.T) {
	b := attached(t)
	b.refusing(func(in session.Input) error {
		if _, ok := in.(session.Journaled); ok {
			return session.Errorf(session.Internal, "no such event")
		}
		return nil
	})
	b.runner.Tell(text("one"))
	if lost := next[session.Lost](b); lost.Start != "s1" || lost.Reason != "What the sandbox tells cannot be stored." {
		t.Errorf("got %+v", lost)
	}
}

// A session that does not want a runner any more is left alone.
func TestConflictEndsAttachment(t *testing.T) {
	b := attached(t)
	b.refusing(func(session.Input) error { return session.Errorf(session.Conflict, "not yours") })
	b.runner.Tell(text("one"))
	eventually(b, "the link is given up", func() bool {
		return session.CodeOf(b.Prompt(b.ctx, id, session.Delivery{ID: "1.1"})) == session.Unavailable
	})
	b.refusing(nil)
	if err := b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send); err != nil {
		t.Fatal(err)
	}
	if all, _ := b.texts(1); all[0] != "one" {
		t.Errorf("got %v", all)
	}
}

func TestRedactedBeforeSent(t *testing.T) {
	b := attached(t)
	b.runner.Tell(session.Event{Seq: 99, Kind: session.KindTool, PromptID: "1.1", Tool: &session.Tool{
		Name: "bash", Input: json.RawMessage(`{"command":"echo \u0068unter22"}`), Output: "hunter22 ghp" + "_0123456789abcdefghij",
	}})
	e := next[session.Journaled](b).Events[0]
	if e.Seq != 0 || string(e.Tool.Input) != `{"command":"echo [redacted]"}` || e.Tool.Output != "[redacted] [redacted]" {
		t.Errorf("got %+v %s", e, e.Tool.Input)
	}
	d := session.Delta{PromptID: "1.1", Kind: session.KindText, Part: "p", Text: "it is hun"}
	b.runner.Delta(d)
	d.Offset, d.Text = 9, "ter22 now"
	b.runner.Delta(d)
	shown := ""
	for shown != "it is [redacted] " {
		select {
		case d := <-b.deltas:
			shown += d.Text
		case <-b.ctx.Done():
			t.Fatalf("shown: %q", shown)
		}
	}
}

func TestToolsAndCredentials(t *testing.T) {
	b := attached(t)
	call := func(path string, body any) (int, string) {
		t.Helper()
		status, answer, err := b.runner.Call(b.ctx, path, body)
		if err != nil {
			t.Fatal(err)
		}
		return status, answer
	}
	for _, q := range []link.CredentialRequest{
		{Protocol: "https", Host: "github.example", Path: "acme/web.git"},
		{Protocol: "https", Host: "github.example", Path: "/Acme/Web"},
	} {
		status, answer := call("/git/credential", q)
		var c link.Credential
		if err := json.Unmarshal([]byte(answer), &c); err != nil || status != 200 || c.Username != "x-access-token" || c.Password != "read-acme/web" || c.Expires.IsZero() {
			t.Errorf("%+v: %d %s %v", q, status, answer, err)
		}
	}
	if n := b.made.Load(); n != 1 {
		t.Errorf("%d credentials were made for two questions", n)
	}
	b.clock.advance(2*time.Minute + time.Second) // what is left of the first is too short
	if call("/git/credential", link.CredentialRequest{Protocol: "https", Host: "github.example", Path: "acme/web"}); b.made.Load() != 2 {
		t.Errorf("%d credentials", b.made.Load())
	}
	for _, q := range []link.CredentialRequest{
		{}, {Protocol: "https", Host: "github.example"}, {Protocol: "https", Host: "github.example", Path: "acme/other"},
		{Protocol: "http", Host: "github.example", Path: "acme/web"}, {Protocol: "https", Host: "evil.example", Path: "acme/web"},
	} {
		if status, answer := call("/git/credential", q); status != 403 || strings.Contains(answer, "read-") {
			t.Errorf("%+v: %d %s", q, status, answer)
		}
	}
	b.renamed.Store(true) // git is led from the old name to the new one, and asks for both
	for path, want := range map[string]int{"acme/web": 200, "acme/renamed": 200, "acme/other": 403} {
		if status, answer := call("/git/credential", link.CredentialRequest{Protocol: "https", Host: "github.example", Path: path}); status != want {
			t.Errorf("%s after it was renamed: %d %s", path, status, answer)
		}
	}
	call("/tools/propose_pull_request", link.ProposeRequest{Title: " Fix\nit ", Body: "with hunter22"})
	if in := next[session.Proposed](b); in.Proposal != (session.Proposal{Title: "Fix it", Body: "with [redacted]"}) {
		t.Errorf("got %+v", in)
	}
	call("/tools/post_update", link.UpdateRequest{Text: "half way"})
	if in := next[session.Updated](b); in.Text != "half way" {
		t.Errorf("got %+v", in)
	}
	call("/tools/ask", link.AskRequest{Question: "which?", Options: []string{"a", " ", "b"}})
	if in := next[session.Asked](b); in.Question != "which?" || strings.Join(in.Options, ",") != "a,b" {
		t.Errorf("got %+v", in)
	}
	var shot bytes.Buffer
	if err := png.Encode(&shot, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	call("/tools/upload", link.UploadRequest{Name: "../../evil\n.html", Alt: "a chart, hunter22", Content: shot.Bytes()})
	if in := next[session.Shown](b); !in.Asks {
		t.Errorf("got %+v", in)
	}
	in := next[session.Shown](b)
	if kept, err := b.vault.File(b.ctx, id, in.File.Hash); err != nil || !bytes.Equal(kept, shot.Bytes()) || in.Alt != "a chart, redacted" || in.File.Type != "image/png" || strings.ContainsAny(in.File.Name, "/\n") {
		t.Errorf("got %+v %v", in, err)
	}
	for name, q := range map[string]link.UploadRequest{
		"a page": {Name: "a.png", Alt: "x", Content: []byte("<svg onload=alert(1)>")}, "a head": {Alt: "x", Content: shot.Bytes()[:10]}, "no words": {Content: shot.Bytes()},
		"too large": {Alt: "x", Content: append(shot.Bytes(), make([]byte, link.MaxUpload)...)},
	} {
		if status, answer := call("/tools/upload", q); status != 400 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if status, answer := call("/model/anthropic/v1/messages", 1); status != 200 || answer != string(id) {
		t.Errorf("model: %d %s", status, answer)
	}
	if in := next[session.ModelCalled](b); in.Call.Model != "anthropic/v1/messages" {
		t.Errorf("got %+v", in)
	}
	for path, body := range map[string]any{
		"/tools/ask": link.AskRequest{}, "/tools/post_update": "not an object", "/tools/propose_pull_request": link.ProposeRequest{Title: strings.Repeat("x", link.MaxToolBody)},
	} {
		if status, answer := call(path, body); status != 400 {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if status, _ := call("/tools/other", 1); status != 404 {
		t.Errorf("unknown tool: %d", status)
	}
	b.refusing(func(session.Input) error { return session.Errorf(session.Conflict, "not in a turn") })
	if status, answer := call("/tools/post_update", link.UpdateRequest{Text: "x"}); status != 409 || !strings.Contains(answer, "not in a turn") {
		t.Errorf("refused: %d %s", status, answer)
	}
}

// What a sandbox must not send ends the link with an error event, and after three times the sandbox counts as lost.
func TestStrikes(t *testing.T) {
	for name, line := range map[string]string{
		"not JSON":     `{"n":2,`,
		"a gap":        `{"n":3,"event":{"kind":"text"}}`,
		"repeated":     `{"n":1,"event":{"kind":"text"}}`,
		"no event":     `{"n":2}`,
		"no number":    `{"event":{"kind":"text"}}`,
		"both":         `{"n":2,"event":{"kind":"text"},"delta":{"kind":"text"}}`,
		"wrong types":  `[1,2]`,
		"a long line":  `{"n":2,"event":{"kind":"` + strings.Repeat("x", link.MaxLine) + `"}}`,
		"binary":       "\x00\xff\xfe",
		"long, no end": strings.Repeat("x", 3*link.MaxLine),
	} {
		t.Run(name, func(t *testing.T) {
			b := attached(t)
			b.runner.Tell(text("fine"))
			if _, at := b.texts(1); at.N != 1 {
				t.Fatal(at)
			}
			b.runner.Raw(line)
			j := next[session.Journaled](b)
			if j.Cursor.N != 1 || len(j.Events) != 1 || j.Events[0].Kind != session.KindError || j.Events[0].PromptID != "1.1" || j.Events[0].Error.Message == "" {
				t.Fatalf("got %+v", j)
			}
			lost := next[session.Lost](b)
			if lost.Start != "s1" || lost.Reason != j.Events[0].Error.Message {
				t.Errorf("got %+v after %+v", lost, j.Events[0].Error)
			}
			if n := b.runner.Dials(); n != 3 {
				t.Errorf("%d links", n)
			}
		})
	}
}

func TestGone(t *testing.T) {
	t.Run("while attached", func(t *testing.T) {
		b := attached(t)
		b.runner.Tell(text("one"))
		b.texts(1)
		b.provider.Kill("inspect-1")
		if lost := next[session.Lost](b); lost.Start != "s1" || lost.Reason != "The sandbox is gone." {
			t.Errorf("got %+v", lost)
		}
		eventually(b, "the token is forgotten", func() bool { return b.vault.len() == 0 })
	})
	t.Run("before", func(t *testing.T) {
		b := newBench(t)
		b.start("s1")
		b.provider.Kill("inspect-1")
		if err := b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send); session.CodeOf(err) != session.NotFound {
			t.Errorf("got %v", err)
		}
		next[session.Lost](b)
	})
	t.Run("another runner is there", func(t *testing.T) {
		b := attached(t)
		b.start("s2") // by another bot, say
		if lost := next[session.Lost](b); lost.Start != "s1" {
			t.Errorf("got %+v", lost)
		}
	})
}

// The bot was upgraded, and finds a runner of another major version in a sandbox that lives: the session is told why it is of no use, the sandbox stays, and
// the next start puts a runner of this version into it, beside the files.
func TestRunnerOfAnotherVersion(t *testing.T) {
	b := attached(t)
	if err := b.Prompt(b.ctx, id, session.Delivery{ID: "1.1", Text: "written before the upgrade"}); err != nil {
		t.Fatal(err)
	}
	b.runner.Tell(text("before"))
	_, at := b.texts(1)
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.runner.Claim(func(st *link.Status) { st.Version = link.Version + 1 })
	b.Manager = b.manager()
	if err := b.Attach(b.ctx, b.request("s1", at), b.send); session.CodeOf(err) != session.NotFound {
		t.Errorf("got %v", err)
	}
	want := fmt.Sprintf("The sandbox runs version %d of the runner; this bot talks to version %d.", link.Version+1, link.Version)
	if lost := next[session.Lost](b); lost.Start != "s1" || lost.Reason != want {
		t.Errorf("got %+v", lost)
	}
	if n := b.provider.Live(); n != 1 {
		t.Errorf("%d sandboxes live", n)
	}
	b.runner.Claim(func(*link.Status) {})
	b.start("s2")
	if err := b.Attach(b.ctx, b.request("s2", at), b.send); err != nil {
		t.Fatal(err)
	}
	b.runner.Tell(text("after"))
	if all, _ := b.texts(1); all[0] != "after" || b.runner.Status().Head != "written before the upgrade" {
		t.Errorf("%q, beside %q", all, b.runner.Status().Head)
	}
	if n := b.provider.Live(); n != 1 || len(b.inputs) != 0 {
		t.Errorf("%d sandboxes live, %d inputs more", n, len(b.inputs))
	}
}

// Silence is judged by asking: a runner that answers is not lost however long it said nothing.
func TestSilence(t *testing.T) {
	t.Parallel() // it waits for answers that do not come, in real time
	b := attached(t)
	for range 5 {
		b.clock.advance(10 * time.Minute)
		b.runner.Tell(text("still here"))
		b.texts(1)
	}
	b.runner.Mute(true)
	eventually(b, "it is asked, dialled anew and given up", func() bool {
		b.clock.advance(time.Minute)
		return len(b.inputs) > 0
	})
	if lost := next[session.Lost](b); lost.Reason != "The sandbox stopped answering." {
		t.Errorf("got %+v", lost)
	}
	if b.runner.Dials() < 2 {
		t.Error("it was not dialled once more")
	}
}

// A runner that is not there yet is waited for; a provider that cannot be asked does not make it lost.
func TestConnectLimit(t *testing.T) {
	b := newBench(t)
	b.start("s1")
	b.provider.Fail("Dial", session.Errorf(session.Unavailable, "no network"))
	b.provider.Fail("Find", session.Errorf(session.Unavailable, "no network"))
	attached := make(chan error, 1)
	go func() { attached <- b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send) }()
	eventually(b, "it is dialled", func() bool { return b.provider.Calls("Dial") > 2 })
	b.clock.advance(3 * time.Minute)
	eventually(b, "the provider is asked", func() bool { return b.provider.Calls("Find") > 0 })
	b.provider.Fail("Dial", nil)
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	if len(b.inputs) != 0 {
		t.Errorf("%#v came", <-b.inputs)
	}
}

func TestNeverConnects(t *testing.T) {
	b := newBench(t)
	b.start("s1")
	b.provider.Fail("Dial", session.Errorf(session.Unavailable, "tunnel closed"))
	attached := make(chan error, 1)
	go func() { attached <- b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send) }()
	eventually(b, "it is dialled", func() bool { return b.provider.Calls("Dial") > 2 })
	b.clock.advance(3 * time.Minute)
	if lost := next[session.Lost](b); lost.Reason != "The sandbox stopped answering." {
		t.Errorf("got %+v", lost)
	}
	if err := <-attached; session.CodeOf(err) != session.NotFound {
		t.Errorf("got %v", err)
	}
}
