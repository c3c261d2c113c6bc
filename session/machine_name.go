package session

import (
	"fmt"
	"slices"
	"time"
)

// NameWithin is how long a first approval waits for the second one, where its card touches paths that have to be named.
const NameWithin = 15 * time.Minute

// naming returns the approval of a card that waits for a second one. There is one at most.
func (m *Machine) naming(card string) (Approval, bool) {
	i := slices.IndexFunc(m.approvals, func(a Approval) bool { return a.Card == card && a.State == ApprovalNaming })
	if i < 0 {
		return Approval{}, false
	}
	return m.approvals[i], true
}

// name has the thread asked, in a message that names them, whether what has to be named is really to be pushed.
func (m *Machine) name(a Approval) {
	a.State, a.Names, a.Deadline = ApprovalNaming, true, m.at.Add(NameWithin)
	m.setApproval(a)
}

// seconded takes a ✅ on such a message: by whoever gave the first one their approval goes on, by anybody else it is theirs that does.
func (m *Machine) seconded(in Approved, c *Card) {
	first, waits := m.naming(c.ID)
	if !waits || first.ID != in.Seconds || first.By.Slack != in.By.Slack {
		m.reacted(in.ID, Approval{Card: c.ID, Commit: c.Commit, By: in.By, Emoji: in.Emoji, Seconds: in.Seconds, Put: in.Put})
		return
	}
	if m.heard(in.ID) {
		return
	}
	m.hear(in.ID)
	first.By, first.Seconds, first.Deadline = in.By, first.ID, time.Time{}
	if in.By.GitHub == nil {
		m.finishApproval(first, ApprovalRefused, "Your GitHub account is not linked any more. Link it with `/inspect link`, then react on the card again.")
		return
	}
	m.goOn(first, m.refusal(first))
}

// nameRefusal says why an approval of an open card comes at the wrong place, or too late; "" if it does not.
func (m *Machine) nameRefusal(a Approval) string {
	switch first, waits := m.naming(a.Card); {
	case a.Seconds != "" && (!waits || first.ID != a.Seconds):
		return "The approval that this message asks a second one for is over. React on the card; then there is a new message."
	case a.Seconds == "" && waits && first.ID != a.ID:
		return first.By.Name + " has approved it already, and it needs a second approval, on the message below the card that names what it touches. Yours counts there."
	}
	return ""
}

// named ends what waited for a second approval: a is it.
func (m *Machine) named(a Approval) {
	if first, waits := m.naming(a.Card); waits && first.ID != a.ID {
		m.finishApproval(first, ApprovalDone, fmt.Sprintf("%s approved it a second time, so it goes on as theirs.", a.By.Name))
	}
}

// nameLater gives a second approval its time anew: while the bot was away it heard of nobody's.
func (m *Machine) nameLater() {
	for _, a := range slices.Clone(m.approvals) {
		if a.State == ApprovalNaming {
			a.Deadline = m.at.Add(NameWithin)
			m.setApproval(a)
		}
	}
}

// unnamed ends what nobody approved a second time.
func (m *Machine) unnamed() {
	for _, a := range slices.Clone(m.approvals) {
		if a.State == ApprovalNaming && !a.Deadline.After(m.at) {
			m.finishApproval(a, ApprovalRefused, "Nobody approved it a second time within 15 minutes, so nothing was pushed. If it is to be, react on the card again; whose reaction is there takes it off first.")
		}
	}
}
