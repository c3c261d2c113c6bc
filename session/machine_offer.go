package session

import (
	"fmt"
	"slices"
)

// Offer is something on GitHub that anybody in the thread may have the agent see to, by a press: what somebody said of the session's pull request, or that
// its checks fail. Its words are in the log, in the event that told it.
type Offer struct {
	ID     string `json:"id"`               // a remark's, or "k" and the commit whose checks fail
	Seq    int64  `json:"seq"`              // of the event that told it
	Commit string `json:"commit,omitempty"` // of checks
	Failed string `json:"failed,omitempty"` // likewise: their names
	By     string `json:"by,omitempty"`     // the name of who had the agent see to it
	Over   string `json:"over,omitempty"`   // why it is none any more: a sentence
}

// MaxOffers is how many remarks on one pull request are told in its thread.
const MaxOffers = 200

// MaxRemark is how many characters of a remark, or of what failing checks say, an agent is handed: a prompt holds that and more.
const MaxRemark = 40_000

// Remark is what somebody who may write to the repository said of a pull request on GitHub: a review with its comments on lines, or a comment in the
// conversation.
type Remark struct {
	ID    string // "r" or "c" and GitHub's number
	By    Identity
	State ReviewState // of a review that is a verdict
	Text  string      // all of it, in Markdown; at most MaxRemark characters
	URL   string
}

// offers tells what is new of what was said of the open pull request, each remark once, and that its checks fail, once for each commit.
func (m *Machine) offers(in PullRequestSeen) {
	pr := m.follows()
	if pr == nil {
		return
	}
	told := 0
	for _, o := range m.s.Offers {
		if o.Commit == "" {
			told++
		}
	}
	for _, r := range in.Remarks {
		if told >= MaxOffers || m.offer(r.ID) != nil || r.ID == "" {
			continue
		}
		told++
		m.putOffer(Offer{ID: r.ID, Seq: m.s.Seq + 1})
		m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteOffer, ID: r.ID, Text: remarkWords(r, pr.Number), Quote: excerpt(r.Text, MaxRemark), URL: r.URL}})
		if told == MaxOffers {
			m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteNotice, Text: fmt.Sprintf("%d remarks on #%d have been told here. What else is said of it there is not: %s", MaxOffers, pr.Number, pr.URL)}})
		}
	}
	m.checksFailed(*pr, in.Output)
}

func remarkWords(r Remark, number int) string {
	who := OneLine(r.By.Login, 60)
	switch r.State {
	case ReviewChanges:
		return fmt.Sprintf("%s asks for changes on #%d", who, number)
	case ReviewApproved:
		return fmt.Sprintf("%s approved #%d, and says", who, number)
	}
	return fmt.Sprintf("%s commented on #%d", who, number)
}

// checksFailed tells that checks fail, and once more, in the same message, what else fails at that commit and that nothing does any more. Of a commit
// that is not the session's it is the card that tells it: the agent could not push there.
func (m *Machine) checksFailed(pr PullRequest, output string) {
	if pr.Head != "" {
		return
	}
	id := "k" + pr.Commit[:min(12, len(pr.Commit))]
	was := m.offer(id)
	switch {
	case pr.Checks.State == ChecksGreen && was != nil:
		m.overOffer(*was, "They pass now.")
	case pr.Checks.State != ChecksFailed || was != nil && (was.By != "" || was.Over != ""):
	default:
		names := checkNames(pr.Checks.Failed)
		if was != nil && was.Failed == names {
			return
		}
		m.putOffer(Offer{ID: id, Seq: m.s.Seq + 1, Commit: pr.Commit, Failed: names})
		m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteOffer, ID: id, Text: fmt.Sprintf("Checks of #%d fail at %s: %s", pr.Number, short(pr.Commit), names),
			Quote: excerpt(output, MaxRemark), URL: pr.URL}})
	}
}

func (m *Machine) offer(id string) *Offer {
	i := slices.IndexFunc(m.s.Offers, func(o Offer) bool { return o.ID == id })
	if i < 0 {
		return nil
	}
	return &m.s.Offers[i]
}

// putOffer records an offer.
func (m *Machine) putOffer(o Offer) {
	m.s.Offers = slices.Clone(m.s.Offers) // what is stored, and what a refused commit goes back to, keeps its own
	if was := m.offer(o.ID); was != nil {
		*was = o
		return
	}
	m.s.Offers = append(m.s.Offers, o)
}

// overOffer ends an offer that nobody took up.
func (m *Machine) overOffer(o Offer, why string) {
	if o.By != "" || o.Over != "" {
		return
	}
	o.Over = why
	m.putOffer(o)
	m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteOffer, ID: o.ID, Over: why}})
}

// overOffers ends all that nobody took up, or those of checks at other commits than one.
func (m *Machine) overOffers(but, why string) {
	for _, o := range slices.Clone(m.s.Offers) {
		if but == "" || o.Commit != "" && o.Commit != but {
			m.overOffer(o, why)
		}
	}
}

// addressed makes a prompt of an offer, of who pressed.
func (m *Machine) addressed(in Addressed) error {
	if m.heard(in.ID) {
		return nil
	}
	o := m.offer(in.Offer)
	switch {
	case o == nil:
		return Errorf(Conflict, "That is about an earlier pull request of this thread. Say in a message here what is left to do.")
	case o.By != "":
		return Errorf(Conflict, "%s has asked the agent for that already.", o.By)
	case o.Over != "":
		return Errorf(Conflict, "%s Say in a message here what is left to do.", o.Over)
	}
	p := Prompt{ID: in.ID, Author: in.By, Addresses: o.ID, Context: in.Quote,
		Text: "Address what is said on GitHub of your pull request, as quoted above: change what it asks for, and say why where you do not."}
	if o.Commit != "" {
		p.Text = "Checks of your pull request fail on GitHub, at commit " + short(o.Commit) + ". What they say is quoted above. Find out why, and mend it."
	}
	if err := m.prompted(p); err != nil {
		return err
	}
	taken := *o
	taken.By = in.By.Name
	m.putOffer(taken)
	return nil
}
