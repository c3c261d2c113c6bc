package sessiontest

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"openinspect/session"
)

// Reopener is a Store under test that can be closed and opened anew. The suite does so between steps, to see that what it wrote is
// really kept.
type Reopener interface {
	Reopen(t *testing.T) Store
}

// TestStore holds a store to its contract. open makes an empty one, whose time is the clock's, for one test.
func TestStore(t *testing.T, open func(t *testing.T, clock session.Clock) Store) {
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"commit and load", testCommit},
		{"drafts", testDrafts},
		{"order of records", testOrder},
		{"threads", testThreads},
		{"events", testEvents},
		{"a refused commit changes nothing", testRefusedCommit},
		{"open sessions", testOpen},
		{"list", testList},
		{"unknown sessions", testUnknown},
		{"copies", testCopies},
		{"contexts", testContexts},
		{"presented", testPresented},
		{"inbox", testInbox},
		{"prune", testPrune},
		{"outbox", testOutbox},
		{"deliveries", testDeliveries},
		{"posted messages", testPosted},
		{"users", testUsers},
		{"linking", testLinking},
		{"channels", testChannels},
		{"preferences", testPreferences},
		{"followed", testFollowed},
		{"files", testFiles},
		{"patches", testPatch},
		{"routes", testRoutes},
		{"rules for merging", testMergeRules},
		{"secrets", testSecrets},
		{"audit", testAudit},
		{"audited once", testAuditOnce},
		{"audited", testAudited},
		{"links with secrets", testLinkSecrets},
		{"big events", testBigEvents},
		{"retention", testRetention},
		{"retention of messages", testMessageRetention},
		{"retention by a clock that leaps", testLeap},
		{"sandbox-hours", testLived},
		{"spare sandboxes", testSpares},
		{"images", testImages},
		{"prebuilt images", testPrebuilt},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &suite{T: t, clock: &Clock{}, ctx: t.Context()}
			s.Store = open(t, s.clock)
			test.run(s)
		})
	}
}

// suite is one test with its store.
type suite struct {
	*testing.T
	Store
	clock *Clock
	ctx   context.Context
}

// reopen is called between writing and reading.
func (s *suite) reopen() {
	s.Helper()
	if r, ok := s.Store.(Reopener); ok {
		s.Store = r.Reopen(s.T)
	}
}

// ok ends the test at an error.
func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// is checks an error's code.
func (s *suite) is(err error, want session.Code) {
	s.Helper()
	if got := session.CodeOf(err); got != want {
		s.Errorf("error %v has code %q, want %q", err, got, want)
	}
}

// must returns v, ending the test at an error.
func must[T any](v T, err error) func(*suite) T {
	return func(s *suite) T {
		s.Helper()
		s.ok(err)
		return v
	}
}

// same compares what was read with what was meant, by what they would be stored as: a nil list and an empty one are one.
func same[T any](s *suite, what string, got, want T) {
	s.Helper()
	if reflect.ValueOf(got).Kind() == reflect.Slice && reflect.ValueOf(got).Len() == 0 && reflect.ValueOf(want).Len() == 0 {
		return
	}
	if got, want := clone(got), clone(want); !reflect.DeepEqual(got, want) {
		s.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

const (
	one = session.ID("aaaaaaaaaa")
	two = session.ID("bbbbbbbbbb")
)

// fresh is a session at rest in a thread of its own.
func fresh(id session.ID) session.Session {
	return session.Session{
		ID: id, Thread: session.Thread{Team: "T1", Channel: "C1", TS: string(id)}, Requester: Ada,
		Title: "Fix the <flaky> test", Model: "anthropic/claude", Created: Epoch, Updated: Epoch,
	}
}

// commit commits a record of the session alone, with n more events.
func (s *suite) commit(ss *session.Session, n int) {
	s.Helper()
	s.ok(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: *ss}, Events: grow(ss, n)}))
}

// grow returns the session's next n events and counts them.
func grow(ss *session.Session, n int) []session.Event {
	var events []session.Event
	for range n {
		ss.Seq++
		events = append(events, session.Event{
			Seq: ss.Seq, At: Epoch.Add(time.Duration(ss.Seq) * time.Second), Kind: session.KindText, PromptID: "1.1",
			Text: &session.Text{Part: "p" + strconv.FormatInt(ss.Seq, 10), Text: strings.Repeat("é<&>", 10)},
		})
	}
	return events
}

