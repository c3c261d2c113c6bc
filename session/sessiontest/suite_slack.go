package sessiontest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"openinspect/session"
)

func testPresented(s *suite) {
	ss := fresh(one)
	s.commit(&ss, 0)
	same(s, "unpresented without events", must(s.Unpresented(s.ctx))(s), nil)
	s.commit(&ss, 3)
	check := func(want int64, unpresented ...session.ID) {
		s.Helper()
		s.reopen()
		if got := must(s.Presented(s.ctx, one))(s); got != want {
			s.Errorf("presented is %d, want %d", got, want)
		}
		same(s, "unpresented", must(s.Unpresented(s.ctx))(s), unpresented)
	}
	check(0, one)
	status := session.Message{Key: "status", Session: one, Op: session.MessagePost, Channel: "C1", Text: "works"}
	s.ok(s.Present(s.ctx, one, 2, []session.Message{status}))
	check(2, one)
	same(s, "text", must(s.Message(s.ctx, "status"))(s).Text, "works")
	s.ok(s.Present(s.ctx, one, 3, nil))
	check(3)
	s.is(s.Present(s.ctx, one, 4, []session.Message{{Key: "early", Op: session.MessagePost}}), session.Invalid)
	_, err := s.Message(s.ctx, "early")
	s.is(err, session.NotFound)
	s.is(s.Present(s.ctx, one, 3, []session.Message{{Key: "fine"}, {}}), session.Invalid)
	_, err = s.Message(s.ctx, "fine")
	s.is(err, session.NotFound)
	s.ok(s.Present(s.ctx, one, 1, nil))
	check(3)
	s.commit(&ss, 1)
	check(3, one)
	s.commit(&ss, 0)
	check(3, one)
	s.ok(s.Present(s.ctx, one, 4, nil))
	check(4)
}

func (s *suite) receive(key, also string, want bool) {
	s.Helper()
	r := session.Received{Key: key, Also: also, Kind: "events_api", Payload: json.RawMessage(`{"of":"` + key + `"}`)}
	if fresh := must(s.Receive(s.ctx, r))(s); fresh != want {
		s.Errorf("Receive(%q, %q) is %v, want %v", key, also, fresh, want)
	}
}

func keys(received []session.Received) []string {
	var keys []string
	for _, r := range received {
		keys = append(keys, r.Key)
	}
	return keys
}

