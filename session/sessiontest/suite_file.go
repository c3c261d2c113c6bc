package sessiontest

import (
	"bytes"
	"time"

	"openinspect/session"
)

func testFiles(s *suite) {
	_, err := s.KeepFile(s.ctx, one, []byte("x"))
	s.is(err, session.NotFound)
	old, young := fresh(one), fresh(two)
	young.Updated = Epoch.Add(24 * time.Hour)
	s.commit(&old, 0)
	s.commit(&young, 0)
	picture := bytes.Repeat([]byte("picture"), 1000)
	hash := must(s.KeepFile(s.ctx, one, picture))(s)
	same(s, "hash of the same", must(s.KeepFile(s.ctx, one, picture))(s), hash)
	_, err = s.File(s.ctx, two, hash)
	s.is(err, session.NotFound)
	same(s, "hash in another session", must(s.KeepFile(s.ctx, two, picture))(s), hash)
	other := must(s.KeepFile(s.ctx, one, []byte("other")))(s)
	s.reopen()
	for _, id := range []session.ID{one, two} {
		if got := must(s.File(s.ctx, id, hash))(s); !bytes.Equal(got, picture) {
			s.Errorf("%s: %d bytes came back", id, len(got))
		}
	}
	for _, name := range []string{"", "zz", "../" + hash, hash[2:]} {
		_, err = s.File(s.ctx, one, name)
		s.is(err, session.NotFound)
	}

	// A session that is removed takes its files with it, but not those that another has.
	s.clock.Advance(30*24*time.Hour + time.Hour)
	same(s, "removed", s.retire(30), []session.ID{one})
	_, err = s.File(s.ctx, one, other)
	s.is(err, session.NotFound)
	if got := must(s.File(s.ctx, two, hash))(s); !bytes.Equal(got, picture) {
		s.Errorf("%d bytes came back", len(got))
	}
}