func testCommit(s *suite) {
	ss := fresh(one)
	ss.Turn = &session.Turn{PromptID: "1.1", State: session.TurnStarted}
	ss.Sandbox = session.Sandbox{State: session.SandboxSpawning, Name: "inspect-1", Start: "s1", Starts: 1}
	first := session.Ready{
		Record: session.Record{
			Session: ss,
			Prompts: []session.Prompt{
				{ID: "1.1", Author: Ada, Text: "first", State: session.PromptRunning, At: Epoch},
				{ID: "1.2", Author: Cyd, Text: "second", State: session.PromptQueued, At: Epoch},
			},
			Cards:     []session.Card{{ID: "c1", Kind: session.CardChanges, State: session.CardOpen, Commit: "abc", At: Epoch}},
			Approvals: []session.Approval{{ID: "a1", Card: "c1", By: Cyd, State: session.ApprovalLinking, At: Epoch, Deadline: Epoch.Add(time.Hour)}},
		},
		Effects: []session.Effect{
			{ID: "e1", Kind: session.EffectStart, Boot: &session.StartRequest{Session: one, Name: "inspect-1"}},
			{ID: "e2", Kind: session.EffectPrompt, Prompt: &session.Delivery{ID: "1.1", Text: "first"}},
		},
	}
	s.ok(s.Commit(s.ctx, first))
	s.reopen()
	st := must(s.Load(s.ctx, one))(s)
	same(s, "session", st.Session, first.Record.Session)
	same(s, "prompts", st.Prompts, first.Record.Prompts)
	same(s, "cards", st.Cards, first.Record.Cards)
	same(s, "approvals", st.Approvals, first.Record.Approvals)
	same(s, "effects", st.Effects, first.Effects)

	ended := first.Record.Prompts[0]
	ended.State, ended.Ended = session.PromptDone, Epoch.Add(time.Minute)
	refused := first.Record.Approvals[0]
	refused.State, refused.Reason = session.ApprovalRefused, "no"
	done := first.Record.Cards[0]
	done.State = session.CardDone
	ss.Turn = nil
	third := session.Effect{ID: "e3", Kind: session.EffectStop, PromptID: "1.1"}
	s.ok(s.Commit(s.ctx, session.Ready{
		Record: session.Record{
			Session: ss, Prompts: []session.Prompt{ended}, Cards: []session.Card{done}, Approvals: []session.Approval{refused},
		},
		Effects: []session.Effect{third, {ID: "e4", Kind: session.EffectStop}},
		Done:    []string{"e1", "e4", "never was"},
	}))
	s.reopen()
	st = must(s.Load(s.ctx, one))(s)
	same(s, "session", st.Session, ss)
	same(s, "unfinished prompts", st.Prompts, first.Record.Prompts[1:])
	same(s, "cards", st.Cards, []session.Card{done})
	same(s, "unfinished approvals", st.Approvals, []session.Approval{})
	same(s, "unconfirmed effects", st.Effects, []session.Effect{first.Effects[1], third})
}

// testDrafts: a session keeps its draft until a commit brings another.
func testDrafts(s *suite) {
	a, b := fresh(one), fresh(two)
	s.commit(&a, 1)
	same(s, "the draft of a new session", must(s.Load(s.ctx, one))(s).Draft, session.Draft{})
	asked := session.Draft{Asked: []session.Asking{{By: Ada, Text: "fix <it>"}}}
	s.ok(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: a, Draft: &asked}}))
	asked.Asked[0].Text = "changed by its caller"
	s.ok(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: b, Draft: &session.Draft{Proposal: &session.Proposal{Title: "Other"}}}}))
	s.commit(&a, 2)
	s.reopen()
	same(s, "after other commits", must(s.Load(s.ctx, one))(s).Draft, session.Draft{Asked: []session.Asking{{By: Ada, Text: "fix <it>"}}})
	proposed := session.Draft{Asked: []session.Asking{{By: Bob, Text: "no"}}, Proposal: &session.Proposal{Title: "Fix it", Body: strings.Repeat("é<&>\n", 10_000)}}
	s.ok(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: a, Draft: &proposed}}))
	s.reopen()
	same(s, "another", must(s.Load(s.ctx, one))(s).Draft, proposed)
	same(s, "the other session's", must(s.Load(s.ctx, two))(s).Draft, session.Draft{Proposal: &session.Proposal{Title: "Other"}})
}

