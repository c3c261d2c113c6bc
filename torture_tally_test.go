//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
)

var concludedText = regexp.MustCompile(`^#(\d+) was merged by \S+ as [0-9a-f]{7}\. A message here begins a new branch`)

// tally is what came of everything that was said.
type tally struct {
	events, threads, prompts       int
	withdrawn                      int // by their author, before they were read
	corrections                    int // turns because a message was edited after the agent had it
	done, stopped, failed, refused int
	other                          int // of what was addressed to the bot: stops, commands, mistakes, guests
	again                          int // said again to one person, after an answer that was lost
	approvals
	ships                          int         // pull requests that were merged
	concluded                      map[int]int // by number: how often a thread was told that
	silent, lost, doubled, meddled int
	wrong                          []string // what, in words
}

func (t *tally) String() string {
	return fmt.Sprintf("%d events in %d threads: %d prompts (%d done, %d stopped, %d failed, %d refused, %d deleted unread, %d corrections), %d other messages to the bot, %d private answers said again\n"+
		"%d ✅ on %d cards: %d pull requests opened, %d pushed to, %d merged; %d cards stale, %d open\n"+
		"%d lost, %d doubled, %d silent, %d meddled\n", t.events, t.threads, t.prompts, t.done, t.stopped, t.failed, t.refused, t.withdrawn, t.corrections, t.other, t.again, t.given, t.cards, t.opened, t.pushed, t.ships, t.stale, t.open, t.lost, t.doubled, t.silent, t.meddled)
}

func (t *tally) bad(n *int, by int, format string, args ...any) {
	*n += by
	if len(t.wrong) < 40 {
		t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
	}
}

