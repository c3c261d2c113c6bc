//go:build linux

package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
)

// proposal is a card that says what a turn has changed, and who approved it how often.
type proposal struct {
	channel, thread, ts string
	approved            map[string]int
}

// reading is what such a card says.
type reading struct {
	heading, by string // who opened the pull request, or pushed to it, by their name
	number      int    // the pull request's
	commit      string // seven digits
}

const (
	proposed = "Changes ready"
	underWay = "Opening the pull request …"
	overdue  = "Changes, not the newest any more."
	openedAs = "Opened as"
	pushedTo = "Pushed to"
)

var cardText = regexp.MustCompile("\\*(Changes ready|Opening the pull request …|Changes, not the newest any more\\.|(?:Opened as|Pushed to) <[^|>]*\\|#(\\d+)> by ([^.*]+)\\.)\\*.* at `([0-9a-f]{7})`")

// readCard reads the card below an answer, if there is one.
func readCard(m slacktest.Message) (c reading, ok bool) {
	f := cardText.FindStringSubmatch(m.Text)
	if f == nil {
		return c, false
	}
	c = reading{heading: f[1], by: f[3], commit: f[4]}
	if c.by != "" {
		c.heading = f[1][:len(openedAs)]
		c.number, _ = strconv.Atoi(f[2])
	}
	return c, true
}

// noticeCard takes a card as it comes, and as it changes. c.mu is held.
func (c *crowd) noticeCard(m slacktest.Message) {
	card, ok := readCard(m)
	if !ok {
		return
	}
	at := m.Channel + "/" + m.TS
	if _, known := c.opening[at]; !known {
		c.cards = append(c.cards, &proposal{m.Channel, m.ThreadTS, m.TS, map[string]int{}})
	}
	c.opening[at] = card.heading == underWay
}

// approve has somebody put ✅ on one of the newer cards: people who linked an account that may open pull requests, at times both of them, or one again
// who did already; at times somebody whose account may not see the repository, or the guest.
func (c *crowd) approve(who string) error {
	c.mu.Lock()
	cards := c.cards
	c.mu.Unlock()
	if len(cards) == 0 {
		return c.chat(who)
	}
	p := cards[len(cards)-1-c.chance.IntN(min(len(cards), 20))]
	people := [][]string{{who}, {who}, {who}, members, members, {"cyd"}, {"guest"}}[c.chance.IntN(7)]
	for _, who := range people {
		person := c.slack.As(who)
		err := person.React(p.channel, p.ts, approveEmoji)
		if err != nil && p.approved[who] > 0 && person.Unreact(p.channel, p.ts, approveEmoji) == nil {
			c.events++
			err = person.React(p.channel, p.ts, approveEmoji)
		}
		if err == nil { // else they are not in that conversation
			p.approved[who]++
			c.events++
		}
	}
	return nil
}

// approvals is what came of the cards.
type approvals struct {
	cards, opened, pushed, stale, open int
	given                              int // by people, on cards
}

// hold holds the cards, and what is on GitHub, against the approvals that people gave:
//
//   - a card's pull request was opened, or pushed to, by one of those who put ✅ on it, and has the card's commit;
//   - each of the others has one answer, and whoever did it again may have one more;
//   - a pull request was opened for one card, a session has one branch and one more after each merge, and no branch is there without a pull request;
//   - a card that somebody approved who may is not left as it was: it is opened, or a newer one has taken its place.
func (t *tally) hold(c *crowd, now *slacktest.Snapshot, hub *githubtest.Server, owe func(kind string, e errand, least, most int)) {
	pulls, branches := map[int]githubtest.Pull{}, map[string]int{}
	for _, p := range hub.Pulls(stageRepo) {
		pulls[p.Number] = p
		if branches[p.Head]++; branches[p.Head] > 1 {
			t.bad(&t.doubled, 1, "a pull request too many for the branch %s: #%d", p.Head, p.Number)
		}
	}
	of := map[string]int{} // branches by session, less those that are merged
	for _, p := range pulls {
		if id, _, _ := strings.Cut(strings.TrimPrefix(p.Head, "inspect/"), "-"); p.Merged {
			of[id]--
		}
	}
	for ref := range hub.Refs(stageRepo) {
		name, ours := strings.CutPrefix(ref, "refs/heads/inspect/")
		if !ours {
			continue
		}
		id, _, _ := strings.Cut(name, "-")
		if of[id]++; of[id] > 1 {
			t.bad(&t.doubled, 1, "a branch too many in session %s: %s", id, ref)
		}
		if branches["inspect/"+name] == 0 {
			t.bad(&t.meddled, 1, "a branch without a pull request: %s", ref)
		}
	}
	openedFor, told := map[int]int{}, map[int]int{}
	for _, p := range c.cards {
		t.cards++
		m, _ := now.Message(p.channel, p.ts)
		card, ok := readCard(m)
		at := p.channel + "/" + p.ts
		switch {
		case !ok:
			t.bad(&t.lost, 1, "the card at %s is gone: %.200s", at, m.Text)
		case card.heading == underWay:
			t.bad(&t.lost, 1, "the card at %s was approved, and nothing came of it: %.200s", at, m.Text)
		case card.heading == overdue:
			t.stale++
		case card.heading == proposed:
			if t.open++; p.approved["ada"]+p.approved["bob"] > 0 && p.approved["cyd"] == 0 { // hers may have been tried when theirs came
				t.bad(&t.lost, 1, "the card at %s was approved by %v, and is open", at, p.approved)
			}
		default:
			pull, there := pulls[card.number]
			by := strings.ToLower(strings.SplitN(card.by, " ", 2)[0])
			told[card.number]++
			if card.heading == openedAs {
				t.opened++
				if openedFor[card.number]++; openedFor[card.number] > 1 {
					t.bad(&t.doubled, 1, "the card at %s opened #%d, and so did another", at, card.number)
				}
			} else {
				t.pushed++
			}
			log, err := hub.Log(stageRepo, pull.BaseSHA+".."+pull.HeadSHA)
			switch {
			case !there || err != nil:
				t.bad(&t.lost, 1, "the card at %s tells of #%d, which is not there: %v", at, card.number, err)
			case p.approved[by] == 0 || card.heading == openedAs && pull.Author != cast[by]:
				t.bad(&t.meddled, 1, "the card at %s was done for %s, who did not ask for it: %v, #%d is of %s", at, card.by, p.approved, pull.Number, pull.Author)
			case !slices.ContainsFunc(log, func(k githubtest.Commit) bool { return strings.HasPrefix(k.SHA, card.commit) }):
				t.bad(&t.lost, 1, "the card at %s is about %s, which is not in #%d", at, card.commit, card.number)
			}
		}
		if n := c.diffs[p.channel+"/"+p.thread+"/"+card.commit+".diff"]; n != 1 {
			t.bad(&t.doubled, 1, "the card at %s has %d diffs", at, n)
		}
		for who, n := range p.approved {
			t.given += n
			e := errand{who: c.id(who), channel: p.channel, thread: p.thread}
			switch {
			case who == "guest": // is told once in a thread
				c.guests[whereFor(e.who, e.channel, e.thread)] = e
			case card.by != "" && who == strings.ToLower(strings.SplitN(card.by, " ", 2)[0]):
				owe("card", e, 0, 2*(n-1)) // taking it off in between may be answered, too
			default:
				owe("card", e, 1, 2*n-1)
			}
		}
	}
	for number, p := range pulls {
		if told[number] == 0 {
			t.bad(&t.meddled, 1, "#%d (%s) is on GitHub, and no card tells of it", number, p.Head)
		}
	}
}