// testOrder: records keep the order in which they first came, whatever their ids and however often they change.
func testOrder(s *suite) {
	ss := fresh(one)
	r := session.Record{Session: ss}
	var effects []session.Effect
	for i := 12; i > 0; i-- {
		n := strconv.Itoa(i)
		r.Prompts = append(r.Prompts, session.Prompt{ID: n, State: session.PromptQueued, At: Epoch})
		r.Cards = append(r.Cards, session.Card{ID: "c" + n, At: Epoch})
		r.Approvals = append(r.Approvals, session.Approval{ID: "a" + n, State: session.ApprovalAccepted, At: Epoch})
		effects = append(effects, session.Effect{ID: "e" + n, Kind: session.EffectStop})
	}
	s.ok(s.Commit(s.ctx, session.Ready{Record: r, Effects: effects}))
	r.Prompts[3].State, r.Prompts[3].Attempt = session.PromptRunning, 1
	r.Cards[4].State = session.CardStale
	effects[5].PromptID = "again"
	s.ok(s.Commit(s.ctx, session.Ready{
		Record: session.Record{Session: ss, Prompts: r.Prompts[3:4], Cards: r.Cards[4:5]}, Effects: effects[5:6],
	}))
	s.reopen()
	st := must(s.Load(s.ctx, one))(s)
	same(s, "prompts", st.Prompts, r.Prompts)
	r.Prompts[0].State = session.PromptDone
	s.ok(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: ss, Prompts: r.Prompts[:1]}}))
	same(s, "prompts of the past", must(s.Prompts(s.ctx, one))(s), r.Prompts)
	same(s, "cards", st.Cards, r.Cards)
	same(s, "approvals", st.Approvals, r.Approvals)
	same(s, "effects", st.Effects, effects)
}

func testThreads(s *suite) {
	a, b := fresh(one), fresh(two)
	_, err := s.Find(s.ctx, a.Thread)
	s.is(err, session.NotFound)
	s.commit(&a, 0)
	b.Thread = a.Thread
	s.is(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: b}}), session.Conflict)
	_, err = s.Load(s.ctx, two)
	s.is(err, session.NotFound)
	b.Thread.Channel = "C2"
	s.commit(&b, 0)
	s.commit(&a, 1)
	s.reopen()
	same(s, "thread of one", must(s.Find(s.ctx, a.Thread))(s), one)
	same(s, "thread of two", must(s.Find(s.ctx, b.Thread))(s), two)
}

func testEvents(s *suite) {
	ss := fresh(one)
	s.commit(&ss, 0)
	same(s, "events of an empty log", must(s.Events(s.ctx, one, 0, 10))(s), nil)
	var all []session.Event
	for _, n := range []int{1, 2, 300, 1} { // past one byte of number, over several pages
		from := ss
		all = append(all, grow(&from, n)...)
		s.commit(&ss, n)
	}
	s.reopen()
	last := int64(len(all))
	for _, r := range []struct {
		after int64
		limit int
		want  []session.Event
	}{
		{0, 1000, all}, {0, 1, all[:1]}, {-5, 2, all[:2]}, {254, 4, all[254:258]}, {last - 1, 10, all[last-1:]},
		{last, 10, nil}, {last + 100, 10, nil}, {0, 0, nil}, {0, -1, nil},
	} {
		same(s, "events", must(s.Events(s.ctx, one, r.after, r.limit))(s), r.want)
	}
	big := session.Event{Seq: last + 1, At: Epoch, Kind: session.KindTool, Tool: &session.Tool{Call: "1", Output: strings.Repeat("x", 300<<10)}}
	ss.Seq++
	s.ok(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: ss}, Events: []session.Event{big}}))
	s.reopen()
	same(s, "a big event", must(s.Events(s.ctx, one, last, 10))(s), []session.Event{big})
}

