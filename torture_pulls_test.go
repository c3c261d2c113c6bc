//go:build linux

package main

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
)

const approveEmoji, mergeEmoji = "white_check_mark", "ship"

// pulled is the card of a pull request, and what people put on it and took off again, by person and emoji.
type pulled struct {
	channel, thread, ts string
	number              int
	commit              string // seven digits
	put, taken          map[[2]string]int
	first               map[string]time.Time // when somebody first put 🚢 there, by the run's clock
}

func (p *pulled) at() string { return p.channel + "/" + p.ts }

var pullText = regexp.MustCompile("\\|#(\\d+)>.* at `([0-9a-f]{7})`")

// noticePull takes the card of a pull request as it comes, and as it changes. c.mu is held.
func (c *crowd) noticePull(m slacktest.Message) {
	at := m.Channel + "/" + m.TS
	if _, known := c.opening[at]; !known {
		f := pullText.FindStringSubmatch(m.Text)
		if f == nil {
			return // the tally misses it
		}
		n, _ := strconv.Atoi(f[1])
		c.pulls = append(c.pulls, &pulled{channel: m.Channel, thread: m.ThreadTS, ts: m.TS, number: n, commit: f[2],
			put: map[[2]string]int{}, taken: map[[2]string]int{}, first: map[string]time.Time{}})
	}
	c.opening[at] = strings.HasPrefix(m.Text, "*Merging ")
}

// ship has somebody do something with one of the newer pull requests: dan, who prompts nowhere, approves; others try to; somebody merges, and takes that
// back at once, or later, or never; and those try who may not.
func (c *crowd) ship(who string) error {
	c.mu.Lock()
	pulls := c.pulls
	c.mu.Unlock()
	if len(pulls) == 0 {
		return c.approve(who)
	}
	p := pulls[len(pulls)-1-c.chance.IntN(min(len(pulls), 10))]
	switch n := c.chance.IntN(12); {
	case n < 4:
		c.put(p, "dan", approveEmoji)
	case n < 5:
		c.put(p, who, approveEmoji)
	case n < 6:
		c.put(p, []string{"cyd", "guest"}[c.chance.IntN(2)], []string{approveEmoji, mergeEmoji}[c.chance.IntN(2)])
	case n < 7:
		c.take(p, []string{who, "dan"}[c.chance.IntN(2)], approveEmoji)
	default:
		if !c.put(p, who, mergeEmoji) && c.take(p, who, mergeEmoji) && c.chance.IntN(2) == 0 {
			c.put(p, who, mergeEmoji)
		}
		if c.chance.IntN(3) == 0 {
			time.Sleep(time.Duration(c.chance.IntN(12)) * time.Second / hurry) // in time, or a little late
			c.take(p, who, mergeEmoji)
		}
	}
	return nil
}

// put reports whether somebody put something there: it may be there, or they may not be in that conversation.
func (c *crowd) put(p *pulled, who, emoji string) bool {
	from := c.now()
	if c.slack.As(who).React(p.channel, p.ts, emoji) != nil {
		return false
	}
	c.events++
	p.put[[2]string{who, emoji}]++
	if _, before := p.first[who]; emoji == mergeEmoji && !before {
		p.first[who] = from
	}
	return true
}

func (c *crowd) take(p *pulled, who, emoji string) bool {
	if c.slack.As(who).Unreact(p.channel, p.ts, emoji) != nil {
		return false
	}
	c.events++
	p.taken[[2]string{who, emoji}]++
	return true
}

// shipped is what the bot had read, when it asked GitHub to merge something: who has 🚢 on which card.
type shipped map[string][]string

// read takes what Slack tells the bot of a message's reactions. w.mu is held.
func (w *weather) read(c slacktest.Call, r slacktest.Response) {
	var answer struct {
		OK      bool
		Message struct{ Reactions []slacktest.Reaction }
	}
	if json.Unmarshal(r.Body, &answer) != nil || !answer.OK {
		return
	}
	at := c.Args["channel"] + "/" + c.Args["timestamp"]
	w.ships[at] = nil
	for _, reaction := range answer.Message.Reactions {
		if reaction.Name == mergeEmoji {
			w.ships[at] = reaction.Users
		}
	}
}

// merging takes that the bot asks GitHub to merge something, and what it knows. w.mu is held.
func (w *weather) merging(c githubtest.Call) {
	var asked struct{ SHA string }
	if json.Unmarshal(c.Body, &asked) == nil {
		w.merges[asked.SHA] = maps.Clone(w.ships)
	}
}