func testInbox(s *suite) {
	same(s, "empty inbox", must(s.Inbox(s.ctx))(s), nil)
	s.receive("Ev3", "C1:1.1", true)
	s.receive("Ev1", "", true)
	s.receive("Ev2", "C1:1.2", true)
	s.receive("Ev3", "", false)
	s.receive("Ev4", "C1:1.2", false)
	s.receive("C1:1.1", "", false) // read again from the thread, it has no event id
	_, err := s.Receive(s.ctx, session.Received{Kind: "events_api"})
	s.is(err, session.Invalid)
	s.reopen()
	all := must(s.Inbox(s.ctx))(s)
	same(s, "inbox", keys(all), []string{"Ev3", "Ev1", "Ev2"})
	same(s, "event", all[0], session.Received{
		Key: "Ev3", Also: "C1:1.1", Kind: "events_api", Payload: json.RawMessage(`{"of":"Ev3"}`), At: s.clock.Now(),
	})
	s.ok(s.Handled(s.ctx, "Ev1"))
	s.ok(s.Handled(s.ctx, "Ev1"))
	s.ok(s.Handled(s.ctx, "unknown"))
	s.reopen()
	same(s, "inbox", keys(must(s.Inbox(s.ctx))(s)), []string{"Ev3", "Ev2"})
	s.receive("Ev1", "", false)
	s.ok(s.Handled(s.ctx, "Ev3"))
	s.receive("Ev5", "C1:1.1", false)
	came := s.clock.Now()
	for _, identity := range []string{"Ev1", "C1:1.1"} { // handled ones too
		if at := must(s.Seen(s.ctx, identity))(s); !at.Equal(came) {
			s.Errorf("%s was seen at %v, want %v", identity, at, came)
		}
	}
	_, err = s.Seen(s.ctx, "Ev5")
	s.is(err, session.NotFound)
	s.clock.Advance(day - time.Second)
	s.receive("Ev3", "", false)
	s.clock.Advance(time.Second)
	_, err = s.Seen(s.ctx, "Ev3")
	s.is(err, session.NotFound)
	s.receive("Ev3", "C1:1.1", true)
	s.receive("Ev3", "", false)

	// A reaction's trace is no reason to take another for a repeat. It has the time it is given.
	came = s.clock.Now()
	trace := session.ReactionTrace + "C1/1.1/U1/ship"
	read := came.Add(-time.Minute)
	for key, at := range map[string]time.Time{"Ev8": {}, "Ev9": read} {
		if fresh := must(s.Receive(s.ctx, session.Received{Key: key, Trace: trace + key, Kind: "events_api", Payload: json.RawMessage(`{}`), At: at}))(s); !fresh {
			s.Errorf("%s is not fresh", key)
		}
	}
	if fresh := must(s.Receive(s.ctx, session.Received{Key: session.ReactionTrace + "read/1", Trace: trace + "Ev8", Kind: "events_api", Payload: json.RawMessage(`{}`)}))(s); fresh {
		s.Error("a reaction that was sent, and read at the same time, counts twice")
	}
	if fresh := must(s.Receive(s.ctx, session.Received{Key: "Ev10", Trace: trace + "Ev8", Kind: "events_api", Payload: json.RawMessage(`{}`)}))(s); !fresh {
		s.Error("a trace makes a repeat")
	}
	// One that was read after it had been taken off is new, unless it was sent since; and what Slack sends late does not make it older.
	again := session.Received{Key: session.ReactionTrace + "read/2", Trace: trace + "Ev8", Kind: "events_api", Payload: json.RawMessage(`{}`), Since: came.Add(-time.Second)}
	if fresh := must(s.Receive(s.ctx, again))(s); fresh {
		s.Error("a reaction that was sent after it was taken off, and read at the same time, counts twice")
	}
	again.Key, again.Trace, again.At, again.Since = session.ReactionTrace+"read/3", trace+"Ev9", came, came.Add(-time.Second)
	if fresh := must(s.Receive(s.ctx, again))(s); !fresh {
		s.Error("a reaction that was read after it was taken off is not fresh")
	}
	if fresh := must(s.Receive(s.ctx, session.Received{Key: "Ev11", Trace: trace + "Ev9", Kind: "events_api", Payload: json.RawMessage(`{}`), At: read}))(s); !fresh {
		s.Error("a trace makes a repeat")
	}
	// One that was read twice is one, though it was heard only in between that it had been taken off before that.
	older := session.Received{Key: session.ReactionTrace + "read/4", Trace: trace + "Ev12", Kind: "events_api", Payload: json.RawMessage(`{}`), At: came, Asked: came}
	if fresh := must(s.Receive(s.ctx, older))(s); !fresh {
		s.Error("a reaction that was read is not fresh")
	}
	for since, want := range map[time.Time]bool{came.Add(-time.Hour): false, came.Add(time.Second): true} {
		again := older
		again.Key, again.Since = session.ReactionTrace+"read/5/"+since.String(), since
		if fresh := must(s.Receive(s.ctx, again))(s); fresh != want {
			s.Errorf("a reaction that was taken off %v after it was read, and read again: fresh is %v", since.Sub(came), fresh)
		}
	}
	if at := must(s.Seen(s.ctx, session.LastAsked(trace+"Ev12")))(s); !at.Equal(came) {
		s.Errorf("it was asked for at %v, want %v", at, came)
	}
	read = came.Add(-time.Second + time.Microsecond)
	s.clock.Advance(session.TraceKept - 2*time.Minute)
	for key, want := range map[string]time.Time{"Ev8": came, "Ev9": read} {
		if at := must(s.Seen(s.ctx, trace+key))(s); !at.Equal(want) {
			s.Errorf("%s was seen at %v, want %v", key, at, want)
		}
	}
}