// testRefusedCommit: the numbers of a log have no gap and no repeat, and what breaks that is refused whole.
func testRefusedCommit(s *suite) {
	ss := fresh(one)
	s.commit(&ss, 2)
	for name, numbers := range map[string][]int64{"gap": {4}, "repeat": {2}, "gap inside": {3, 5}, "backwards": {3, 2}, "unnumbered": {0}} {
		bad := ss
		bad.Title = "changed"
		var events []session.Event
		for _, n := range numbers {
			events = append(events, session.Event{Seq: n, At: Epoch, Kind: session.KindNote, Note: &session.Note{Text: name}})
		}
		s.is(s.Commit(s.ctx, session.Ready{
			Record:  session.Record{Session: bad, Prompts: []session.Prompt{{ID: name, State: session.PromptQueued}}},
			Effects: []session.Effect{{ID: name}}, Events: events,
		}), session.Internal)
	}
	s.is(s.Commit(s.ctx, session.Ready{}), session.Internal)
	odd := fresh(two)
	s.is(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: odd}, Events: []session.Event{{Seq: 7}}}), session.Internal)
	_, err := s.Find(s.ctx, odd.Thread)
	s.is(err, session.NotFound)
	s.reopen()
	st := must(s.Load(s.ctx, one))(s)
	same(s, "session", st.Session, ss)
	if len(st.Prompts)+len(st.Effects) > 0 {
		s.Errorf("a refused commit left %+v", st)
	}
	if n := len(must(s.Events(s.ctx, one, 0, 10))(s)); n != 2 {
		s.Errorf("%d events are stored, want 2", n)
	}
}

func testOpen(s *suite) {
	ss := fresh(one)
	other := fresh(two)
	s.commit(&other, 0)
	check := func(why string, want bool, r session.Ready) {
		s.Helper()
		r.Record.Session = ss
		s.ok(s.Commit(s.ctx, r))
		s.reopen()
		open := must(s.Store.Open(s.ctx))(s)
		if slices.Contains(open, one) != want || slices.Contains(open, two) {
			s.Errorf("%s: open is %v; want %s there: %v", why, open, one, want)
		}
		if rest := must(s.Load(s.ctx, one))(s).AtRest(); rest == want {
			s.Errorf("%s: AtRest of what is loaded is %v", why, rest)
		}
	}
	prompt := func(id string, state session.PromptState) session.Ready {
		return session.Ready{Record: session.Record{Prompts: []session.Prompt{{ID: id, State: state}}}}
	}
	approval := func(state session.ApprovalState) session.Ready {
		return session.Ready{Record: session.Record{Approvals: []session.Approval{{ID: "a1", State: state}}}}
	}
	check("new", false, session.Ready{})
	ss.Turn = &session.Turn{}
	check("a turn", true, session.Ready{})
	ss.Turn = nil
	check("no turn", false, session.Ready{})
	ss.Sandbox.State = session.SandboxReady
	check("a live sandbox", true, session.Ready{})
	ss.Sandbox.State = session.SandboxStopped
	check("a stopped sandbox", false, session.Ready{})
	check("a queued prompt", true, prompt("1", session.PromptQueued))
	check("a second one", true, prompt("2", session.PromptQueued))
	check("the first runs", true, prompt("1", session.PromptRunning))
	check("the first done", true, prompt("1", session.PromptDone))
	check("the second withdrawn", false, prompt("2", session.PromptWithdrawn))
	check("the second withdrawn again", false, prompt("2", session.PromptWithdrawn))
	check("one that comes finished", false, prompt("3", session.PromptFailed))
	check("the first again", true, prompt("1", session.PromptQueued))
	check("the first stopped", false, prompt("1", session.PromptStopped))
	check("an approval that waits", true, approval(session.ApprovalLinking))
	check("one that waits for a second", true, approval(session.ApprovalNaming))
	check("one that can be taken back", true, approval(session.ApprovalMerging))
	check("an approval accepted", true, approval(session.ApprovalAccepted))
	check("an approval done", false, approval(session.ApprovalDone))
	check("an effect", true, session.Ready{Effects: []session.Effect{{ID: "e1"}, {ID: "e2"}}})
	check("one effect done", true, session.Ready{Done: []string{"e1"}})
	check("both effects done", false, session.Ready{Done: []string{"e2"}})
	check("a card alone", false, session.Ready{Record: session.Record{Cards: []session.Card{{ID: "c1"}}}})
}

