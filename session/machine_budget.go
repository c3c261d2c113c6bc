package session

import (
	"fmt"
	"math"
	"slices"
)

const (
	warnAt       = 0.8 // of the limit
	maxOpenCalls = 16  // a gateway makes four at once; more were left by runners that are gone
)

// WithBudget sets how many US dollars a session may spend before its thread is asked, and how many a yes adds. 0 is no limit.
func (m *Machine) WithBudget(dollars float64) *Machine {
	m.budget = dollars
	return m
}

// limit is how much the session may spend now; 0 is no limit.
func (m *Machine) limit() float64 {
	if m.budget <= 0 {
		return 0
	}
	return m.budget + m.s.Budget.Raised
}

// spent reports whether nothing is left of the limit.
func (m *Machine) spent() bool { return m.budget > 0 && m.s.Cost >= m.limit() }

// holding reports whether model calls have to wait: for an answer of the thread's, or for the end of a turn that is being stopped.
func (m *Machine) holding() bool {
	t := m.s.Turn
	return t != nil && t.State != TurnAnswered && (t.Stopping || t.Pause != nil)
}

// callBegun lets a model call be made, or not. One that may be made is remembered until it is counted: what it costs must not be forgotten
// because the bot was killed before it knew.
func (m *Machine) callBegun(in CallBegun) error {
	t := m.s.Turn
	switch {
	case slices.ContainsFunc(m.s.Calls, func(c OpenCall) bool { return c.ID == in.Call.ID }):
		return nil
	case t != nil && t.State != TurnAnswered && (t.Stopping || m.spent()):
		return ErrHeld
	case m.spent():
		return Errorf(Forbidden, "The budget of this thread is spent, and no turn is going on that could ask for more.")
	}
	m.endPause("The operator has set another limit; the agent goes on.")
	if len(m.s.Calls) >= maxOpenCalls {
		m.settle(m.s.Calls[0])
	}
	m.s.Calls = append(slices.Clone(m.s.Calls), in.Call)
	return nil
}

// callHeld takes that a call waits: now there is a reason to ask the thread.
func (m *Machine) callHeld() {
	t := m.s.Turn
	if t == nil || t.State == TurnAnswered || m.holding() || !m.spent() {
		return
	}
	m.s.Budget.Asked++
	// The calls under way may have spent more than one limit beyond: a yes must be enough to go on.
	times := math.Floor((m.s.Cost-m.limit())/m.budget) + 1
	p := Pause{
		ID: fmt.Sprintf("b%d", m.s.Budget.Asked), Spent: m.s.Cost, Limit: m.limit(), More: times * m.budget, At: m.at, Until: m.at.Add(PauseFor),
	}
	m.pauseTurn(&p)
	m.tell(Event{Kind: KindBudget, Budget: &BudgetChange{State: BudgetAsked, Pause: p.ID, Spent: p.Spent, Limit: p.Limit, More: p.More}})
}

// pauseTurn sets or takes away the pause of the turn.
func (m *Machine) pauseTurn(p *Pause) {
	t := *m.s.Turn // what is stored, and what a refused commit goes back to, keeps its own
	t.Pause = p
	m.s.Turn = &t
}

// raised takes a person's yes.
func (m *Machine) raised(in Raised) error {
	t := m.s.Turn
	if t == nil || t.Pause == nil || t.Pause.ID != in.Pause {
		if b := m.s.Budget; b.Last == in.Pause && b.LastBy.Slack == in.By.Slack {
			return nil // pressed twice, or told twice
		}
		return m.settled(in.Pause)
	}
	p := *t.Pause
	m.s.Budget.Raised += p.More
	m.s.Budget.Last, m.s.Budget.LastBy = p.ID, in.By
	m.s.Participants = addPerson(m.s.Participants, in.By)
	m.pauseTurn(nil)
	m.tell(Event{Kind: KindBudget, Budget: &BudgetChange{State: BudgetRaised, Pause: p.ID, Spent: m.s.Cost, Limit: m.limit(), More: p.More, By: in.By}})
	return nil
}

