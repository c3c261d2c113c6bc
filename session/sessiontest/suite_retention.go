package sessiontest

import (
	"errors"
	"strings"
	"time"

	"openinspect/session"
)

// testLinkSecrets: what is sealed for a link is there with it or not at all.
func testLinkSecrets(s *suite) {
	ada, token := session.Identity{ID: 1, Login: "ada"}, session.SecretChange{Key: "token/U1", Value: []byte("t1")}
	s.ok(s.PutSecret(s.ctx, "flow/U1", []byte("code")))
	s.ok(s.LinkUser(s.ctx, "U1", ada, token, session.SecretChange{Key: "flow/U1"}))
	s.reopen()
	same(s, "token", string(must(s.Secret(s.ctx, "token/U1"))(s)), "t1")
	_, err := s.Secret(s.ctx, "flow/U1")
	s.is(err, session.NotFound)
	s.is(s.LinkUser(s.ctx, "U2", ada, session.SecretChange{Key: "token/U2", Value: []byte("t2")}, session.SecretChange{Key: "token/U1"}), session.Conflict)
	_, err = s.Secret(s.ctx, "token/U2")
	s.is(err, session.NotFound)
	same(s, "token after a refused link", string(must(s.Secret(s.ctx, "token/U1"))(s)), "t1")
	s.ok(s.UnlinkUser(s.ctx, "U1", session.SecretChange{Key: "token/U1"}))
	s.reopen()
	_, err = s.Secret(s.ctx, "token/U1")
	s.is(err, session.NotFound)
	same(s, "user", must(s.User(s.ctx, "U1"))(s), session.User{Slack: "U1"})
}

// testBigEvents: events of any size come back as they were, in their places, also where two are the same.
func testBigEvents(s *suite) {
	ss := fresh(one)
	big := func(n int) session.Event {
		ss.Seq++
		return session.Event{Seq: ss.Seq, At: Epoch, Kind: session.KindTool, PromptID: "1.1", Tool: &session.Tool{Call: "c", Name: "bash", State: session.StepDone, Output: strings.Repeat("é<x>\n", n)}}
	}
	want := []session.Event{big(10), big(5_000), big(10), big(40_000), big(5_000)}
	s.ok(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: ss}, Events: want}))
	s.reopen()
	same(s, "events", must(s.Events(s.ctx, one, 0, 10))(s), want)
	same(s, "the rest", must(s.Events(s.ctx, one, 3, 10))(s), want[3:])
	other := fresh(two)
	ss.Seq = 0
	again := []session.Event{big(5_000)}
	other.Seq = 1
	s.ok(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: other}, Events: again}))
	s.reopen()
	same(s, "another's", must(s.Events(s.ctx, two, 0, 10))(s), again)
}

// retire calls Retire until there is nothing left to remove.
func (s *suite) retire(days int) []session.ID {
	s.Helper()
	var all []session.ID
	for {
		ids := must(s.Retire(s.ctx, days))(s)
		if all = append(all, ids...); len(ids) == 0 {
			return all
		}
	}
}