func testList(s *suite) {
	same(s, "list of nothing", must(s.List(s.ctx, 10))(s), nil)
	a, b := fresh(one), fresh(two)
	a.Updated, b.Updated = Epoch.Add(time.Minute), Epoch
	never := fresh("cccccccccc")
	never.Updated = time.Time{}
	for _, ss := range []*session.Session{&never, &b, &a} {
		s.commit(ss, 0)
	}
	s.reopen()
	same(s, "list", must(s.List(s.ctx, 10))(s), []session.Session{a, b, never})
	b.Updated = Epoch.Add(time.Hour)
	s.commit(&b, 1)
	same(s, "list of two", must(s.List(s.ctx, 2))(s), []session.Session{b, a})
	same(s, "list of none", must(s.List(s.ctx, 0))(s), nil)
}

func testUnknown(s *suite) {
	_, err := s.Load(s.ctx, one)
	s.is(err, session.NotFound)
	_, err = s.Load(s.ctx, "")
	s.is(err, session.NotFound)
	_, err = s.Events(s.ctx, one, 0, 1)
	s.is(err, session.NotFound)
	_, err = s.Presented(s.ctx, one)
	s.is(err, session.NotFound)
	_, err = s.Prompts(s.ctx, one)
	s.is(err, session.NotFound)
	s.is(s.Present(s.ctx, one, 0, []session.Message{{Key: "k"}}), session.NotFound)
	_, err = s.Message(s.ctx, "k")
	s.is(err, session.NotFound)
}

// testCopies: what a caller does to a value afterwards is not the store's business.
func testCopies(s *suite) {
	ss := fresh(one)
	ss.Participants = []session.Person{{Slack: "U1", Name: "Ada"}}
	s.commit(&ss, 0)
	ss.Participants[0].Name = "changed"
	st := must(s.Load(s.ctx, one))(s)
	st.Session.Participants[0].Name = "changed too"
	if name := must(s.Load(s.ctx, one))(s).Session.Participants[0].Name; name != "Ada" {
		s.Errorf("the stored name became %q", name)
	}
	value := []byte("value")
	s.ok(s.PutSecret(s.ctx, "k", value))
	value[0] = 'X'
	must(s.Secret(s.ctx, "k"))(s)[1] = 'X'
	same(s, "secret", string(must(s.Secret(s.ctx, "k"))(s)), "value")
}

// testContexts: nothing is begun in a context that has ended.
func testContexts(s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	ss := fresh(one)
	s.is(s.Commit(ctx, session.Ready{Record: session.Record{Session: ss}}), session.Unavailable)
	s.is(s.Put(ctx, session.Message{Key: "k"}), session.Unavailable)
	_, err := s.Load(ctx, one)
	s.is(err, session.Unavailable)
	s.reopen()
	_, err = s.Load(s.ctx, one)
	s.is(err, session.NotFound)
	_, err = s.Message(s.ctx, "k")
	s.is(err, session.NotFound)
}

func testLived(s *suite) {
	a := session.Ready{Record: session.Record{Session: fresh(one)}, Lived: []session.Lived{{Day: "2026-11-24", For: time.Hour}, {Day: "2026-11-23", For: time.Minute}}}
	s.ok(s.Commit(s.ctx, a))
	b := session.Ready{Record: session.Record{Session: fresh(two)}, Lived: []session.Lived{{Day: "2026-11-24", For: time.Second}}}
	s.ok(s.Commit(s.ctx, b))
	b.Events = []session.Event{{Seq: 7}} // out of order: nothing of it is kept
	if s.Commit(s.ctx, b) == nil {
		s.Error("events out of order were taken")
	}
	s.reopen()
	for day, want := range map[string]time.Duration{"2026-11-24": time.Hour + time.Second, "2026-11-23": time.Minute, "2026-11-22": 0} {
		same(s, day, must(s.Lived(s.ctx, day))(s), want)
	}
}