// tally holds what is in Slack against what people said.
func (c *crowd) tally(now *slacktest.Snapshot, hub *githubtest.Server, crew *crew, w *weather) *tally {
	t := &tally{events: c.events, threads: len(c.talks), concluded: map[int]int{}}
	self := c.slack.Bot().ID
	keys := map[string]int{}
	type turn struct{ status, result []slacktest.Message }
	turns := map[string]*turn{}
	corrections := map[string]bool{}       // turns of those
	private := map[string]map[string]int{} // by kind, by place
	for kind := range answers {
		private[kind] = map[string]int{}
	}
	words := map[string][]string{} // of those, with their times
	sort := func(m slacktest.Message, user string) bool {
		for kind, phrases := range answers {
			if slices.ContainsFunc(strings.Split(phrases, "|"), func(s string) bool { return strings.Contains(m.Text, s) }) && (kind != "command" || !strings.Contains(m.Text, answers["empty"])) {
				at := whereFor(user, m.Channel, m.ThreadTS)
				private[kind][at]++
				words[kind+at] = append(words[kind+at], m.TS+" "+m.Text)
				return true
			}
		}
		return false
	}
	channels := []string{"shop", "lobby", "D0ADA", "D0BOB", "D0CYD", "D0DAN", "D0GUEST"}
	for n := range 8 {
		channels = append(channels, fmt.Sprintf("room%d", n))
	}
	seen := map[string]slacktest.Message{}
	pullCards := 0
	for _, ch := range channels {
		for _, m := range now.Messages(ch) {
			at := m.Channel + "/" + m.TS
			seen[at] = m
			if m.User != self {
				eyes := slices.ContainsFunc(m.Reactions, func(r slacktest.Reaction) bool { return r.Name == "eyes" && slices.Contains(r.Users, self) })
				if eyes && c.byPlace[at] == nil {
					t.bad(&t.meddled, 1, "the bot looked at %s, which nobody addressed to it: %.80s", at, m.Text)
				}
				continue
			}
			if m.Metadata != nil {
				keys[m.Channel+" "+m.Metadata.EventPayload["key"].(string)]++
			}
			kind, prompt := keyOf(m)
			switch kind {
			case "status", "result":
				at := m.Channel + "/" + prompt
				if turns[at] == nil {
					turns[at] = &turn{}
				}
				of, edit, corrects := strings.Cut(at, "~")
				if corrects && !corrections[at] {
					corrections[at] = true
					t.corrections++
				}
				if e := c.byPlace[of]; e == nil || e.kind != "prompt" || corrects && e.edits == 0 {
					t.bad(&t.meddled, 1, "a turn for %s, which is no prompt (edit %q): %.80s", at, edit, m.Text)
				}
				if kind == "status" {
					turns[at].status = append(turns[at].status, m)
				} else {
					turns[at].result = append(turns[at].result, m)
				}
			case "late": // once for each absence, as its key says
			case "card":
				pullCards++
			default:
				if len(m.Files) > 0 {
					c.diffs[m.Channel+"/"+m.ThreadTS+"/"+m.Files[0].Name]++
					break
				}
				if strings.HasPrefix(m.Text, "I was away, and read what was said here only now") {
					break // of minutes that are seconds to us
				}
				if f := concludedText.FindStringSubmatch(m.Text); f != nil {
					n, _ := strconv.Atoi(f[1])
					t.concluded[n]++
					break
				}
				if !sort(m, "U"+strings.TrimPrefix(m.Channel, "D")) {
					t.bad(&t.meddled, 1, "a message nobody asked for in %s: %.120s", m.Channel, m.Text)
				}
			}
		}
	}
	for key, n := range keys {
		if n > 1 {
			t.bad(&t.doubled, n-1, "%d messages with the key %s", n, key)
		}
	}
	for run, n := range crew.runs {
		if n > 1 {
			t.bad(&t.doubled, n-1, "prompt %s was run %d times", run, n)
		}
	}
	for _, user := range []string{"ada", "bob", "cyd", "dan", "guest"} {
		for _, m := range now.Ephemerals(user) {
			if !sort(m, m.To) {
				t.bad(&t.meddled, 1, "%s was told something unexpected: %.120s", user, m.Text)
			}
		}
	}

	// What each place owes in private answers: at least, and at most.
	owed := map[string]map[string][2]int{}
	owe := func(kind string, e errand, least, most int) {
		if owed[kind] == nil {
			owed[kind] = map[string][2]int{}
		}
		o := owed[kind][whereFor(e.who, e.channel, e.thread)]
		owed[kind][whereFor(e.who, e.channel, e.thread)] = [2]int{o[0] + least, o[1] + most}
	}
	stopped := func(at string) bool {
		return turns[at] != nil && len(turns[at].status) > 0 && strings.HasPrefix(turns[at].status[0].Text, "Stopped")
	}
	for _, e := range c.said {
		eyes := slices.ContainsFunc(seen[e.at()].Reactions, func(r slacktest.Reaction) bool { return r.Name == "eyes" && slices.Contains(r.Users, self) })
		switch e.kind {
		case "prompt":
			t.prompts++
			turn := turns[e.at()]
			owe("full", *e, 0, e.edits) // an edit is refused like a message, and one that was refused is tried again
			if turn != nil && e.edits > 0 {
				owe("full", *e, 0, 1)
			}
			switch {
			case turn == nil && e.deleted:
				t.withdrawn++ // before anybody had read it, or after it was refused
				owe("full", *e, 0, 1)
			case turn == nil && eyes:
				t.bad(&t.lost, 1, "prompt %s (%s) was seen and never run", e.at(), e.task)
			case turn == nil:
				t.refused++
				owe("full", *e, 1, 1)
			case len(turn.result) == 1 && strings.Contains(turn.result[0].Text, "Answer to "+e.task+"."):
				t.done++
				if _, ok := readCard(turn.result[0]); !ok && e.changes {
					t.bad(&t.lost, 1, "prompt %s (%s) left changes, and no card", e.at(), e.task)
				}
			case len(turn.result) == 1 && strings.Contains(turn.result[0].Text, "This turn failed"):
				t.failed++ // nothing that happens here is a reason for that
				t.bad(&t.lost, 1, "prompt %s (%s) failed: %.300s", e.at(), e.task, turn.result[0].Text)
			case len(turn.result) == 0 && stopped(e.at()):
				t.stopped++
			case len(turn.result) == 0:
				t.bad(&t.lost, 1, "prompt %s (%s) never ended: %.100s", e.at(), e.task, turn.status[0].Text)
			default:
				t.bad(&t.doubled, 1, "prompt %s (%s) has %d results: %.100s", e.at(), e.task, len(turn.result), turn.result[0].Text)
			}
			if turn != nil && !eyes && !e.deleted {
				t.bad(&t.silent, 1, "prompt %s was run and has no 👀", e.at())
			}
			if turn != nil && len(turn.status) != 1 {
				t.bad(&t.doubled, 1, "prompt %s has %d status messages", e.at(), len(turn.status))
			}
		case "stop":
			t.other++
			if !eyes {
				owe("stop", *e, 1, 1)
			}
		default:
			t.other++
			owe(e.kind, *e, 1, 1)
		}
	}
	for at := range corrections {
		turn := turns[at]
		switch {
		case len(turn.status) != 1 || len(turn.result) > 1:
			t.bad(&t.doubled, 1, "correction %s has %d status messages and %d results", at, len(turn.status), len(turn.result))
		case len(turn.result) == 0 && !stopped(at):
			t.bad(&t.lost, 1, "correction %s never ended: %.100s", at, turn.status[0].Text)
		}
	}
	t.hold(c, now, hub, owe)
	t.merged(c, now, hub, w, owe)
	for _, e := range c.guests {
		owe("guest", e, 1, 1)
	}
	if pullCards != t.opened+t.pushed {
		t.bad(&t.lost, max(1, t.opened+t.pushed-pullCards), "%d cards of pull requests, and %d were opened or pushed to", pullCards, t.opened+t.pushed)
	}
	for _, e := range c.reacted {
		t.other++
		if stopped(e.channel + "/" + e.task) {
			owe("stop", e, 0, 1)
		} else {
			owe("stop", e, 1, 1)
		}
	}
	for _, e := range c.clicked {
		t.other++
		if stopped(e.channel+"/"+e.task) || !acked(e.Delivery) {
			owe("stop", e.errand, 0, 1) // what Slack could not bring to us it tells people itself
		} else {
			owe("stop", e.errand, 1, 1)
		}
	}
	for _, d := range c.commands {
		t.other++
		if acked(d.Delivery) {
			owe("command", c.asked[d], 1, 1) // else Slack itself has told them that the app did not respond
		} else {
			owe("command", c.asked[d], 0, 1)
		}
	}
	for at, o := range owed["stop"] { // one that overtook the mention that opened its thread is told that nothing runs there
		for private["stop"][at] < o[0] && private["control"][at] > owed["control"][at][1] {
			private["stop"][at]++
			private["control"][at]--
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(answers)) {
		places := maps.Clone(private[kind])
		for at := range owed[kind] {
			places[at] += 0
		}
		for at, n := range places {
			o := owed[kind][at]
			missing := o[0] - n
			for missing > 0 && private["sorry"][at] > 0 {
				private["sorry"][at]--
				missing--
			}
			if missing > 0 {
				t.bad(&t.silent, missing, "%d answers of the kind %q are missing for %s", missing, kind, at)
			}
			if over := n - o[1]; over > 0 && kind != "sorry" {
				again := min(over, w.lostAnswers[at])
				w.lostAnswers[at] -= again
				t.again += again
				if over > again {
					t.bad(&t.doubled, over-again, "%d answers of the kind %q too many for %s: %q", over-again, kind, at, words[kind+at])
				}
			}
		}
	}
	return t
}

// acked reports whether the bot acknowledged something that Slack sends once.
func acked(d *slacktest.Delivery) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := d.Acked(ctx)
	return err == nil
}
