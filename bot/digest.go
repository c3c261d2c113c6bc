package bot

import (
	"slices"
	"strings"
	"time"

	"openinspect/session"
)

// digest is what the thread shows of a session: its events, condensed. It is made by applying the session's events in order, and by
// nothing else, so that a restart makes the same one.
type digest struct {
	turn    *turnDigest // the turn that goes on
	queue   []queued
	boot    []step // of the newest start
	sandbox session.SandboxState
	moved   time.Time          // when it came into that state
	change  int64              // the event that told so
	people  []session.Person   // participants, in order
	why     string             // it is in that state: its place in the line, what keeps it from starting
	results map[string]*result // by prompt: those that made a card, which may change yet
	cards   map[string]session.Card
	names   map[string]session.Person // authors of prompts that are not over
	abouts  map[string]string         // what else is to be said of them
	muted   bool                      // replies need a mention
	now     time.Time                 // of the newest event, or when it was looked at since
	asked   *question                 // the agent's newest that nobody has answered
	offers  map[string]*offer         // by id: those that stand
	spoke   int64                     // number of the event that last became a message of its own
}

type queued struct {
	id     string
	author session.Person
}

// turnDigest is a turn that goes on.
type turnDigest struct {
	prompt      string
	author      session.Person
	start, last time.Time
	state       session.TurnState
	about       string // what its prompt is, if not a message: a correction, or run again
	note        string // what stands above everything else: that it stops, or starts again
	stopping    bool
	booted      bool     // a sandbox had to start for it
	warned      []string // of its boot: what the agent worked without
	steps       steps
	todo        []session.TodoItem
	retry       retrying
	paused      bool // its budget is spent
	update      string
	planned     int64 // the events that told of the todo list and the update
	updated     int64
	cost        float64
	estimate    bool
	model       string
	said        speech // the agent's newest, until a tool follows
	before      speech // and those before the last tool
	asks        bool   // something
	images      []*session.Note
	commits     *session.Commits
	failure     string
	output      string           // the last lines of a boot phase that failed
	others      []session.Person // whose prompts ended with this one
}

// speech is what the agent says in a row.
type speech struct {
	texts []string
	size  int
}

// maxSpeech is how many bytes of it are kept for the thread. The log has everything.
const maxSpeech = 1 << 20

func (s *speech) add(text string) {
	if text = strings.TrimSpace(text); text == "" || s.size >= maxSpeech {
		return
	}
	if room := maxSpeech - s.size; len(text) > room {
		text = strings.ToValidUTF8(text[:room], "") + "\n\n(The agent says more than a message can hold; the log has the rest.)"
	}
	s.texts, s.size = append(s.texts, text), s.size+len(text)
}

func (s speech) String() string { return strings.Join(s.texts, "\n\n") }

// result is a turn that is over, as far as its message shows it.
type result struct {
	prompt  string
	author  session.Person
	outcome session.PromptState
	reason  string
	answer  string
	asks    bool // something, which is its outcome if there is no other
	images  []*session.Note
	card    string
	patch   string
	output  string
	others  []session.Person // whose prompts ended with this one
	closing string           // one line: how long, what model, what cost
}

func newDigest() *digest {
	return &digest{results: map[string]*result{}, cards: map[string]session.Card{}, names: map[string]session.Person{}, abouts: map[string]string{}, offers: map[string]*offer{}}
}

// told is what an event has to say besides the status message.
type told struct {
	ended    *result // a turn is over
	card     string  // a card changed
	dropped  bool    // a prompt that never ran is over
	reason   string  // why
	author   session.Person
	note     *session.Note
	settled  *question // does not wait any more
	offer    *offer    // it is new, or stands no more
	approval *session.Approval
	failure  string // outside of a turn
	budget   *session.BudgetChange
	repo     *session.RepositoryChange
}

