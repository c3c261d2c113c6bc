//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/github/githubtest"
)

// weather is what Slack and the network do to the bot.
type weather struct {
	slack *slacktest.Server
	long  bool // there is time for answers that never come

	mu          sync.Mutex
	chance      *rand.Rand
	fine        bool
	held        []func()
	counts      map[string]int
	hangs       int
	sound       int            // of GitHub: calls since the last that failed, each counted before and after its work
	strike      func()         // kills the bot once GitHub has done something for good; nil: not now
	private     []said         // ephemerals whose answer the bot may have lost with its life
	lostAnswers map[string]int // ephemerals whose answer was lost, by place

	ships  shipped            // by card, as the bot read them last
	merges map[string]shipped // by commit: when the bot asked GitHub to merge it
}

type said struct {
	place string
	at    time.Time
}

func (w *weather) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := "weather:"
	for _, what := range slices.Sorted(maps.Keys(w.counts)) {
		s += fmt.Sprintf(" %s %d,", what, w.counts[what])
	}
	return strings.TrimSuffix(s, ",") + "\n"
}

func (w *weather) count(what string) {
	if w.counts == nil {
		w.counts = map[string]int{}
	}
	w.counts[what]++
}

// whereFor is where an ephemeral is: for whom, in which channel and thread.
func whereFor(user, channel, thread string) string { return user + " " + channel + " " + thread }

func (w *weather) faults() slacktest.Faults {
	return slacktest.Faults{Before: w.before, After: w.after, Deliver: w.deliver}
}

// before keeps one call in seventy from Slack.
func (w *weather) before(c slacktest.Call) *slacktest.Response {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fine {
		return nil
	}
	switch n := w.chance.IntN(1000); {
	case n < 5:
		w.count("limited")
		return slacktest.RateLimited(time.Duration(1+w.chance.IntN(5)) * time.Second)
	case n < 8:
		w.count("failed")
		return slacktest.Failure([]int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable}[w.chance.IntN(3)])
	case n < 10:
		w.count("refused for the moment")
		return slacktest.Refusal([]string{"internal_error", "ratelimited", "service_unavailable"}[w.chance.IntN(3)])
	case n < 13:
		w.count("cut before the work")
		return slacktest.Cut()
	case n < 14 && w.long && w.hangs < 10:
		w.hangs++
		w.count("never answered")
		return slacktest.Hang()
	}
	return nil
}

// after loses the answers of one call in hundred that Slack has carried out.
func (w *weather) after(c slacktest.Call, r slacktest.Response) *slacktest.Response {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lost *slacktest.Response
	if !w.fine {
		switch n := w.chance.IntN(1000); {
		case n < 6:
			lost = slacktest.Cut()
		case n < 10:
			lost = slacktest.Failure(http.StatusGatewayTimeout)
		}
	}
	if lost != nil {
		w.count("answers lost after the work")
	} else if c.Method == "reactions.get" {
		w.read(c, r)
	}
	if c.Method == "chat.postEphemeral" && strings.HasPrefix(string(r.Body), `{"`) && strings.Contains(string(r.Body), `"ok":true`) {
		at := whereFor(c.Args["user"], c.Args["channel"], c.Args["thread_ts"])
		if lost != nil {
			w.lostAnswers[at]++
		} else {
			w.private = append(w.private, said{at, time.Now()})
		}
	}
	return lost
}

// github keeps some of the calls that approvals and commits need from GitHub, and loses the answers of some that it has carried out.
func (w *weather) github(c githubtest.Call) *githubtest.Response {
	lasting := c.Route == "git git-receive-pack" || c.Route == mergeRoute || c.Route == reviewRoute || strings.HasPrefix(c.Route, "POST") && strings.HasSuffix(c.Route, "/pulls")
	w.mu.Lock()
	if c.Route == mergeRoute && !c.After {
		w.merging(c)
	}
	if strike := w.strike; strike != nil && lasting && c.After {
		w.strike = nil
		w.count("killed before GitHub's answer")
		w.mu.Unlock()
		strike()
		return nil
	}
	defer w.mu.Unlock()
	if w.fine || !lasting && !strings.HasPrefix(c.Route, "git ") && !strings.HasSuffix(c.Route, "/pulls") && !strings.HasSuffix(c.Route, "/access_tokens") {
		return nil
	}
	if w.sound++; w.sound < 20 { // what is tried again a few times succeeds in the end
		return nil
	}
	n := w.chance.IntN(100)
	switch {
	case c.After && (n < 3 || n < 30 && lasting):
		w.sound = 0
		w.count("GitHub's answers lost after the work")
		return &githubtest.Response{Drop: n%2 == 0, Cut: n%2 == 1}
	case !c.After && n < 5:
		w.sound = 0
		w.count("GitHub failed")
		return githubtest.Busy(http.StatusBadGateway)
	}
	return nil
}

