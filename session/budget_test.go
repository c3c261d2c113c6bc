package session_test

import (
	"context"
	"errors"
	"testing"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// atWork opens a session and brings a turn of it to the point where the agent works.
func (b *bench) atWork() session.ID {
	b.t.Helper()
	id := b.open()
	b.prompt(id, "1.1")
	b.until(id, sandboxIs(session.SandboxBooting))
	b.journal(id, 1, readyEvent)
	b.until(id, working)
	return id
}

func begun(id string) session.CallBegun {
	return session.CallBegun{Call: session.OpenCall{ID: id, Call: session.ModelCall{Usage: session.Usage{Input: 100}, Cost: 0.25, Estimate: true}}}
}

func called(id string, cost float64) session.ModelCalled {
	return session.ModelCalled{ID: id, Call: session.ModelCall{Usage: session.Usage{Output: 1}, Cost: cost}}
}

func budgetIs(state session.BudgetState) func(session.Event) bool {
	return func(e session.Event) bool { return e.Budget != nil && e.Budget.State == state }
}

// limited is a session at work that may cost a dollar.
func limited(t *testing.T) (*bench, session.ID) {
	t.Helper()
	b := newBench(t)
	b.stop()
	b.cost = 1
	b.start()
	return b, b.atWork()
}

// hold lets a call wait, and returns where its answer comes once the thread is asked.
func (b *bench) hold(id session.ID) <-chan error {
	b.t.Helper()
	answer := make(chan error, 1)
	go func() { answer <- b.hub.Send(b.t.Context(), id, session.CallHeld{}) }()
	b.until(id, budgetIs(session.BudgetAsked))
	return answer
}

// Calls over budget wait in the actor, all of them, until somebody allows more; whoever gives up waiting is forgotten.
func TestHeldCalls(t *testing.T) {
	b, id := limited(t)
	b.send(id, begun("x1"))
	b.send(id, called("x1", 1))
	if err := b.hub.Send(t.Context(), id, begun("x2")); !errors.Is(err, session.ErrHeld) {
		t.Fatalf("a call over budget: %v", err)
	}
	gone, give := context.WithCancel(t.Context())
	left, answers := make(chan error, 1), make(chan error, 3)
	go func() { left <- b.hub.Send(gone, id, session.CallHeld{}) }()
	b.until(id, budgetIs(session.BudgetAsked))
	for range 3 {
		go func() { answers <- b.hub.Send(t.Context(), id, session.CallHeld{}) }()
	}
	give()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	select {
	case err := <-answers:
		t.Fatalf("a held call was let go: %v", err)
	default:
	}
	b.send(id, session.Raised{By: sessiontest.Bob, Pause: "b1"})
	for range 3 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	b.send(id, begun("x2"))
}

// A bot that stops lets held calls go with ErrStopped; the next one holds them again, and the question is the same one.
func TestHeldCallsOverARestart(t *testing.T) {
	b, id := limited(t)
	b.send(id, begun("x1"))
	b.send(id, begun("x2")) // never counted by this process
	b.send(id, called("x1", 1))
	answer := b.hold(id)
	b.stop()
	if err := <-answer; !errors.Is(err, session.ErrStopped) {
		t.Errorf("%v", err)
	}
	b.start()
	b.until(id, func(e session.Event) bool { return e.Model != nil && e.Model.Estimate })
	b.send(id, called("x2", 5)) // too late: it is counted
	if err := b.hub.Send(t.Context(), id, begun("x3")); !errors.Is(err, session.ErrHeld) {
		t.Errorf("%v", err)
	}
	st, err := b.hub.Load(t.Context(), id)
	if err != nil || st.Session.Cost != 1.25 || len(st.Session.Calls) != 0 || st.Session.Turn.Pause == nil || st.Session.Turn.Pause.ID != "b1" {
		t.Fatalf("%+v %v", st.Session, err)
	}
	// The operator's new limit lets it go on without an answer.
	b.stop()
	b.cost = 10
	b.start()
	b.until(id, budgetIs(session.BudgetEnded))
	b.send(id, begun("x3"))
}

// A pause that nobody answers ends the turn within the hour. What waited is let go only when the turn is over: an agent that is being
// stopped must not be answered with an error.
func TestPauseEnds(t *testing.T) {
	b, id := limited(t)
	b.send(id, begun("x1"))
	b.send(id, called("x1", 1))
	answer := b.hold(id)
	b.clock.Advance(session.PauseFor)
	b.until(id, budgetIs(session.BudgetEnded))
	if err := b.world.Await(t.Context(), "stop 1.1"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-answer:
		t.Fatalf("answered before the turn was over: %v", err)
	default:
	}
	b.journal(id, 2, session.Event{Kind: session.KindTurn, PromptID: "1.1", Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptStopped}})
	if err := <-answer; err != nil {
		t.Error(err)
	}
	log := b.until(id, ended)
	if last := log[len(log)-1].Turn; last.Outcome != session.PromptStopped || last.Reason == "" {
		t.Errorf("%+v", last)
	}
}
