package session

import (
	"strings"
	"time"
)

// noRepository is what an agent is told that has none.
const noRepository = "\n\n(This session has no repository: the working directory is empty, and no pull request can come of it.)"

// repositoryChosen takes which repository the session is about, or that it needs none.
func (m *Machine) repositoryChosen(in RepositoryChosen) error {
	switch {
	case m.heard(in.ID):
		return nil
	case m.s.Await != AwaitRepository && in.By.Slack == m.s.Requester.Slack && in.Repo == m.s.Repo:
		return nil // told again
	case m.s.Await != AwaitRepository && m.s.Repo == (Repo{}):
		return Errorf(Conflict, "This session works without a repository already. For one, start another thread.")
	case m.s.Await != AwaitRepository:
		return Errorf(Conflict, "This session works on %s already.", m.s.Repo)
	case in.By.Slack != m.s.Requester.Slack:
		return Errorf(Forbidden, "%s, who asked, has to say which repository this is about.", m.s.Requester.Name)
	}
	m.hear(in.ID)
	m.s.Await, m.s.Repo, m.s.Base, m.s.ChooseBy = AwaitNothing, in.Repo, in.Base, time.Time{}
	m.tell(Event{Kind: KindRepository, Repository: &RepositoryChange{State: RepositoryPicked, Repo: in.Repo, Base: in.Base, By: in.By}})
	m.advance()
	return nil
}

// stopAsking lets the question for the repository lapse, if it stands. What waits for it goes on waiting: an answer in words still counts.
func (m *Machine) stopAsking(reason string) {
	if m.s.ChooseBy.IsZero() {
		return
	}
	m.s.ChooseBy = time.Time{}
	m.tell(Event{Kind: KindRepository, Repository: &RepositoryChange{State: RepositoryLapsed, Reason: reason}})
}

// renamed takes the name that the session's repository has on GitHub now; none, and the one that is known, is no news.
func (m *Machine) renamed(to Repo) {
	was := m.s.Repo
	if to == (Repo{}) || was == (Repo{}) || strings.EqualFold(to.String(), was.String()) { // GitHub's names do not know case
		return
	}
	m.s.Repo = to
	if pr := m.s.PullRequest; pr != nil && pr.Repo == was {
		moved := *pr
		moved.Repo = to
		m.s.PullRequest = &moved
	}
	for i := range m.cards {
		if c := &m.cards[i]; c.State == CardOpen && c.Repo == was {
			c.Repo = to
			if pr := m.s.PullRequest; c.PullRequest != nil && pr != nil && c.PullRequest.Number == pr.Number {
				c.PullRequest = pr
			}
			m.tellCard(c)
		}
	}
	m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteNotice, Text: "`" + was.String() + "` is called `" + to.String() + "` on GitHub now. This thread goes on there."}})
}
