//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"openinspect/bot/slacktest"
)

// errand is a message that somebody addressed to the bot.
type errand struct {
	kind    string // prompt, stop, or what a private answer is told by: see answers
	who     string // id
	channel string
	thread  string // where a private answer stands; empty: at the top of the channel
	ts      string
	task    string // of a prompt
	changes bool   // whether the prompt asks for any
	deleted bool   // by its author, later
	edits   int    // by its author, later
}

func (e errand) at() string { return e.channel + "/" + e.ts }

// answers tell the bot's private answers apart.
var answers = map[string]string{
	"full":    "prompts wait in this thread already",
	"empty":   "Your message has no task in it.",
	"long":    "characters with what it quotes",
	"control": "There is no session here: each has a thread.|There is no session in this thread.",
	"guest":   "full members of this workspace only",
	"command": "`/inspect channel repo owner/name`",
	"stop":    "Nothing is running here|That turn is over already|The agent is done already",
	"sorry":   "Your request came to nothing",
	"card": "is being opened already|Already opened as|there are newer commits|cannot see " + stageRepo +
		"|If it should not be, close it on GitHub|If the pull request should not be there, close it on GitHub" + // to whoever took their ✅ off again
		"|stands. Dismiss it on GitHub|is being submitted|That was too late: #|That may be too late: #" + // likewise
		"|Ask for it again|is closed|is merged already|is merging it already|cannot be merged|It needs one approving review|You prompted some|You opened #|has newer commits|so nothing was pushed|meanwhile, without ",
}

// talk is a thread that people write in.
type talk struct {
	channel, root string
	rooted        bool // replies are prompts; else only what mentions the bot is
	prompted      bool
	changes       bool   // people want some of the code, again and again
	owner         string // of a direct conversation: nobody else is in it
	status        string // ts of the newest status message
	prompt        string // that it is about
}

// click is a press of a Stop button, and what it was to stop.
type click struct {
	*slacktest.Delivery
	errand
}

// crowd is the people, and what they remember of what they did.
type crowd struct {
	slack  *slacktest.Server
	now    func() time.Time
	chance *rand.Rand
	events int // so far, as TestTorture counts them
	limit  int // of them
	want   int // threads

	talks    []*talk
	chatter  []slacktest.Message // own messages that are none of the bot's business
	said     []*errand
	byPlace  map[string]*errand
	reacted  []errand // stops by reaction: thread is the place, task the prompt that was to stop
	clicked  []click
	commands []*slacktest.Command
	asked    map[*slacktest.Command]errand
	tasks    int
	guests   map[string]errand // reactions of the guest's on cards, by place: one answer each
	diffs    map[string]int    // files of the bot's, by channel, thread and name

	mu      sync.Mutex
	pending map[string]*errand // prompts without an outcome so far, by channel and ts
	over    map[string]bool    // those that have one; maybe before whoever said it has noted that
	refused map[string]int     // refusals, by place
	mending map[string]bool    // corrections that are under way
	cards   []*proposal
	pulls   []*pulled
	opening map[string]bool // cards, by channel and ts: whether a pull request is being opened for them
	last    time.Time       // when the bot last did something
	changed chan struct{}
	threads map[string]*talk // by channel and root
}

var members = []string{"ada", "bob"}

func newCrowd(s *slacktest.Server, now func() time.Time, chance *rand.Rand, events int) *crowd {
	c := &crowd{slack: s, now: now, chance: chance, guests: map[string]errand{}, limit: events, want: max(20, min(200, events/20)), byPlace: map[string]*errand{}, asked: map[*slacktest.Command]errand{},
		pending: map[string]*errand{}, over: map[string]bool{}, refused: map[string]int{}, mending: map[string]bool{}, opening: map[string]bool{}, diffs: map[string]int{}, changed: make(chan struct{}), threads: map[string]*talk{}}
	s.OnChange(c.notice)
	return c
}

// maxOpen is how much is asked of the bot at once.
const maxOpen = 150

// act has somebody do something, once not too much is under way.
func (c *crowd) act(ctx context.Context) error {
	for {
		open := c.open()
		if open < maxOpen && c.slack.Unacked() < 300 {
			break
		}
		if !c.wait(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%d prompts have no outcome, %d events no acknowledgement: %w", open, c.slack.Unacked(), ctx.Err())
		}
	}
	who := members[c.chance.IntN(len(members))]
	n := c.chance.IntN(100)
	if len(c.talks) < c.want && c.chance.IntN(8) == 0 || len(c.talks) == 0 {
		return c.begin(who)
	}
	t := c.talks[c.chance.IntN(len(c.talks))]
	if t.owner != "" {
		who = t.owner
	}
	switch {
	case n < 16:
		return c.prompt(who, t)
	case n < 19:
		return c.stop(who, t)
	case n < 22:
		return c.stopReaction(who, t)
	case n < 40:
		return c.aside(who, t)
	case n < 59:
		return c.chat(who)
	case n < 65:
		return c.approve(who)
	case n < 71:
		return c.ship(who)
	case n < 76:
		return c.react(who)
	case n < 90:
		return c.change()
	case n < 92:
		return c.nonsense(who, t)
	case n < 94:
		return c.command(who)
	case n < 95:
		return c.guestTalk()
	case n < 96 && len(c.talks) < c.want:
		return c.second(who)
	}
	return c.chat(who)
}

