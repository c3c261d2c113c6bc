package session

import (
	"fmt"
	"slices"
	"time"
)

// What a machine waits for, and how long.
const (
	IdleAfter    = 10 * time.Minute // after the last turn, until the sandbox is put away
	LinkWithin   = 15 * time.Minute // how long an approval waits for its person to link an account
	StopWithin   = time.Minute      // how long a runner may take to stop a turn
	maxAttempts  = 2                // a turn that loses its sandbox is run again once
	maxSeen      = 100              // ids of what people said and did that are remembered
	maxAsked     = 50               // prompts named in a pull request's body, the newest
	maxAskedText = 1_000            // characters of each
)

// Machine decides what a session does. It is pure: no clock, no I/O, no goroutine; the same inputs give the same outputs.
type Machine struct {
	s         Session
	draft     Draft
	budget    float64  // the operator's limit of a session's cost, US dollars; 0: none
	prompts   []Prompt // unfinished, in order of arrival
	cards     []Card
	approvals []Approval // unfinished
	effects   []Effect   // unconfirmed

	at    time.Time // of the step in progress
	terms Terms     // likewise
	out   Ready
	dirty struct {
		prompts, cards, approvals map[string]bool
		draft                     bool
	}
}

// NewMachine makes the machine of a stored session, or of a new one from the zero State.
func NewMachine(st State) *Machine {
	return &Machine{s: st.Session, draft: st.Draft, prompts: st.Prompts, cards: st.Cards, approvals: st.Approvals, effects: st.Effects}
}

// State returns a copy of everything the machine knows.
func (m *Machine) State() State {
	return State{
		Session: m.s, Draft: m.draft, Prompts: slices.Clone(m.prompts), Cards: slices.Clone(m.cards),
		Approvals: slices.Clone(m.approvals), Effects: slices.Clone(m.effects),
	}
}

// Step takes one input and decides. With an error, whose sentence is for whoever sent the input, nothing has changed.
// The Ready must be committed before its events are shown and its effects carried out.
func (m *Machine) Step(at time.Time, in Input) (Ready, error) {
	m.at, m.out = at, Ready{}
	m.dirty.prompts, m.dirty.cards, m.dirty.approvals = map[string]bool{}, map[string]bool{}, map[string]bool{}
	m.dirty.draft = false
	if _, ok := in.(Opened); !ok && m.s.ID == "" {
		return Ready{}, Errorf(NotFound, "There is no such session.")
	}
	was := m.s.Sandbox
	if err := m.take(in); err != nil {
		return Ready{}, err
	}
	m.meter(was)
	m.s.Updated = at
	m.out.Record.Session = m.s
	m.out.Record.Prompts = changed(m.out.Record.Prompts, m.prompts, m.dirty.prompts, func(p Prompt) string { return p.ID })
	m.out.Record.Cards = changed(nil, m.cards, m.dirty.cards, func(c Card) string { return c.ID })
	if m.dirty.draft {
		d := m.draft
		m.out.Record.Draft = &d
	}
	m.out.Record.Approvals = changed(m.out.Record.Approvals, m.approvals, m.dirty.approvals, func(a Approval) string { return a.ID })
	return m.out, nil
}

// changed appends to out those of all whose id is marked.
func changed[T any](out, all []T, marked map[string]bool, id func(T) string) []T {
	for _, v := range all {
		if marked[id(v)] {
			out = append(out, v)
		}
	}
	return out
}