func testPrune(s *suite) {
	s.receive("old", "C1:1", true)
	s.receive("old and handled", "", true)
	s.ok(s.Handled(s.ctx, "old and handled"))
	s.clock.Advance(time.Hour)
	s.receive("young", "C1:2", true)
	s.clock.Advance(day - time.Hour)
	s.ok(s.Prune(s.ctx))
	same(s, "inbox", keys(must(s.Inbox(s.ctx))(s)), []string{"young"})
	s.receive("young", "", false)
	s.receive("old", "", true)
	s.reopen()
	same(s, "inbox", keys(must(s.Inbox(s.ctx))(s)), []string{"young", "old"})
}

func (s *suite) pending(want ...string) {
	s.Helper()
	s.reopen()
	var got []string
	for _, m := range must(s.Pending(s.ctx))(s) {
		got = append(got, m.Key)
	}
	if !slices.Equal(got, want) {
		s.Errorf("pending is %q, want %q", got, want)
	}
}

// message checks the counters of a stored message.
func (s *suite) message(key string, version, sent int64, ts string) session.Message {
	s.Helper()
	m := must(s.Message(s.ctx, key))(s)
	if m.Version != version || m.Sent != sent || m.TS != ts {
		s.Errorf("%s is version %d, sent %d, at %q; want %d, %d, %q", key, m.Version, m.Sent, m.TS, version, sent, ts)
	}
	return m
}

func testOutbox(s *suite) {
	s.pending()
	b := session.Message{
		Key: "b", Op: session.MessagePost, Channel: "C1", Thread: "1.0", Text: "hello <b>",
		Blocks: json.RawMessage(`[ {"type":"section"} ]`), Subject: session.Subject{Kind: "status", PromptID: "1.1"},
		Version: 7, Sent: 7, Failed: "no", Order: 99, // the store's to say
	}
	s.ok(s.Put(s.ctx, b, session.Message{Key: "a", Op: session.MessagePost, Text: "second"}))
	s.ok(s.Put(s.ctx))
	s.pending("b", "a")
	got := s.message("b", 1, 0, "")
	want := b
	want.Version, want.Sent, want.Failed, want.Order = 1, 0, "", got.Order
	same(s, "message", got, want)

	s.ok(s.Put(s.ctx, b))
	s.message("b", 1, 0, "")
	b.Blocks = json.RawMessage(`[{"type":"section"}]`)
	s.ok(s.Put(s.ctx, b))
	s.message("b", 1, 0, "")
	b.Text = "hello again"
	s.ok(s.Put(s.ctx, session.Message{Key: "c"}, b))
	s.message("b", 2, 0, "")
	s.pending("b", "a", "c")
	if order := must(s.Message(s.ctx, "b"))(s).Order; order != got.Order {
		s.Errorf("an edit moved the message from place %d to %d", got.Order, order)
	}
	s.is(s.Put(s.ctx, session.Message{Key: "d"}, session.Message{}), session.Invalid)
	_, err := s.Message(s.ctx, "d")
	s.is(err, session.NotFound)
}