func testRetention(s *suite) {
	aDay := 24 * time.Hour
	old, busy, untold := fresh(one), fresh(two), fresh("cccccccccc")
	old.Rooted = true
	young := fresh("dddddddddd")
	young.Updated = Epoch.Add(aDay)
	s.commit(&old, 3)
	s.ok(s.Present(s.ctx, one, 3, []session.Message{{Key: "told", Session: one, Op: session.MessagePost, Channel: "C1"}}))
	s.ok(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: busy}, Effects: []session.Effect{{ID: "e1"}}}))
	s.commit(&untold, 1)
	s.commit(&young, 0)
	s.ok(s.Store.Audit(s.ctx, session.AuditRecord{Action: "approve", Session: one}))
	s.clock.Advance(30 * aDay)
	same(s, "removed after 30 days", s.retire(30), nil) // not yet over
	s.clock.Advance(time.Hour)
	same(s, "removed", s.retire(30), []session.ID{one})
	same(s, "removed again", s.retire(30), nil)
	s.reopen()

	gone := func(err error) {
		s.Helper()
		s.is(err, session.NotFound)
		r, ok := errors.AsType[*session.Removed](err)
		if !ok || r.Days != 30 || !r.Rooted || !r.At.Equal(s.clock.Now()) {
			s.Errorf("error %v tells %+v", err, r)
		}
		if !strings.Contains(session.Sentence(err), "removed on ") || !strings.Contains(session.Sentence(err), "30 days") {
			s.Errorf("the sentence is %q", session.Sentence(err))
		}
	}
	_, err := s.Load(s.ctx, one)
	gone(err)
	_, err = s.Events(s.ctx, one, 0, 1)
	gone(err)
	_, err = s.Find(s.ctx, old.Thread)
	gone(err)
	gone(s.Present(s.ctx, one, 3, nil))
	gone(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: old}})) // an actor that had it in memory
	for _, kept := range []session.Session{busy, untold, young} {
		same(s, "kept", must(s.Load(s.ctx, kept.ID))(s).Session, kept)
	}
	if n := len(must(s.List(s.ctx, 10))(s)); n != 3 {
		s.Errorf("%d sessions are listed, want 3", n)
	}
	if n := len(s.audited(session.AuditQuery{})); n != 1 {
		s.Errorf("%d audit records, want 1", n)
	}
	must(s.VerifyAudit(s.ctx))(s)

	again := fresh("eeeeeeeeee")
	again.Thread = old.Thread
	again.Updated = s.clock.Now()
	s.commit(&again, 1)
	s.reopen()
	same(s, "the thread's new session", must(s.Find(s.ctx, old.Thread))(s), again.ID)
	_, err = s.Load(s.ctx, one)
	gone(err)
	third := fresh("ffffffffff")
	third.Thread = old.Thread
	s.is(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: third}}), session.Conflict)
}

// testLeap: a clock that somebody sets a year ahead does not empty the store at once, and one that is set right again in time costs nothing.
func testLeap(s *suite) {
	aDay := 24 * time.Hour
	old := fresh(one)
	s.commit(&old, 0)
	same(s, "removed at first", s.retire(30), nil)
	s.clock.Advance(365 * aDay)
	late := fresh(two)
	late.Updated = s.clock.Now()
	s.commit(&late, 0)
	for day := range 30 {
		same(s, "removed after a leap", s.retire(30), nil)
		if day == 15 {
			s.reopen()
		}
	}
	same(s, "removed a month of removals later", s.retire(30), []session.ID{one})
	same(s, "kept", must(s.Load(s.ctx, two))(s).Session, late)
}

func testMessageRetention(s *suite) {
	ss, kept := fresh(one), fresh(two)
	s.commit(&ss, 0)
	kept.Updated = Epoch.Add(100 * 24 * time.Hour)
	s.commit(&kept, 0)
	put := func(key string, of session.ID, sent bool) {
		s.Helper()
		s.ok(s.Put(s.ctx, session.Message{Key: key, Session: of, Op: session.MessagePost, Channel: "C1"}))
		if sent {
			s.ok(s.Sent(s.ctx, key, 1, "9."+key, ""))
		}
	}
	put("1", one, true)
	put("2", two, true)
	put("3", "", true)
	put("4", "", false)
	put("5", "", false)
	s.ok(s.Sent(s.ctx, "5", 1, "", "channel_not_found"))
	s.clock.Advance(80 * 24 * time.Hour)
	put("6", "", true)
	s.clock.Advance(20 * 24 * time.Hour)
	same(s, "removed", s.retire(90), []session.ID{one})
	s.reopen()
	for key, want := range map[string]bool{"1": false, "2": true, "3": false, "4": true, "5": false, "6": true} {
		_, err := s.Message(s.ctx, key)
		if there := err == nil; there != want {
			s.Errorf("message %s is there: %v, want %v", key, there, want)
		}
		if _, err := s.MessageAt(s.ctx, "C1", "9."+key); (err == nil) != (want && key != "4") {
			s.Errorf("message %s by its place: %v", key, err)
		}
	}
	s.pending("4")
}