func (m *Machine) take(in Input) error {
	switch in := in.(type) {
	case Opened:
		return m.open(in.Opening)
	case Prompted:
		return m.prompted(in.Prompt)
	case RepositoryChosen:
		return m.repositoryChosen(in)
	case StopAsked:
		return m.stopAsked(in)
	case Edited:
		return m.edited(in)
	case Withdrawn:
		return m.withdrawn(in)
	case Retried:
		return m.retried(in)
	case Muted:
		return m.muted(in)
	case Closed:
		return m.closed(in)
	case Approved:
		return m.approved(in)
	case MergeAsked:
		return m.mergeAsked(in)
	case Unreacted:
		return m.unreacted(in)
	case Linked:
		m.linked(in.By)
	case LinkFailed:
		m.linkFailed(in)
	case Started:
		m.started(in)
	case StartFailed:
		m.startFailed(in)
	case Attached:
		m.confirm(in.Effect)
	case Lost:
		m.lost(in)
	case Journaled:
		return m.journaled(in)
	case Delivered:
		m.delivered(in)
	case DeliveryFailed:
		m.deliveryFailed(in)
	case Confirmed:
		m.confirm(in.Effect)
	case CallBegun:
		return m.callBegun(in)
	case CallHeld:
		m.callHeld()
	case ModelCalled:
		m.modelCalled(in)
	case Raised:
		return m.raised(in)
	case Unsaid:
		if !m.heard(in.ID) {
			m.hear(in.ID)
			m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteUnsaid, Text: in.Reason}})
		}
	case Shown:
		return m.shown(in)
	case Answered:
		return m.chosen(in)
	case Addressed:
		return m.addressed(in)
	case Restarted:
		m.restarted()
	case Proposed:
		return m.proposed(in)
	case Updated:
		return m.updated(in)
	case Asked:
		return m.asked(in)
	case Collected:
		m.collected(in)
	case CollectFailed:
		m.collectFailed(in)
	case CollectDelayed:
		m.collectDelayed(in)
	case PullRequestOpened:
		m.pullRequestOpened(in)
	case OpenFailed:
		m.openFailed(in)
	case Reviewed:
		m.reviewed(in)
	case ReviewFailed:
		m.reviewFailed(in)
	case Merged:
		m.merged(in)
	case MergeFailed:
		m.mergeFailed(in)
	case PullRequestSeen:
		return m.pullRequestSeen(in)
	case Suspended:
		m.suspended(in)
	case SuspendFailed:
		m.suspendFailed(in)
	case Snapshotted:
		m.snapshotted(in)
	case SnapshotFailed:
		m.snapshotFailed(in)
	case RoomGranted:
		return m.roomGranted()
	case Moved:
		return m.moved(in)
	case RoomNeeded:
		return m.roomNeeded()
	case StartDelayed:
		m.startDelayed(in)
	case StartTried:
		m.startTried(in)
	case Stalled:
		m.stalled(in)
	case Tick:
		m.tick()
	default:
		return Errorf(Internal, "unknown input %T", in)
	}
	return nil
}

func (m *Machine) open(o Opening) error {
	if m.s.ID != "" {
		return Errorf(Conflict, "This session is open already.")
	}
	if !o.ID.Valid() {
		return Errorf(Invalid, "%q is not a session id.", o.ID)
	}
	m.s = Session{
		ID: o.ID, Thread: o.Thread, Rooted: o.Rooted, Requester: o.Requester, Repo: o.Repo, Base: o.Base,
		Model: o.Model, Effort: o.Effort, Await: o.Await, Why: o.Why, Created: m.at,
	}
	return nil
}

// tell adds an event of the bot's own to the log.
func (m *Machine) tell(e Event) {
	m.s.Told += e.size()
	m.enter(e)
}

func (m *Machine) enter(e Event) {
	m.s.Seq++
	e.Seq = m.s.Seq
	if e.At.IsZero() {
		e.At = m.at
	}
	m.s.Latest = e.At
	if e.PromptID == "" && m.s.Turn != nil {
		e.PromptID = m.s.Turn.PromptID
	}
	m.out.Events = append(m.out.Events, e)
}

// ask adds an effect; its id is given here.
func (m *Machine) ask(e Effect) {
	m.s.Effects++
	e.ID = fmt.Sprintf("e%d", m.s.Effects)
	m.effects = append(m.effects, e)
	m.out.Effects = append(m.out.Effects, e)
}