// arm has the bot killed when GitHub has pushed something, or opened, reviewed or merged a pull request, and the bot does not know yet.
func (w *weather) arm(kill func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strike = kill
}

// disarm takes that back. It reports whether it had not come to it.
func (w *weather) disarm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	armed := w.strike != nil
	w.strike = nil
	return armed
}

// killed kills the bot. What Slack had just shown to one person may be shown again: the bot may not have lived to note that it was.
func (w *weather) killed(kill func()) {
	kill()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.private {
		if time.Since(p.at) < 3*time.Second {
			w.lostAnswers[p.place]++
		}
	}
	w.private = nil
}

// deliver repeats a tenth of the events, holds back a twentieth until others have passed, spoils a fiftieth, and loses some, which Slack
// sends again later.
func (w *weather) deliver(e slacktest.Envelope, send func(slacktest.Envelope)) {
	w.mu.Lock()
	var release []func()
	n := 1000
	if !w.fine {
		n = w.chance.IntN(1000)
	}
	if e.Type != slacktest.EventsAPI {
		n = 1000 // Slack does not repeat what it sends for a command
	}
	times := 1
	switch {
	case n < 100:
		w.count("events sent twice")
		times = 2
	case n < 150:
		w.count("events held back")
		w.held = append(w.held, func() { send(e) })
		times = 0
	case n < 160:
		w.count("events spoiled")
		e.Payload = spoiled(e.Payload)
	case n < 170:
		w.count("frames of garbage")
		w.slack.SendFrame([]byte([]string{`{not json`, `{"type":"events_api","payload":7,"envelope_id":"x"}`, `[]`, `{"type":"news","envelope_id":"y"}`}[w.chance.IntN(4)]))
	case n < 175:
		w.count("events lost")
		times = 0
	}
	if times > 0 && len(w.held) > 0 && (w.fine || w.chance.IntN(4) == 0) {
		release, w.held = w.held, nil
	}
	w.mu.Unlock()
	for range times {
		send(e)
	}
	for _, f := range slices.Backward(release) {
		f()
	}
}

// spoiled gives fields of an event kinds that Slack's clients do not expect. What it says stays.
func spoiled(raw json.RawMessage) json.RawMessage {
	var p map[string]any
	if json.Unmarshal(raw, &p) != nil {
		return raw
	}
	if e, ok := p["event"].(map[string]any); ok {
		e["files"], e["client_msg_id"], e["blocks"], p["authorizations"], p["event_time"] = "none", 7, 8, 3, "noon"
	}
	out, err := json.Marshal(p)
	if err != nil {
		return raw
	}
	return out
}

// storm does something to the sockets.
func (w *weather) storm() {
	w.mu.Lock()
	n := w.chance.IntN(12)
	w.mu.Unlock()
	count := func(what string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.count(what)
	}
	switch {
	case n < 3:
		count("sockets cut")
		w.slack.CutSockets()
	case n < 7:
		count("sockets ended by Slack")
		w.slack.Disconnect([]string{"warning", "refresh_requested", "link_disabled", "too_many_websockets"}[n-3])
	case n < 8 && w.long:
		count("sockets gone silent")
		w.slack.HalfOpen()
	case n < 10:
		count("times in pieces")
		w.slack.Split(n%2 == 0)
	}
	w.slack.Redeliver()
}

// calm lets everything work again.
func (w *weather) calm() {
	w.mu.Lock()
	w.fine, w.strike = true, nil
	held := w.held
	w.held = nil
	w.mu.Unlock()
	for _, f := range held {
		f()
	}
	w.slack.Split(false)
}
