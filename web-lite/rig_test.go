package weblite

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

const id = session.ID("abcdefghij")

// rig is a server over a real hub with a store in memory.
type rig struct {
	t      *testing.T
	ctx    context.Context
	stop   context.CancelFunc // of the hub
	store  *sessiontest.Memory
	hub    *session.Hub
	clock  *sessiontest.Clock
	web    *Server
	server *httptest.Server
	log    *safeBuffer
}

// safeBuffer may be written to by several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newRig starts everything; change may alter the configuration, whose public URL is the server's own address.
func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // a browser can take long to start on a machine that is busy
	t.Cleanup(cancel)
	r := &rig{t: t, ctx: ctx, store: sessiontest.NewStore(), clock: &sessiontest.Clock{}, log: &safeBuffer{}}
	r.store.Clock = r.clock
	world := &sessiontest.World{}
	var err error
	if r.hub, err = session.NewHub(session.HubConfig{Store: r.store, Sandboxes: world, Forge: world, Clock: r.clock}); err != nil {
		t.Fatal(err)
	}
	var running context.Context
	running, r.stop = context.WithCancel(ctx)
	if err := r.hub.Start(running); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.stop(); r.hub.Wait() })

	r.server = httptest.NewUnstartedServer(nil)
	c := Config{
		Sessions: r.hub, Key: bytes.Repeat([]byte{7}, 32), Clock: r.clock,
		PublicURL: "http://" + r.server.Listener.Addr().String(), Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	if change != nil {
		change(&c)
	}
	if r.web, err = New(c); err != nil {
		t.Fatal(err)
	}
	r.server.Config.Handler = r.web.Handler()
	r.server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10) // so that a reader that does not read is noticed soon
		return ctx
	}
	r.server.Start()
	t.Cleanup(r.server.Close)
	return r
}