func (c *crowd) room() string { return fmt.Sprintf("room%d", c.chance.IntN(8)) }

func (c *crowd) task(t *talk) (task, text string) {
	if c.chance.IntN(4) == 0 {
		return c.taskOf("slow", t)
	}
	return c.taskOf("fast", t)
}

func (c *crowd) taskOf(speed string, t *talk) (task, text string) {
	c.tasks++
	task = fmt.Sprintf("t%d", c.tasks)
	if t.changes && c.chance.IntN(3+c.limit/8_000) == 0 {
		speed += " with changes"
	}
	return task, fmt.Sprintf("please do task %s %s, thank you", task, speed)
}

// addressed remembers a message to the bot.
func (c *crowd) addressed(kind, task string, m slacktest.Message) {
	e := &errand{kind: kind, who: m.User, channel: m.Channel, thread: m.ThreadTS, ts: m.TS, task: task, changes: strings.Contains(m.Text, "with changes")}
	if strings.HasPrefix(m.Channel, "D") && e.thread == "" {
		e.thread = m.TS
	}
	c.said = append(c.said, e)
	c.byPlace[e.at()] = e
	if kind == "prompt" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pending[e.at()] = e
	}
}

// begin opens a thread: by a mention, by a direct message, or as talk among people into which the bot may be called.
func (c *crowd) begin(who string) error {
	t := &talk{rooted: true, changes: c.chance.IntN(4) == 0}
	task, text := c.task(t)
	var m slacktest.Message
	var err error
	switch n := c.chance.IntN(20); {
	case n < 12:
		m, err = c.slack.As(who).Mention(c.room(), text)
		c.events += 2
	case n < 14:
		m, err = c.slack.As(who).Mention("lobby", text)
		c.events += 2
	case n < 16:
		t.owner = who
		m, err = c.slack.As(who).DM(text)
		c.events++
	default:
		t.rooted = false
		m, err = c.slack.As("cyd").Post(c.room(), "what do we do about "+task+"?")
		c.events++
	}
	if err != nil {
		return err
	}
	t.channel, t.root = m.Channel, m.TS
	c.mu.Lock()
	c.threads[t.channel+"/"+t.root] = t
	c.mu.Unlock()
	c.talks = append(c.talks, t)
	if t.rooted {
		c.addressed("prompt", task, m)
		t.prompted = true
	} else {
		c.chatter = append(c.chatter, m)
	}
	return nil
}

// second mentions the bot in a message that had been sent without.
func (c *crowd) second(who string) error {
	t := &talk{rooted: true, prompted: true}
	task, text := c.task(t)
	m, err := c.slack.As(who).Post(c.room(), text)
	if err != nil {
		return err
	}
	if m, err = c.slack.As(who).Edit(m.Channel, m.TS, "@inspect "+text); err != nil {
		return err
	}
	c.events += 3
	t.channel, t.root = m.Channel, m.TS
	c.mu.Lock()
	c.threads[t.channel+"/"+t.root] = t
	c.mu.Unlock()
	c.talks = append(c.talks, t)
	c.addressed("prompt", task, m)
	return nil
}

func (c *crowd) prompt(who string, t *talk) error {
	if c.chance.IntN(60) == 0 { // more than can wait
		for range 14 {
			if err := c.promptOf("slow", who, t); err != nil {
				return err
			}
		}
	}
	speed := "fast"
	if c.chance.IntN(4) == 0 {
		speed = "slow"
	}
	return c.promptOf(speed, who, t)
}

func (c *crowd) promptOf(speed, who string, t *talk) error {
	task, text := c.taskOf(speed, t)
	c.events++
	if !t.rooted {
		text = "@inspect " + text
		c.events++
		t.prompted = true
	}
	m, err := c.slack.As(who).Reply(t.channel, t.root, text)
	if err == nil {
		c.addressed("prompt", task, m)
	}
	return err
}

func (c *crowd) stop(who string, t *talk) error {
	if c.chance.IntN(2) == 0 { // something that can still be stopped
		if err := c.promptOf("slow", who, t); err != nil {
			return err
		}
	}
	text := "stop"
	c.events++
	if !t.rooted {
		if !t.prompted {
			return c.aside(who, t)
		}
		text = "@inspect stop"
		c.events++
	}
	m, err := c.slack.As(who).Reply(t.channel, t.root, text)
	if err == nil {
		c.addressed("stop", "", m)
	}
	return err
}