func testDeliveries(s *suite) {
	m := session.Message{Key: "m", Op: session.MessagePost, Channel: "C1", Text: "one"}
	s.ok(s.Put(s.ctx, m, session.Message{Key: "n", Op: session.MessagePost, Channel: "C1"}))
	s.ok(s.Sent(s.ctx, "m", 1, "5.5", ""))
	s.pending("n")
	s.message("m", 1, 1, "5.5")
	m.Text = "two"
	s.ok(s.Put(s.ctx, m))
	s.pending("m", "n")
	s.message("m", 2, 1, "5.5")
	s.ok(s.Sent(s.ctx, "m", 2, "", ""))
	s.ok(s.Sent(s.ctx, "m", 1, "5.5", "")) // an answer that comes late
	s.message("m", 2, 2, "5.5")
	s.pending("n")

	s.ok(s.Sent(s.ctx, "n", 1, "", "channel_not_found"))
	s.pending()
	if f := s.message("n", 1, 0, "").Failed; f != "channel_not_found" {
		s.Errorf("failed is %q", f)
	}
	s.ok(s.Put(s.ctx, session.Message{Key: "n", Op: session.MessagePost, Channel: "C1"}))
	s.pending()
	if all := must(s.Refused(s.ctx))(s); len(all) != 1 || all[0].Key != "n" {
		s.Errorf("refused are %+v", all)
	}
	s.ok(s.TryAgain(s.ctx, "n", "m")) // m was not refused
	s.pending("n")
	s.message("n", 1, 0, "")
	if all := must(s.Refused(s.ctx))(s); len(all) != 0 {
		s.Errorf("refused are %+v", all)
	}
	s.is(s.TryAgain(s.ctx, "n", "unknown"), session.NotFound)
	s.ok(s.Sent(s.ctx, "n", 1, "", "is_archived"))
	s.pending()
	s.ok(s.Put(s.ctx, session.Message{Key: "n", Op: session.MessagePost, Channel: "C1", Text: "other"}))
	s.pending("n")
	s.ok(s.Sent(s.ctx, "n", 1, "", "too late to matter"))
	s.pending("n")
	s.ok(s.Sent(s.ctx, "n", 2, "6.6", ""))
	s.pending()
	s.message("n", 2, 2, "6.6")

	s.is(s.Sent(s.ctx, "n", 3, "", ""), session.Invalid)
	s.is(s.Sent(s.ctx, "unknown", 1, "", ""), session.NotFound)
}

func testPosted(s *suite) {
	at := func(channel, ts, want string) {
		s.Helper()
		m, err := s.MessageAt(s.ctx, channel, ts)
		if want == "" {
			s.is(err, session.NotFound)
		} else if s.ok(err); m.Key != want {
			s.Errorf("at %s %s is %q, want %q", channel, ts, m.Key, want)
		}
	}
	at("C1", "", "")
	m := session.Message{Key: "m", Op: session.MessagePost, Channel: "C1"}
	react := session.Message{Key: "eyes", Op: session.MessageReact, Channel: "C1", TS: "1.0", Emoji: "eyes"}
	s.ok(s.Put(s.ctx, m, react, session.Message{Key: "unsent", Op: session.MessagePost, Channel: "C1"}))
	at("C1", "1.0", "") // a person's message, to which the bot reacted
	at("C1", "", "")
	s.ok(s.Sent(s.ctx, "m", 1, "2.0", ""))
	s.ok(s.Sent(s.ctx, "eyes", 1, "1.0", ""))
	s.reopen()
	at("C1", "2.0", "m")
	at("C2", "2.0", "")
	at("C1", "1.0", "")
	m.Text = "edited"
	s.ok(s.Put(s.ctx, m))
	at("C1", "2.0", "m")
	s.ok(s.Sent(s.ctx, "m", 2, "3.0", "")) // posted anew
	s.reopen()
	at("C1", "2.0", "")
	at("C1", "3.0", "m")
	direct := session.Message{Key: "d", Op: session.MessageDirect, User: "U1"}
	s.ok(s.Put(s.ctx, direct))
	direct.Channel = "D1"
	s.ok(s.Put(s.ctx, direct))
	s.ok(s.Sent(s.ctx, "d", 2, "4.0", ""))
	at("D1", "4.0", "d")
}