// apply takes the next event.
func (d *digest) apply(e session.Event) told {
	t := d.turn
	d.see(e.At)
	if t != nil && e.PromptID == t.prompt && e.At.After(t.last) {
		t.last = e.At
	}
	switch e.Kind {
	case session.KindPrompt:
		return d.prompt(e)
	case session.KindTurn:
		return d.turnChange(e)
	case session.KindBoot:
		d.bootStep(e)
	case session.KindSandbox:
		d.sandboxChange(e)
	case session.KindText:
		if t != nil {
			t.retry = retrying{}
			t.said.add(e.Text.Text)
		}
	case session.KindTool:
		if t != nil {
			t.retry = retrying{}
			if toldOtherwise(e.Tool.Name) {
				break
			}
			if len(t.said.texts) > 0 {
				t.before, t.said = t.said, speech{}
			}
			t.steps.tool(e)
		}
	case session.KindTodo:
		if t != nil {
			t.todo, t.planned = e.Todo, e.Seq
		}
	case session.KindModel:
		if t != nil {
			t.cost += e.Model.Cost
			t.estimate = t.estimate || e.Model.Estimate
			if e.Model.For == "" {
				t.model = e.Model.Model
			}
		}
	case session.KindRetry:
		if t != nil {
			t.retry = t.trying(e)
		}
	case session.KindCommits:
		if t != nil {
			t.commits = e.Commits
		}
	case session.KindCard:
		d.cards[e.Card.ID] = *e.Card
		return told{card: e.Card.ID}
	case session.KindApproval:
		d.joined(e.Approval.By)
		return told{approval: e.Approval}
	case session.KindNote:
		if t != nil && e.Note.Kind == session.NoteUpdate {
			t.update, t.updated = e.Note.Text, e.Seq
			return told{}
		}
		d.muted = e.Note.Kind == session.NoteMuted || d.muted && e.Note.Kind != session.NoteUnmuted
		said := told{note: e.Note}
		switch e.Note.Kind {
		case session.NoteImage:
			if t != nil && e.Note.File != nil {
				t.images = append(t.images, e.Note)
			}
			return told{} // the end of the turn shows it
		case session.NoteQuestion:
			said.settled = d.settle("Nobody answered; the agent asks something else now.")
			if t != nil {
				t.asks = true
			}
			d.asked = &question{seq: e.Seq, prompt: e.PromptID, note: e.Note}
		case session.NoteOffer:
			return told{offer: d.offered(e)}
		case session.NoteClosed:
			said.settled = d.settle("Nobody answered before the session was closed.")
		case session.NoteUpdate, session.NoteUnsaid, session.NoteNotice, session.NoteMuted, session.NoteUnmuted:
		}
		return said
	case session.KindBudget:
		if t != nil && e.Budget.State != session.BudgetWarned {
			t.paused = e.Budget.State == session.BudgetAsked
		}
		d.joined(e.Budget.By)
		return told{budget: e.Budget}
	case session.KindError:
		if t == nil {
			return told{failure: e.Error.Message}
		}
		t.failure = e.Error.Message
	case session.KindRepository:
		return told{repo: e.Repository}
	case session.KindReasoning, session.KindPullRequest:
		// The log's alone; a pull request comes with its card.
	}
	return told{}
}

// see moves the digest's time on.
func (d *digest) see(at time.Time) {
	if at.After(d.now) {
		d.now = at
	}
}

func (d *digest) prompt(e session.Event) told {
	id, p := e.PromptID, e.Prompt
	i := d.queued(id)
	if !p.State.Finished() {
		d.names[id] = p.Author
		switch {
		case p.AskedBy != "":
			d.abouts[id] = "Once more, as " + escape(p.AskedBy) + " asked."
		case p.Corrects != "":
			d.abouts[id] = "A correction: the message was edited after the agent had it."
		case p.Addresses != "":
			d.abouts[id] = "About what is said on GitHub."
		}
		d.joined(p.Author)
		if i < 0 && (d.turn == nil || d.turn.prompt != id) {
			d.queue = append(d.queue, queued{id, p.Author})
		}
		if d.asked != nil && p.Answers != "" && p.Answers == d.asked.note.ID {
			how := escape(p.Author.Name) + " answered in a message."
			if slices.Contains(d.asked.note.Options, p.Text) {
				how = escape(p.Author.Name) + " chose: " + escape(p.Text)
			}
			return told{settled: d.settle(how)}
		}
		if p.Addresses != "" {
			return told{offer: d.taken(p.Addresses, escape(p.Author.Name)+" asked the agent for it.")}
		}
		return told{}
	}
	delete(d.names, id)
	delete(d.abouts, id)
	if d.turn != nil && d.turn.prompt == id {
		return told{} // the end of the turn tells it
	}
	if i >= 0 {
		d.queue = append(d.queue[:i:i], d.queue[i+1:]...)
	}
	if p.State == session.PromptWithdrawn {
		return told{} // whoever did it knows, or it is told of all at once
	}
	if d.turn != nil && p.With == d.turn.prompt {
		d.turn.others = append(d.turn.others, p.Author)
		return told{} // the end of the turn tells it
	}
	return told{dropped: true, reason: p.Reason, author: p.Author}
}