// settled refuses an answer to a question that does not wait for one any more.
func (m *Machine) settled(pause string) error {
	if b := m.s.Budget; b.Last == pause {
		return Errorf(Conflict, "%s has allowed more already, so the agent goes on. To stop it, write `stop`.", b.LastBy.Name)
	}
	return Errorf(Conflict, "That question is settled already; nothing has changed.")
}

// endPause settles the question of a pause, if there is one, without an answer.
func (m *Machine) endPause(reason string) {
	if m.s.Turn == nil || m.s.Turn.Pause == nil {
		return
	}
	p := *m.s.Turn.Pause
	m.pauseTurn(nil)
	m.tell(Event{Kind: KindBudget, Budget: &BudgetChange{State: BudgetEnded, Pause: p.ID, Spent: m.s.Cost, Limit: p.Limit, Reason: reason}})
}

// pauseExpired stops a turn that nobody allowed to go on.
func (m *Machine) pauseExpired() {
	m.stopTurn(Person{}, "Stopped: the budget was spent, and nobody allowed more within an hour. Send a message here to go on; the thread is then asked again.")
}

// modelCalled counts a call, once. One without an id is counted as it comes.
func (m *Machine) modelCalled(in ModelCalled) {
	if in.ID != "" {
		i := slices.IndexFunc(m.s.Calls, func(c OpenCall) bool { return c.ID == in.ID })
		if i < 0 {
			return // counted already: as an estimate, after a restart
		}
		m.s.Calls = slices.Delete(slices.Clone(m.s.Calls), i, i+1)
	}
	if in.Call.Status == 0 && in.Call.Usage == (Usage{}) {
		return // it never reached the provider
	}
	m.count(in.Call)
}

func (m *Machine) count(c ModelCall) {
	m.s.Usage.Input += c.Usage.Input
	m.s.Usage.Output += c.Usage.Output
	m.s.Usage.CacheRead += c.Usage.CacheRead
	m.s.Usage.CacheWrite += c.Usage.CacheWrite
	m.s.Cost += c.Cost
	if e := (Event{Kind: KindModel, Model: &c}); c.Cost > 0 {
		m.tell(e)
	} else {
		m.record(e) // a sandbox may make any number of calls that cost nothing
	}
	// Once for each limit; where it is spent altogether the question tells.
	if limit := m.limit(); limit > 0 && m.s.Cost >= warnAt*limit && m.s.Cost < limit && m.s.Budget.Warned != limit {
		m.s.Budget.Warned = limit
		m.tell(Event{Kind: KindBudget, Budget: &BudgetChange{State: BudgetWarned, Spent: m.s.Cost, Limit: limit}})
	}
}

// settle counts a call of which nothing more will be learnt, as the estimate it was begun with.
func (m *Machine) settle(c OpenCall) { m.modelCalled(ModelCalled(c)) }

// unsettled reports whether a bot that starts has something to put right.
func (m *Machine) unsettled() bool {
	waits := slices.ContainsFunc(m.approvals, func(a Approval) bool { return a.State == ApprovalNaming || a.State == ApprovalMerging })
	return waits || len(m.s.Calls) > 0 || m.s.Turn != nil && m.s.Turn.Pause != nil && !m.spent() || m.stopping()
}

// restarted settles what the bot before this one left: nobody will tell what became of the calls it had begun, the operator may have
// changed the limit, and a runner that was told to stop could not tell that it did.
func (m *Machine) restarted() {
	for _, c := range slices.Clone(m.s.Calls) {
		m.settle(c)
	}
	if !m.spent() {
		m.endPause("The operator has set another limit; the agent goes on.")
	}
	m.stopPatiently()
	m.mergeLater()
	m.nameLater()
}
