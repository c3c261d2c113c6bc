package sessiontest

import (
	"bytes"
	"time"

	"openinspect/session"
)

// testPatch: a session has one patch, the newest, which counts as its files do and goes with it.
func testPatch(s *suite) {
	s.is(s.KeepPatch(s.ctx, one, "aaaa", []byte("x")), session.NotFound)
	old, young := fresh(one), fresh(two)
	young.Updated = Epoch.Add(24 * time.Hour)
	s.commit(&old, 0)
	s.commit(&young, 0)
	_, _, err := s.Patch(s.ctx, one)
	s.is(err, session.NotFound)
	s.ok(s.KeepPatch(s.ctx, one, "aaaa", []byte("first")))
	s.ok(s.KeepPatch(s.ctx, two, "", []byte("first")))
	s.ok(s.KeepPatch(s.ctx, one, "bbbb", []byte("second")))
	s.reopen()
	is := func(id session.ID, from, want string) {
		s.Helper()
		got, body, err := s.Patch(s.ctx, id)
		s.ok(err)
		same(s, "from", got, from)
		same(s, "patch", string(body), want)
	}
	is(one, "bbbb", "second")
	is(two, "", "first")
	s.ok(s.KeepPatch(s.ctx, one, "bbbb", []byte("second"))) // the same again
	is(one, "bbbb", "second")
	s.ok(s.KeepPatch(s.ctx, one, "cccc", nil))
	_, _, err = s.Patch(s.ctx, one)
	s.is(err, session.NotFound)

	// It counts beside what people attached.
	half := bytes.Repeat([]byte("x"), session.MaxSessionFiles/2)
	must(s.KeepFile(s.ctx, two, half))(s)
	s.is(s.KeepPatch(s.ctx, two, "", append(half, 'y')), session.Invalid)
	is(two, "", "first")

	s.ok(s.KeepPatch(s.ctx, one, "dddd", []byte("last")))
	s.clock.Advance(30*24*time.Hour + time.Hour)
	same(s, "removed", s.retire(30), []session.ID{one})
	_, _, err = s.Patch(s.ctx, one)
	s.is(err, session.NotFound)
	is(two, "", "first")
}