// open opens the session as the bot does.
func (r *rig) open() {
	r.t.Helper()
	_, err := r.hub.Open(r.ctx, session.Opening{
		ID: id, Thread: session.Thread{Team: "T1", Channel: "C1", TS: "1.0"}, Rooted: true, Requester: sessiontest.Ada,
		Repo: session.Repo{Owner: "acme", Name: "web"}, Base: "main", Model: "anthropic/claude-sonnet-4-6",
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// keep stores a session with a log, as it would be found after a restart.
func (r *rig) keep(s session.Session, events []session.Event) {
	r.t.Helper()
	s.ID, s.Thread = id, session.Thread{Team: "T1", Channel: "C1", TS: "1.0"}
	for i := range events {
		events[i].Seq, events[i].At = int64(i+1), sessiontest.Epoch.Add(time.Duration(i)*time.Second)
	}
	s.Seq = int64(len(events))
	if err := r.store.Commit(r.ctx, session.Ready{Record: session.Record{Session: s}, Events: events}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) send(in session.Input) {
	r.t.Helper()
	if err := r.hub.Send(r.ctx, id, in); err != nil {
		r.t.Fatal(err)
	}
}

// do asks for a path of the server; header has pairs of names and values, of which Host is the request's host. Redirects are not followed.
func (r *rig) do(method, path string, header ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.ctx, method, r.server.URL+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (r *rig) get(path string, header ...string) (*http.Response, string) {
	r.t.Helper()
	res := r.do(http.MethodGet, path, header...)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res, string(body)
}

// enter follows a link and returns the cookie it leaves, as a header value.
func (r *rig) enter() string {
	r.t.Helper()
	u := r.web.Link(id)
	_, query, _ := strings.Cut(u, "?")
	res, _ := r.get("/s/" + string(id) + "?" + query)
	if res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 1 {
		r.t.Fatalf("the link answers %d with %d cookies", res.StatusCode, len(res.Cookies()))
	}
	c := res.Cookies()[0]
	return c.Name + "=" + c.Value
}

// hostile is text that would run, style or navigate if it were ever markup.
const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>` + "\u202e\x1b[31m{{.}}`"

// every returns one event of each kind at least, with text in every field.
func every(text string) []session.Event {
	exit := 1
	p := session.Person{Slack: text, Name: text, GitHub: &session.Identity{ID: 1, Login: text}}
	repo := session.Repo{Owner: text, Name: text}
	pr := session.PullRequest{Number: 12, URL: "javascript:alert(1)//" + text, Title: text, Repo: repo, Branch: text, Base: text, Commit: text, State: session.PullOpen, OpenedBy: p, Adopted: true,
		Lost: text, Reviews: []session.Review{{By: session.Identity{ID: 1, Login: text}, State: session.ReviewChanges, Commit: text}}}
	files := []session.FileChange{{Path: text, Added: 1, Deleted: 2}, {Path: text + ".png", Binary: true}}
	quoted := []byte(`{"command":"x"}`)
	return []session.Event{
		{Kind: session.KindPrompt, PromptID: text, Prompt: &session.PromptChange{Author: p, Text: text, State: session.PromptQueued, Reason: text, Position: 2}},
		{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseSetup, State: session.StepWarning, Millis: 1500, Detail: text, Output: text}},
		{Kind: session.KindTurn, PromptID: text, Turn: &session.TurnChange{State: session.TurnEnded, Outcome: session.PromptFailed, Reason: text, Card: text}},
		{Kind: session.KindText, PromptID: text, Text: &session.Text{Part: text, Text: text}},
		{Kind: session.KindReasoning, PromptID: text, Text: &session.Text{Part: text, Text: text}},
		{Kind: session.KindTool, PromptID: text, Tool: &session.Tool{Call: text, Name: text, State: session.StepDone, Title: text, Input: quoted, Output: text, Error: text, Exit: &exit, Millis: 20, Diff: "+" + text, Child: true}},
		{Kind: session.KindTodo, Todo: []session.TodoItem{{Text: text, State: text}}},
		{Kind: session.KindModel, Model: &session.ModelCall{Model: text, Usage: session.Usage{Input: 10, Output: 5, CacheRead: 3, CacheWrite: 2}, Cost: 0.25, Estimate: true, Status: 429}},
		{Kind: session.KindRetry, Retry: &session.Retry{Attempt: 2, Reason: text, Next: sessiontest.Epoch}},
		{Kind: session.KindCommits, Commits: &session.Commits{Head: text, Count: 2, Files: files, Patch: "-" + text}},
		{Kind: session.KindCard, Card: &session.Card{ID: text, Kind: session.CardChanges, State: session.CardOpen, Commit: text, Repo: repo, Base: text, Branch: text, Title: text, Body: text, Commits: 2, Files: files, Attention: []string{text}, Named: []string{text}, Tests: text, Asked: p, Draft: true, Contributors: []session.Person{p}, Outcome: text, Merging: &p, PullRequest: &pr, At: sessiontest.Epoch}},
		{Kind: session.KindApproval, Approval: &session.Approval{ID: text, Card: text, By: p, State: session.ApprovalRefused, Reason: "for the approver alone", At: sessiontest.Epoch}},
		{Kind: session.KindPullRequest, PullRequest: &pr},
		{Kind: session.KindSandbox, Sandbox: &session.SandboxChange{State: session.SandboxLost, Name: text, Reason: text}},
		{Kind: session.KindBudget, Budget: &session.BudgetChange{State: session.BudgetRaised, Pause: "b1", Spent: 5, Limit: 10, More: 5, By: session.Person{Slack: "U1", Name: text}, Reason: text}},
		{Kind: session.KindRepository, Repository: &session.RepositoryChange{State: session.RepositoryPicked, Repo: session.Repo{Owner: "acme", Name: text}, Base: text,
			By: session.Person{Slack: "U1", Name: text}, Reason: text}},
		{Kind: session.KindNote, Note: &session.Note{Kind: session.NoteQuestion, Text: text, Options: []string{text}}},
		{Kind: session.KindNote, Note: &session.Note{Kind: session.NoteNotice, Text: "for one person alone to read", Options: []string{"an option for one person"}, To: "U9"}},
		{Kind: session.KindNote, Note: &session.Note{Kind: session.NoteOffer, ID: "r1", Text: text, Quote: text, URL: "javascript:alert(1)//" + text}},
		{Kind: session.KindNote, Note: &session.Note{Kind: session.NoteOffer, ID: "r1", Over: text}},
		{Kind: session.KindError, Error: &session.Failure{Code: session.Internal, Message: text}},
	}
}