// confirm takes an effect off the list. It returns false for one that is not on it: the input came twice, or late.
func (m *Machine) confirm(id string) (Effect, bool) {
	i := slices.IndexFunc(m.effects, func(e Effect) bool { return e.ID == id })
	if i < 0 {
		return Effect{}, false
	}
	e := m.effects[i]
	m.effects = slices.Delete(m.effects, i, i+1)
	if j := slices.IndexFunc(m.out.Effects, func(e Effect) bool { return e.ID == id }); j >= 0 {
		m.out.Effects = slices.Delete(m.out.Effects, j, j+1) // asked and dropped in one step: never committed
		return e, true
	}
	m.out.Done = append(m.out.Done, id)
	return e, true
}

// drop takes all effects of some kinds off the list: they make no sense any more.
func (m *Machine) drop(kinds ...EffectKind) {
	for _, e := range slices.Clone(m.effects) {
		if slices.Contains(kinds, e.Kind) {
			m.confirm(e.ID)
		}
	}
}

func (m *Machine) pending(kind EffectKind) bool {
	return slices.ContainsFunc(m.effects, func(e Effect) bool { return e.Kind == kind })
}

// Deadline returns when the machine next wants a Tick; zero: never.
func (m *Machine) Deadline() time.Time {
	var d time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (d.IsZero() || t.Before(d)) {
			d = t
		}
	}
	for _, a := range m.approvals {
		if a.State == ApprovalLinking || a.State == ApprovalNaming || a.State == ApprovalMerging {
			earlier(a.Deadline)
		}
	}
	earlier(m.s.IdleAt)
	earlier(m.leaveBy())
	earlier(m.s.ChooseBy)
	if m.stopping() {
		earlier(m.s.Turn.StopAt)
	}
	if t := m.s.Turn; t != nil && t.Pause != nil {
		earlier(t.Pause.Until)
	}
	return d
}

func (m *Machine) tick() {
	for _, a := range slices.Clone(m.approvals) {
		if a.State == ApprovalLinking && !a.Deadline.After(m.at) {
			m.finishApproval(a, ApprovalRefused, "Your GitHub account was not linked within 15 minutes, so your approval has lapsed. Link it with `/inspect link`, then react again.")
		}
	}
	m.unnamed()
	m.mergeDue()
	if m.stopping() && !m.s.Turn.StopAt.After(m.at) {
		m.stopByForce(m.s.Turn)
	}
	if t := m.s.Turn; t != nil && t.Pause != nil && !t.Pause.Until.After(m.at) {
		m.pauseExpired()
	}
	if !m.s.ChooseBy.IsZero() && !m.s.ChooseBy.After(m.at) {
		m.stopAsking("Nobody chose a repository within an hour, so nothing was started. " + m.s.Requester.Name + " can still reply with its name (owner/name); the request waits.")
	}
	if !m.s.IdleAt.IsZero() && !m.s.IdleAt.After(m.at) {
		m.s.IdleAt = time.Time{}
		if m.s.Turn == nil {
			m.idle()
		}
	}
	m.leaveWhenDue()
}

// Resume returns what has to be done after a restart: the effects nobody confirmed, and a new link to a live sandbox.
func (m *Machine) Resume() []Effect {
	effects := slices.Clone(m.effects)
	m.s.Sandbox.PutOff = false // a start is tried at once
	switch m.s.Sandbox.State {
	case SandboxBooting, SandboxReady, SandboxRunning, SandboxSnapshotting:
		if !m.pending(EffectAttach) {
			e := m.attachment()
			e.ID = "attach"
			m.effects = append(m.effects, e) // not stored: whoever starts next decides anew
			effects = append([]Effect{e}, effects...)
		}
	case SandboxNone, SandboxPending, SandboxSpawning, SandboxStopped, SandboxFailed, SandboxLost:
	}
	return effects
}