func (c *crowd) stopReaction(who string, t *talk) error {
	c.mu.Lock()
	status, prompt := t.status, t.prompt
	c.mu.Unlock()
	if status == "" {
		return c.chat(who)
	}
	if c.chance.IntN(2) == 0 { // the button, if the turn is not over
		if d, err := c.slack.As(who).Click(t.channel, status, "Stop"); err == nil {
			c.events++
			c.clicked = append(c.clicked, click{d, errand{who: c.id(who), channel: t.channel, thread: t.root, task: prompt}})
		}
		return nil
	}
	if err := c.slack.As(who).React(t.channel, status, "octagonal_sign"); err != nil {
		return nil // they had done so before
	}
	c.events++
	u := c.id(who)
	c.reacted = append(c.reacted, errand{who: u, channel: t.channel, thread: t.root, task: prompt})
	return nil
}

// aside is talk in a thread that is not for the bot.
func (c *crowd) aside(who string, t *talk) error {
	text := []string{"!aside I wonder", "@bob did you see that?", "@ada @bob lunch?"}[c.chance.IntN(3)]
	if !t.rooted {
		who = "cyd" // who has never prompted there
	}
	m, err := c.slack.As(who).Reply(t.channel, t.root, text)
	c.events++
	c.chatter = append(c.chatter, m)
	return err
}

func (c *crowd) chat(who string) error {
	m, err := c.slack.As(who).Post([]string{"shop", "lobby", c.room()}[c.chance.IntN(3)], "nothing for a bot, "+who)
	c.events++
	c.chatter = append(c.chatter, m)
	return err
}

func (c *crowd) react(who string) error {
	emoji := []string{"tada", "eyes", "white_check_mark", "ship", "octagonal_sign"}[c.chance.IntN(5)]
	if len(c.chatter) == 0 {
		return nil
	}
	m := c.chatter[c.chance.IntN(len(c.chatter))]
	if c.slack.As(who).React(m.Channel, m.TS, emoji) == nil {
		c.events++
	}
	return nil
}

// change has somebody edit or delete what they wrote.
func (c *crowd) change() error {
	if len(c.chatter) == 0 {
		return nil
	}
	i := c.chance.IntN(len(c.chatter))
	m := c.chatter[i]
	name := strings.ToLower(strings.TrimPrefix(m.User, "U0"))
	switch n := c.chance.IntN(20); {
	case n < 4 && m.ThreadTS != "":
		if c.slack.As(name).Delete(m.Channel, m.TS) == nil {
			c.events++
			c.chatter[i] = c.chatter[len(c.chatter)-1]
			c.chatter = c.chatter[:len(c.chatter)-1]
		}
	case n < 6 && len(c.said) > 0:
		e := c.said[c.chance.IntN(len(c.said))]
		if e.kind == "prompt" && e.thread != "" && e.thread != e.ts && !e.deleted && c.slack.As(e.who).Delete(e.channel, e.ts) == nil {
			e.deleted = true
			c.events++
			c.mu.Lock()
			delete(c.pending, e.at()) // it may never be read
			c.mu.Unlock()
		}
	case n < 9 && len(c.said) > 0:
		e := c.said[c.chance.IntN(len(c.said))]
		if e.kind == "prompt" && !e.deleted {
			if now, ok := c.slack.MessageNow(e.channel, e.ts); ok {
				if _, err := c.slack.As(e.who).Edit(e.channel, e.ts, now.Text+" (soon)"); err == nil {
					e.edits++
					c.events++
				}
			}
		}
	default:
		if now, ok := c.slack.MessageNow(m.Channel, m.TS); ok {
			if _, err := c.slack.As(name).Edit(m.Channel, m.TS, now.Text+" really"); err == nil {
				c.events++
			}
		}
	}
	return nil
}

// nonsense is addressed to the bot and cannot be done.
func (c *crowd) nonsense(who string, t *talk) error {
	kind, text := "empty", ""
	switch c.chance.IntN(8) {
	case 0:
		kind, text = "long", strings.Repeat("x", 64_100)
	case 1, 2, 3:
		kind, text = "control", "!status"
	}
	c.events += 2
	m, err := c.slack.As(who).Mention(c.room(), text)
	if err == nil {
		c.addressed(kind, "", m)
	}
	return err
}

func (c *crowd) command(who string) error {
	d, err := c.slack.As(who).Command("shop", []string{"help", "hlep", ""}[c.chance.IntN(3)])
	if err != nil {
		return err
	}
	c.events++
	u := c.id(who)
	c.commands = append(c.commands, d)
	c.asked[d] = errand{kind: "command", who: u, channel: "C0SHOP"}
	return nil
}

// guestTalk is the guest, who may not ask anything of the bot, and tries.
func (c *crowd) guestTalk() error {
	c.events += 2
	m, err := c.slack.As("guest").Mention("lobby", "do my work")
	if err == nil {
		c.addressed("guest", "", m)
	}
	return err
}

func (c *crowd) id(who string) string { return "U0" + strings.ToUpper(who) }