// merged holds what was merged against what people put on cards:
//
//   - it was asked for on the card of that commit, by whoever merged it, ten seconds before; and they still had 🚢 there when the bot looked last;
//   - somebody who neither opened it nor made any of its commits has approved that commit;
//   - its card and its thread tell it, once;
//   - whoever reacted has that, or an answer.
func (t *tally) merged(c *crowd, now *slacktest.Snapshot, hub *githubtest.Server, w *weather, owe func(kind string, e errand, least, most int)) {
	pulls := map[int]githubtest.Pull{}
	for _, p := range hub.Pulls(stageRepo) {
		pulls[p.Number] = p
	}
	refused := map[string]errand{}
	cards := map[string]*pulled{}
	for _, p := range c.pulls {
		pull := pulls[p.number]
		here := strings.HasPrefix(pull.HeadSHA, p.commit)
		if here {
			cards[pull.HeadSHA] = p
		}
		m, _ := now.Message(p.channel, p.ts)
		switch told := strings.Contains(m.Text, "> was merged by "); {
		case strings.HasPrefix(m.Text, "*Merging "):
			t.bad(&t.lost, 1, "#%d was to be merged from the card at %s, and nothing came of it: %.200s", p.number, p.at(), m.Text)
		case pull.Merged && here && !told:
			t.bad(&t.lost, 1, "#%d is merged, and its card at %s says %.200s", p.number, p.at(), m.Text)
		case told && !pull.Merged:
			t.bad(&t.meddled, 1, "#%d is not merged, and its card at %s says %.200s", p.number, p.at(), m.Text)
		}
		for what, n := range p.put {
			who, emoji := what[0], what[1]
			e := errand{who: c.id(who), channel: p.channel, thread: p.thread}
			done := emoji == mergeEmoji && here && pull.MergedBy == login(who) || emoji == approveEmoji && slices.ContainsFunc(pull.Reviews, func(r githubtest.Review) bool {
				return r.Author == login(who) && strings.HasPrefix(r.Commit, p.commit)
			})
			least := 1
			if done || p.taken[what] > 0 {
				least = 0
			}
			if who == "guest" {
				refused[whereFor(e.who, e.channel, e.thread)] = e
				continue
			}
			owe("card", e, least, n+p.taken[what])
			t.given += n
		}
	}
	for _, e := range refused {
		c.guests[whereFor(e.who, e.channel, e.thread)] = e
	}
	for _, pull := range pulls {
		if told := t.concluded[pull.Number]; told != 0 && !pull.Merged || told != 1 && pull.Merged {
			t.bad(&t.lost, 1, "that #%d came to its end was told %d times; merged is %v", pull.Number, told, pull.Merged)
		}
		if !pull.Merged {
			continue
		}
		t.ships++
		p := cards[pull.HeadSHA]
		who := ""
		for _, name := range []string{"ada", "bob", "cyd", "dan"} {
			if login(name) == pull.MergedBy {
				who = name
			}
		}
		log, err := hub.Log(stageRepo, pull.BaseSHA+".."+pull.HeadSHA)
		second := func(r githubtest.Review) bool {
			return r.State == "APPROVED" && r.Commit == pull.HeadSHA && r.Author != pull.Author && !slices.ContainsFunc(log, func(k githubtest.Commit) bool {
				return strings.Contains(k.Author.Email, "+"+r.Author+"@") || strings.Contains(k.Message, "+"+r.Author+"@")
			})
		}
		switch {
		case p == nil || p.first[who].IsZero():
			t.bad(&t.meddled, 1, "#%d was merged by %s, who did not ask for it", pull.Number, pull.MergedBy)
		case pull.Closed.Sub(p.first[who]) < 10*time.Second:
			t.bad(&t.meddled, 1, "#%d was merged %v after %s asked for it", pull.Number, pull.Closed.Sub(p.first[who]), who)
		case !slices.Contains(w.merges[pull.HeadSHA][p.at()], c.id(who)):
			t.bad(&t.meddled, 1, "#%d was merged although %s had taken that back: 🚢 were of %v", pull.Number, who, w.merges[pull.HeadSHA][p.at()])
		case err != nil || !slices.ContainsFunc(pull.Reviews, second):
			t.bad(&t.meddled, 1, "#%d was merged without a second pair of eyes: opened by %s, reviews %v, %v", pull.Number, pull.Author, pull.Reviews, err)
		}
	}
}
