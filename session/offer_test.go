package session_test

import (
	"fmt"
	"strings"
	"testing"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// TestOffersEnd: of ever more remarks on one pull request the last that is told says that it is; checks are told in any case.
func TestOffersEnd(t *testing.T) {
	pr := session.PullRequest{Number: 12, URL: "https://github.test/acme/web/pull/12", Commit: "aaaaaaaaaaaaaaaa", State: session.PullOpen}
	m := session.NewMachine(session.State{Session: session.Session{ID: "abcdefghij", PullRequest: &pr}})
	in := session.PullRequestSeen{PullRequest: pr}
	in.PullRequest.Head = pr.Commit
	for n := range session.MaxOffers + 5 {
		in.Remarks = append(in.Remarks, session.Remark{ID: fmt.Sprintf("c%d", n), By: session.Identity{Login: "dan"}, Text: "more"})
	}
	told := func() (offers, notices int) {
		t.Helper()
		ready, err := m.Step(sessiontest.Epoch, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range ready.Events {
			switch {
			case e.Note == nil:
			case e.Note.Kind == session.NoteOffer:
				offers++
			case e.Note.Kind == session.NoteNotice && strings.Contains(e.Note.Text, "What else is said of it there is not"):
				notices++
			}
		}
		return offers, notices
	}
	if offers, notices := told(); offers != session.MaxOffers || notices != 1 {
		t.Errorf("%d remarks were told, with %d notices", offers, notices)
	}
	in.PullRequest.Checks = session.Checks{State: session.ChecksFailed, Total: 1, Failed: []session.Check{{Name: "unit"}}}
	if offers, notices := told(); offers != 1 || notices != 0 {
		t.Errorf("%d were told after that, with %d notices", offers, notices)
	}
}
