package bot

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"openinspect/session"
)

// What !status says of each state that a session can be in.
func TestStanding(t *testing.T) {
	now := newLeap().Now()
	b := &Bot{clock: frozen{now}, store: rules{}}
	b.presenter.init(b)
	ada, bob := session.Person{Slack: "U1", Name: "Ada <b>"}, session.Person{Slack: "U2", Name: "Bob"}
	first := session.Prompt{ID: "1.1", Author: ada, Text: "fix the <flaky> test\nin the cart"}
	second := session.Prompt{ID: "1.2", Author: bob, Text: "and the docs"}
	base := session.Session{ID: "abcdefghij", Thread: session.Thread{Team: "T1", Channel: "C1", TS: "1.1"}, Rooted: true, Requester: ada, Title: "fix the <flaky> test",
		Repo: session.Repo{Owner: "acme", Name: "web"}, Base: "main", Model: "anthropic/claude-sonnet-5", Effort: "high", Cost: 1.234}
	turn := func(t session.Turn) *session.Turn { t.PromptID, t.Began = "1.1", now.Add(-80*time.Second); return &t }
	var out strings.Builder
	for _, c := range []struct {
		what   string
		change func(*session.State)
	}{
		{"waits for its repository", func(s *session.State) {
			s.Session.Repo, s.Session.Base, s.Session.Await, s.Session.Cost = session.Repo{}, "", session.AwaitRepository, 0
			s.Prompts = []session.Prompt{first}
		}},
		{"waits for room", func(s *session.State) {
			s.Session.Turn, s.Prompts = turn(session.Turn{State: session.TurnStarted}), []session.Prompt{first, second}
			s.Session.Sandbox = session.Sandbox{State: session.SandboxPending, Place: 3}
		}},
		{"boots", func(s *session.State) {
			s.Session.Turn, s.Prompts = turn(session.Turn{State: session.TurnStarted}), []session.Prompt{first}
			s.Session.Sandbox.State = session.SandboxBooting
		}},
		{"works", func(s *session.State) {
			s.Session.Turn, s.Prompts = turn(session.Turn{State: session.TurnWorking}), []session.Prompt{first, second}
			s.Session.Sandbox.State = session.SandboxRunning
		}},
		{"is paused", func(s *session.State) {
			s.Session.Turn, s.Prompts = turn(session.Turn{State: session.TurnWorking, Pause: &session.Pause{}}), []session.Prompt{first}
			s.Session.Sandbox.State = session.SandboxRunning
		}},
		{"is being stopped", func(s *session.State) {
			s.Session.Turn, s.Prompts = turn(session.Turn{State: session.TurnWorking, Stopping: true}), []session.Prompt{first}
			s.Session.Sandbox.State = session.SandboxRunning
		}},
		{"is collected", func(s *session.State) {
			s.Session.Turn, s.Prompts = turn(session.Turn{State: session.TurnAnswered}), []session.Prompt{first}
			s.Session.Sandbox.State = session.SandboxLost
		}},
		{"is done, with changes", func(s *session.State) {
			s.Session.Ended = session.Ended{PromptID: "1.1", State: session.PromptDone, At: now.Add(-2 * time.Hour)}
			s.Session.Sandbox.State = session.SandboxStopped
			s.Cards = []session.Card{{ID: "c1", Kind: session.CardChanges, State: session.CardOpen, Commit: strings.Repeat("a", 40), Title: "Fix the <test>"}}
		}},
		{"has a pull request", func(s *session.State) {
			s.Session.Ended = session.Ended{PromptID: "1.1", State: session.PromptDone, At: now.Add(-2 * time.Hour)}
			s.Session.PullRequest = &session.PullRequest{Number: 12, URL: "https://github.test/acme/web/pull/12", State: session.PullOpen}
			s.Session.Sandbox.State, s.Session.Muted = session.SandboxSnapshotting, true
		}},
		{"waits for approvals", func(s *session.State) {
			s.Session.Ended = session.Ended{PromptID: "1.1", State: session.PromptDone, At: now.Add(-2 * time.Hour)}
			s.Session.PullRequest = &session.PullRequest{Number: 12, URL: "https://github.test/acme/web/pull/12", State: session.PullOpen,
				Reviews: []session.Review{{By: session.Identity{Login: "dan"}, State: session.ReviewApproved, Writes: true}},
				Checks:  session.Checks{State: session.ChecksFailed, Total: 2, Failed: []session.Check{{Name: "unit"}}}}
			for i, state := range []session.ApprovalState{session.ApprovalLinking, session.ApprovalNaming, session.ApprovalAccepted, session.ApprovalDone} {
				s.Approvals = append(s.Approvals, session.Approval{ID: fmt.Sprint(i), By: session.Person{Name: "B & b"}, State: state})
			}
			s.Approvals = append(s.Approvals, session.Approval{Kind: session.ApprovalReview, By: session.Person{Name: "Cyd"}, State: session.ApprovalAccepted},
				session.Approval{Kind: session.ApprovalMerge, By: session.Person{Name: "Cyd"}, State: session.ApprovalMerging})
		}},
		{"has failed", func(s *session.State) {
			s.Session.Ended = session.Ended{PromptID: "1.1", State: session.PromptFailed, At: now.Add(-5 * time.Second)}
			s.Session.Sandbox.State, s.Session.Rooted = session.SandboxFailed, false
		}},
		{"was stopped by a deletion", func(s *session.State) {
			s.Session.Ended = session.Ended{PromptID: "1.1", State: session.PromptWithdrawn, At: now.Add(-5 * time.Second)}
			s.Session.Sandbox.State = session.SandboxReady
		}},
		{"is closed", func(s *session.State) {
			s.Session.Closed, s.Session.Sandbox.State = true, session.SandboxStopped
		}},
	} {
		st := session.State{Session: base}
		c.change(&st)
		text, err := b.standing(t.Context(), conversation{id: base.ID, state: st})
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("== " + c.what + "\n" + text + "\n")
	}
	golden(t, "standing.txt", out.String())
}

// Our eyes are taken off the messages that are not run. A correction and what somebody pressed are none.
func TestShutAfterAPressRegression(t *testing.T) {
	v := view{id: "abcdefghij", thread: session.Thread{Channel: "C1", TS: "1795510800.000100"}}
	n := &session.Note{Kind: session.NoteClosed, Text: "Closed."}
	for _, id := range []string{"1795510800.000200", "1795510800.000200~1795510800.000300", "1795510800.000400-UBOB"} {
		n.Withdrawn = append(n.Withdrawn, session.Withdrawal{PromptID: id, Author: session.Person{Slack: "UBOB"}})
	}
	all := v.shut(7, "", n)
	if len(all) != 2 || all[1].Op != session.MessageUnreact || all[1].TS != "1795510800.000200" {
		t.Errorf("%+v", all)
	}
}
