package sessiontest

import (
	"time"

	"openinspect/session"
)

// testFollowed: what is open is followed, until it is merged or its session is removed.
func testFollowed(s *suite) {
	same(s, "followed", must(s.Followed(s.ctx))(s), nil)
	step := func(id session.ID, pr *session.PullRequest) {
		s.ok(s.Commit(s.ctx, session.Ready{Record: session.Record{Session: session.Session{
			ID: id, Thread: session.Thread{Team: "T", Channel: "C", TS: string(id)}, Updated: s.clock.Now(), PullRequest: pr,
		}}}))
	}
	pull := func(number int, state session.PullRequestState) *session.PullRequest {
		return &session.PullRequest{Number: number, Repo: session.Repo{Owner: "acme", Name: "web"}, State: state}
	}
	followed := func(id session.ID, number int) session.Followed {
		return session.Followed{Session: id, Repo: session.Repo{Owner: "acme", Name: "web"}, Number: number}
	}
	step("sessionaaa", nil)
	step("sessionaaa", pull(7, session.PullOpen))
	step("sessionaaa", pull(7, session.PullOpen))
	step("sessionbbb", pull(8, session.PullMerged))
	same(s, "followed", must(s.Followed(s.ctx))(s), []session.Followed{followed("sessionaaa", 7)})
	step("sessionaaa", pull(9, session.PullOpen))
	same(s, "followed after another was opened", must(s.Followed(s.ctx))(s), []session.Followed{followed("sessionaaa", 9)})
	step("sessionaaa", pull(9, session.PullClosed))
	same(s, "followed after it was closed", must(s.Followed(s.ctx))(s), nil)
	step("sessionaaa", pull(9, session.PullOpen))
	s.clock.Advance(100 * 24 * time.Hour)
	must(s.Retire(s.ctx, 90))(s)
	same(s, "followed after its session was removed", must(s.Followed(s.ctx))(s), nil)
}
