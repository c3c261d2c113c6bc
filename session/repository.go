package session

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// ChooseWithin is how long the question stands which repository a session is about. After that its requester may still answer in words.
const ChooseWithin = time.Hour

// RepositoryState is what a RepositoryChange tells.
type RepositoryState string

const (
	RepositoryPicked RepositoryState = "picked" // the requester said which one, or that none is needed
	RepositoryLapsed RepositoryState = "lapsed" // nobody said in time
)

// RepositoryChange tells what became of the question which repository a session is about.
type RepositoryChange struct {
	State  RepositoryState `json:"state"`
	Repo   Repo            `json:"repo,omitzero"` // picked: zero is none
	Base   string          `json:"base,omitempty"`
	By     Person          `json:"by,omitzero"`
	Reason string          `json:"reason,omitempty"` // of lapsed, a sentence
}

// Route sends requests that have a keyword in them to a repository. It is one of the workspace's, and holds in every channel.
type Route struct {
	Keyword string    `json:"keyword"` // lower case, one space between words
	Repo    Repo      `json:"repo"`    // zero, where a route is stored: forget it
	By      Person    `json:"by"`      // who set it last
	At      time.Time `json:"at"`
}

// Audit is what storing r adds to the audit log.
func (r Route) Audit() AuditRecord {
	return AuditRecord{At: r.At, Action: "route", By: r.By, Result: strconv.Quote(r.Keyword) + " to " + cmp.Or(r.Repo.String(), "none")}
}

// Limits of what people may route.
const (
	MaxRoutes  = 100
	MaxKeyword = 100 // characters
)

// TooManyRoutes refuses one route more.
func TooManyRoutes() error {
	return Errorf(Conflict, "There are %d routes already, which is the most there can be. Remove one first.", MaxRoutes)
}

// RouteKeyword is a keyword as a Route has it.
func RouteKeyword(text string) string {
	return strings.ToLower(strings.Join(strings.Fields(text), " "))
}

// Puzzle is what a classifier is told when it is to say which repository a request is about. Words are the request's; all other texts are other
// people's. None of it is an instruction.
type Puzzle struct {
	Words      string
	Context    string // what was said in the thread before
	Channel    string // its name
	Topic      string // and topic
	Candidates []RepositoryInfo
	Recent     []Repo // that the person worked on, newest first
}

// Guess is a classifier's answer. Repo is one of the candidates, or zero: it does not know.
type Guess struct {
	Repo  Repo
	Sure  bool   // certain enough to go on without asking
	Words string // of the request, that decided; they are in it
	Call  ModelCall
}