func testUsers(s *suite) {
	_, err := s.User(s.ctx, "U1")
	s.is(err, session.NotFound)
	u := session.User{Slack: "U1", GitHub: &session.Identity{ID: 1, Login: "ada"}, LinkedAt: Epoch}
	s.ok(s.PutUser(s.ctx, u))
	s.reopen()
	same(s, "user", must(s.User(s.ctx, "U1"))(s), u)
	s.is(s.PutUser(s.ctx, session.User{Slack: "U2", GitHub: &session.Identity{ID: 1}}), session.Conflict)
	_, err = s.User(s.ctx, "U2")
	s.is(err, session.NotFound)
	u.GitHub = &session.Identity{ID: 3, Login: "ada3"}
	s.ok(s.PutUser(s.ctx, u))
	s.ok(s.PutUser(s.ctx, session.User{Slack: "U2", GitHub: &session.Identity{ID: 1}}))
	s.is(s.LinkUser(s.ctx, "U4", session.Identity{ID: 3}), session.Conflict)
}

func testLinking(s *suite) {
	ada, other := session.Identity{ID: 1, Login: "ada"}, session.Identity{ID: 2, Login: "other"}
	s.ok(s.UnlinkUser(s.ctx, "U1"))
	s.ok(s.LinkUser(s.ctx, "U1", ada))
	s.reopen()
	same(s, "user", must(s.User(s.ctx, "U1"))(s), session.User{Slack: "U1", GitHub: &ada, LinkedAt: s.clock.Now()})
	for _, err := range []error{s.LinkUser(s.ctx, "U2", ada), s.LinkUser(s.ctx, "U1", other)} {
		s.is(err, session.Conflict)
		if session.Sentence(err) == session.Sentence(nil) {
			s.Errorf("%v has no sentence for a person", err)
		}
	}
	_, err := s.User(s.ctx, "U2")
	s.is(err, session.NotFound)
	linked := s.clock.Now()
	s.clock.Advance(time.Hour)
	renamed := session.Identity{ID: 1, Login: "ada-l"}
	s.ok(s.LinkUser(s.ctx, "U1", renamed))
	same(s, "user", must(s.User(s.ctx, "U1"))(s), session.User{Slack: "U1", GitHub: &renamed, LinkedAt: linked})
	s.ok(s.UnlinkUser(s.ctx, "U1"))
	s.reopen()
	same(s, "user", must(s.User(s.ctx, "U1"))(s), session.User{Slack: "U1"})
	s.ok(s.LinkUser(s.ctx, "U2", ada))
	s.is(s.LinkUser(s.ctx, "U1", ada), session.Conflict)
	s.ok(s.LinkUser(s.ctx, "U1", other))
}

func testChannels(s *suite) {
	_, err := s.Channel(s.ctx, "C1")
	s.is(err, session.NotFound)
	c := session.Channel{ID: "C1", Repo: session.Repo{Owner: "acme", Name: "web"}}
	s.ok(s.PutChannel(s.ctx, c))
	s.reopen()
	same(s, "channel", must(s.Channel(s.ctx, "C1"))(s), c)
	c.By = Ada
	s.ok(s.PutChannel(s.ctx, c))
	s.ok(s.PutChannel(s.ctx, c)) // told again after a crash: audited once
	same(s, "audit log", s.audited(session.AuditQuery{}), []session.AuditRecord{{At: s.clock.Now(), Action: "channel", By: Ada, Result: "C1 to acme/web"}})
	c.Repo = session.Repo{}
	s.ok(s.PutChannel(s.ctx, c))
	same(s, "channel", must(s.Channel(s.ctx, "C1"))(s), c)
}

