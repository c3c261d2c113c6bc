package session

import (
	"fmt"
	"time"
)

// PauseFor is how long a turn whose budget is spent waits for somebody to allow more.
const PauseFor = time.Hour

// ErrHeld tells that a model call must not be made now: the turn's budget is spent and its people are asked, or somebody has stopped the
// turn. Whoever wants to make the call sends CallHeld, which returns when it is worth asking again.
var ErrHeld = Errorf(Conflict, "This call waits until the thread has allowed more.")

// Budget is what became of a session's budget so far. The limit itself is the operator's: what is kept here is added to it, so that another
// limit, set with a restart, holds for sessions that are open.
type Budget struct {
	Raised float64 `json:"raised,omitempty"` // US dollars that participants allowed beyond the operator's limit
	Warned float64 `json:"warned,omitempty"` // the newest limit of which the thread was told that it is nearly spent
	Asked  int     `json:"asked,omitempty"`  // how often the thread was asked
	Last   string  `json:"last,omitempty"`   // the question that was answered last, and by whom
	LastBy Person  `json:"last_by,omitzero"`
}

// Pause is a turn's wait for more budget: no model call is made meanwhile, and nothing is stuck. It is one question to the thread.
type Pause struct {
	ID    string    `json:"id"` // b1, b2, …: unique in its session
	Spent float64   `json:"spent"`
	Limit float64   `json:"limit"`
	More  float64   `json:"more"` // what a yes adds to the limit
	At    time.Time `json:"at"`
	Until time.Time `json:"until"` // when the turn is stopped for want of an answer
}

// OpenCall is a model call that was begun and is not counted yet. Call is what is counted if nothing more is ever learnt of it.
type OpenCall struct {
	ID   string    `json:"id"` // unique for ever
	Call ModelCall `json:"call"`
}

// BudgetState is what a BudgetChange tells.
type BudgetState string

const (
	BudgetWarned BudgetState = "warned" // the limit is nearly spent
	BudgetAsked  BudgetState = "asked"  // it is spent; the turn has paused and the thread is asked
	BudgetRaised BudgetState = "raised" // somebody allowed more; the turn goes on
	BudgetEnded  BudgetState = "ended"  // the question is settled otherwise
)

// BudgetChange tells what the thread was told or asked about the session's cost, and what came of it.
type BudgetChange struct {
	State  BudgetState `json:"state"`
	Pause  string      `json:"pause,omitempty"` // the question's id; not with warned
	Spent  float64     `json:"spent"`           // US dollars, of all turns
	Limit  float64     `json:"limit"`           // that it is about; with raised the new one
	More   float64     `json:"more,omitempty"`  // what a yes adds, or has added
	By     Person      `json:"by,omitzero"`     // who raised it
	Reason string      `json:"reason,omitempty"`
}

// Dollars writes an amount as people read it. Amounts below a cent, which only tests and very small limits have, keep their digits.
func Dollars(amount float64) string {
	if amount > 0 && amount < 0.01 {
		return fmt.Sprintf("$%.4f", amount)
	}
	return fmt.Sprintf("$%.2f", amount)
}