// question is a question of the agent's, as its message shows it.
type question struct {
	seq    int64
	prompt string
	note   *session.Note
	how    string // it was settled, in Slack's markup; empty: it waits
}

// settle returns the question that waits, settled; nil if none does.
func (d *digest) settle(how string) *question {
	q := d.asked
	if q == nil {
		return nil
	}
	d.asked = nil
	q.how = how
	return q
}

// joined adds a participant.
func (d *digest) joined(p session.Person) {
	if p.Slack != "" && !slices.ContainsFunc(d.people, func(q session.Person) bool { return q.Slack == p.Slack }) {
		d.people = append(d.people, p)
	}
}

func (d *digest) queued(id string) int {
	for i, q := range d.queue {
		if q.id == id {
			return i
		}
	}
	return -1
}

func (d *digest) turnChange(e session.Event) told {
	c := e.Turn
	if c.State == session.TurnStarted {
		author := d.names[e.PromptID]
		if i := d.queued(e.PromptID); i >= 0 {
			d.queue = append(d.queue[:i:i], d.queue[i+1:]...)
		}
		again := d.turn != nil && d.turn.prompt == e.PromptID
		fresh := &turnDigest{prompt: e.PromptID, author: author, start: e.At, last: e.At, state: c.State, note: c.Reason, about: d.abouts[e.PromptID]}
		if again {
			fresh.start, fresh.cost, fresh.estimate, fresh.model, fresh.author = d.turn.start, d.turn.cost, d.turn.estimate, d.turn.model, d.turn.author
		}
		fresh.booted = d.sandbox != session.SandboxReady && d.sandbox != session.SandboxRunning
		d.turn = fresh
		return told{}
	}
	t := d.turn
	if t == nil || t.prompt != e.PromptID {
		return told{}
	}
	switch c.State {
	case session.TurnWorking:
		t.state, t.note = c.State, ""
	case session.TurnStopping:
		t.note, t.stopping = c.Reason, true
	case session.TurnAnswered:
		t.state = c.State
	case session.TurnEnded:
		r := t.result(c)
		if r.card != "" {
			d.results[r.prompt] = r
		}
		d.turn = nil
		return told{ended: r}
	case session.TurnStarted:
	}
	return told{}
}

// stoppable reports whether a turn can be stopped yet.
func (t *turnDigest) stoppable() bool { return !t.stopping && t.state != session.TurnAnswered }

// result closes a turn.
func (t *turnDigest) result(c *session.TurnChange) *result {
	r := &result{prompt: t.prompt, author: t.author, outcome: c.Outcome, reason: c.Reason, answer: t.said.String(), asks: t.asks, images: t.images, card: c.Card, output: t.output, others: t.others, closing: t.closing(c)}
	if r.answer == "" {
		r.answer = t.before.String()
	}
	if t.commits != nil {
		r.patch = t.commits.Patch
	}
	if r.reason == "" {
		r.reason = t.failure
	}
	return r
}

func (d *digest) bootStep(e session.Event) {
	b := e.Boot
	s := step{name: string(b.Phase), state: b.State, millis: b.Millis, detail: b.Detail, since: e.At, seq: e.Seq}
	if b.State == session.StepFailed && d.turn != nil {
		d.turn.output = b.Output
	}
	if words := warnings[b.Phase]; b.State == session.StepWarning && words != "" && d.turn != nil && !slices.Contains(d.turn.warned, words) {
		d.turn.warned = append(d.turn.warned, words)
	}
	for i := range d.boot {
		if d.boot[i].name == s.name {
			d.boot[i] = s
			return
		}
	}
	d.boot = append(d.boot, s)
}

func (d *digest) sandboxChange(e session.Event) {
	c := e.Sandbox
	if c.State == session.SandboxSpawning {
		d.boot = nil
	}
	if c.State != d.sandbox {
		d.moved, d.change = e.At, e.Seq
	}
	d.sandbox, d.why = c.State, c.Reason
	if d.turn != nil && c.State == session.SandboxSpawning {
		d.turn.booted = true
	}
}