func testRoutes(s *suite) {
	same(s, "routes", must(s.Routes(s.ctx))(s), nil)
	route := func(keyword string, repo string) session.Route {
		r, _ := session.ParseRepo(repo)
		return session.Route{Keyword: keyword, Repo: r, By: Ada, At: s.clock.Now()}
	}
	s.is(s.PutRoute(s.ctx, route("payments", "")), session.NotFound)
	s.ok(s.PutRoute(s.ctx, route("payments", "acme/api")))
	s.ok(s.PutRoute(s.ctx, route("check out", "acme/api")))
	again := route("check out", "acme/api")
	again.At = again.At.Add(time.Minute)
	s.ok(s.PutRoute(s.ctx, again)) // told again after a crash: audited once
	s.ok(s.PutRoute(s.ctx, route("check out", "acme/web")))
	s.reopen()
	same(s, "routes", must(s.Routes(s.ctx))(s), []session.Route{route("check out", "acme/web"), route("payments", "acme/api")})
	s.ok(s.PutRoute(s.ctx, route("payments", "")))
	same(s, "routes", must(s.Routes(s.ctx))(s), []session.Route{route("check out", "acme/web")})
	for i := range session.MaxRoutes - 1 {
		s.ok(s.PutRoute(s.ctx, route(fmt.Sprint("word ", i), "acme/api")))
	}
	s.is(s.PutRoute(s.ctx, route("one more", "acme/api")), session.Conflict)
	s.ok(s.PutRoute(s.ctx, route("word 1", "acme/web")))
	s.reopen()
	same(s, "number of routes", len(must(s.Routes(s.ctx))(s)), session.MaxRoutes)
	must(s.VerifyAudit(s.ctx))(s)
	log := s.audited(session.AuditQuery{})
	same(s, "audited", len(log), 4+session.MaxRoutes)
	same(s, "route", log[0], session.AuditRecord{At: s.clock.Now(), Action: "route", By: Ada, Result: `"payments" to acme/api`})
	same(s, "removal", log[3].Result, `"payments" to none`)
}

func testPreferences(s *suite) {
	_, err := s.Preferences(s.ctx, "U1")
	s.is(err, session.NotFound)
	p := session.Preferences{Slack: "U1", Model: "anthropic/claude-opus-4-5", Effort: "high", Branches: map[string]string{"acme/web": "dev"}}
	for _, id := range []session.ID{"aaaaaaaaaa", "bbbbbbbbbb", "aaaaaaaaaa"} {
		p.Visited(id)
	}
	same(s, "recent", p.Recent, []session.ID{"aaaaaaaaaa", "bbbbbbbbbb"})
	s.ok(s.PutPreferences(s.ctx, p))
	s.reopen()
	same(s, "preferences", must(s.Preferences(s.ctx, "U1"))(s), p)
	_, err = s.Preferences(s.ctx, "U2")
	s.is(err, session.NotFound)
	s.ok(s.PutPreferences(s.ctx, session.Preferences{Slack: "U1"}))
	same(s, "preferences", must(s.Preferences(s.ctx, "U1"))(s), session.Preferences{Slack: "U1"})
}

func testSecrets(s *suite) {
	_, err := s.Secret(s.ctx, "user/1")
	s.is(err, session.NotFound)
	s.ok(s.DeleteSecret(s.ctx, "user/1"))
	for _, key := range []string{"user/2", "user/1", "link/1", "user"} {
		s.ok(s.PutSecret(s.ctx, key, []byte("of "+key)))
	}
	s.ok(s.PutSecret(s.ctx, "user/1", []byte("newer")))
	s.ok(s.PutSecret(s.ctx, "empty", nil))
	s.reopen()
	same(s, "secret", string(must(s.Secret(s.ctx, "user/1"))(s)), "newer")
	same(s, "secret", string(must(s.Secret(s.ctx, "user/2"))(s)), "of user/2")
	same(s, "empty secret", string(must(s.Secret(s.ctx, "empty"))(s)), "")
	same(s, "keys", must(s.Secrets(s.ctx, "user/"))(s), []string{"user/1", "user/2"})
	same(s, "all keys", must(s.Secrets(s.ctx, ""))(s), []string{"empty", "link/1", "user", "user/1", "user/2"})
	same(s, "no keys", must(s.Secrets(s.ctx, "v"))(s), nil)
	s.ok(s.DeleteSecret(s.ctx, "user/1"))
	s.reopen()
	_, err = s.Secret(s.ctx, "user/1")
	s.is(err, session.NotFound)
}
