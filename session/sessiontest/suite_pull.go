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

// testMergeRules: a repository has one rule, whatever the case of its name, and whoever changes it is audited.
func testMergeRules(s *suite) {
	rule := func(repo string, on bool, by session.Person) session.MergeRule {
		r, _ := session.ParseRepo(repo)
		return session.MergeRule{Repo: r, On: on, By: by, At: s.clock.Now()}
	}
	same(s, "rules", must(s.MergeRules(s.ctx))(s), nil)
	_, err := s.MergeRule(s.ctx, web)
	s.is(err, session.NotFound)
	s.ok(s.PutMergeRule(s.ctx, rule("acme/web", true, Ada)))
	s.ok(s.PutMergeRule(s.ctx, rule("acme/web", true, Ada))) // told again after a crash: audited once
	s.ok(s.PutMergeRule(s.ctx, rule("acme/api", false, Bob)))
	s.ok(s.PutMergeRule(s.ctx, rule("Acme/Web", false, Bob)))
	s.reopen()
	same(s, "rule", must(s.MergeRule(s.ctx, web))(s), rule("Acme/Web", false, Bob))
	same(s, "rules", must(s.MergeRules(s.ctx))(s), []session.MergeRule{rule("acme/api", false, Bob), rule("Acme/Web", false, Bob)})
	must(s.VerifyAudit(s.ctx))(s)
	log := s.audited(session.AuditQuery{})
	same(s, "audited", len(log), 3)
	same(s, "line", log[0], session.AuditRecord{At: s.clock.Now(), Action: "merge_rule", By: Ada, Result: "on for acme/web"})
	same(s, "line", log[2].Result, "off for Acme/Web")
}
