package bot

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	"openinspect/session"
)

// control is a word that steers a session when it is a whole message.
type control string

const (
	controlNone   control = ""
	controlStop   control = "stop" // the only one that needs neither ! nor a mention
	controlStatus control = "status"
	controlRetry  control = "retry"
	controlMute   control = "mute"
	controlUnmute control = "unmute"
	controlClose  control = "close"
	controlHelp   control = "help"
	controlWhy    control = "why"
)

var controls = []string{"stop", "status", "retry", "mute", "unmute", "close", "help", "why"}

var (
	whyLink = regexp.MustCompile(`(?i)^!?\s*why\s+<?https?://[^\s<>|]+>?(\|[^<>]*>)?[.!?\s]*$`)
	shout   = regexp.MustCompile(`^!\s*([A-Za-z]+)[.!?]*(?:\s|$)`)
	polite  = regexp.MustCompile(`(?i)^(?:please|pls)[\s,]+|[\s,]+(?:please|pls|now|thanks)$`)
)

// asMeant is a message as it was meant by somebody who wrote it as code, in bold, or on another keyboard: what begins with ! there does so here.
func asMeant(words string) string {
	words = strings.TrimSpace(words)
	if inner := strings.Trim(strings.TrimRight(words, ".!? "), "`*_~ \n"); inner != words && !strings.ContainsAny(inner, "`\n") {
		words = inner
	}
	if rest, wide := strings.CutPrefix(strings.TrimLeft(words, "`*_~"), "！"); wide {
		words = "!" + rest
	}
	return words
}

// readControl returns the control that a message is. named: it mentions us. slip says what looks like one and is none, as it was written, and what
// to do; such a message is not for the agent either.
func readControl(words string, named bool) (c control, slip string) {
	words = asMeant(words)
	if whyLink.MatchString(words) && (named || strings.HasPrefix(words, "!")) {
		return controlWhy, ""
	}
	word := strings.TrimRight(strings.ToLower(words), ".!? ")
	word = strings.TrimRight(polite.ReplaceAllString(word, ""), ".!?, ")
	name, marked := strings.CutPrefix(word, "!")
	name = strings.TrimSpace(name)
	switch {
	case word == string(controlStop):
		return controlStop, ""
	case marked && name == "aside", !marked && !named:
		return controlNone, ""
	case slices.Contains(controls, name):
		return control(name), ""
	}
	m := shout.FindStringSubmatch(words)
	if m == nil {
		return controlNone, ""
	}
	first := strings.ToLower(m[1])
	near := session.Nearest(first, append([]string{"aside"}, controls...), 1)
	switch {
	case len(near) == 0 || first == "aside":
		return controlNone, ""
	case first == string(controlWhy):
		return controlNone, "`!why` is a message of its own, with nothing behind it but a message’s link, so nothing happened."
	case near[0] == first:
		return controlNone, code("!"+first) + " is a message of its own, so nothing happened. Send it alone; if your words are for the agent, send them without the `!`."
	}
	return controlNone, "I do not know " + code("!"+first) + ", so nothing happened. Did you mean " + code("!"+near[0]) + "? If your words are for the agent, send them without the `!`."
}

// written is a control as people are told to write it.
func (c control) written() string {
	if c == controlStop {
		return code(string(c))
	}
	return code("!" + string(c))
}

// steering is a control on its way to what it means.
type steering struct {
	e  event
	c  conversation
	at place
	by session.Person
}

// key names what is answered to a control, so that it is answered once.
func (s steering) key() string { return "control/" + s.e.key() }

// steer carries a control out.
func (b *Bot) steer(ctx context.Context, what control, s steering) error {
	if told, err := b.told(ctx, s.key()); told || err != nil {
		return err
	}
	st := s.c.state.Session
	switch {
	case what == controlHelp:
		return b.whisper(ctx, s.key(), s.at, s.by.Slack, b.helpIn(s))
	case what == controlWhy:
		return b.whyHere(ctx, s)
	case s.c.gone != nil:
		return b.whisper(ctx, s.key(), s.at, s.by.Slack, escape(s.c.gone.Error())+" Mention me with a task, and I start a new one here.")
	case s.c.fresh():
		if waits, err := b.overtook(ctx, s.e); waits || err != nil {
			return err
		}
		return b.whisper(ctx, s.key(), s.at, s.by.Slack, nothingHere(what, s.e))
	}
	var in session.Input
	switch what {
	case controlStatus:
		text, err := b.standing(ctx, s.c)
		if err != nil {
			return err
		}
		return b.whisper(ctx, s.key(), s.at, s.by.Slack, text)
	case controlStop:
		if err := b.stopAt(ctx, s.c, "stop/"+s.e.TS, s.by, s.e.TS); err != nil {
			return b.refuses(ctx, s, err)
		}
		return b.put(ctx, b.eyes(s.e, true))
	case controlRetry:
		again := session.Retried{ID: s.e.TS, By: s.by}
		if ended := st.Ended.PromptID; ended != "" {
			past, err := b.store.Prompts(ctx, s.c.id)
			if err != nil {
				return session.Wrap("bot.steer", err)
			}
			if i := slices.IndexFunc(past, func(p session.Prompt) bool { return p.ID == ended }); i >= 0 {
				again.Prompt = past[i]
			}
		}
		in = again
	case controlMute, controlUnmute:
		if s.e.direct() {
			return b.whisper(ctx, s.key(), s.at, s.by.Slack, "Here we are alone, so every message is for me: there is nothing to mute.")
		}
		in = session.Muted{ID: s.e.TS, By: s.by, Off: what == controlUnmute}
	case controlClose:
		in = session.Closed{ID: s.e.TS, By: s.by}
	case controlNone, controlHelp, controlWhy:
		return nil
	}
	if err := b.cfg.Sessions.Send(ctx, s.c.id, in); err != nil {
		return b.refuses(ctx, s, err)
	}
	return b.put(ctx, b.eyes(s.e, true)) // what comes of it is told by the log
}

// nothingHere answers a control where there is no session.
func nothingHere(what control, e event) string {
	switch {
	case e.inThread():
		return "There is no session in this thread. Mention me with a task to start one."
	case e.direct():
		return "Nothing happened: each message here that is no reply is a request of its own. Reply " + what.written() + " in the thread of the one that you mean."
	}
	return "There is no session here: each has a thread. Reply " + what.written() + " in the thread that you mean, or mention me with a task to start one."
}

// refuses tells why a control came to nothing.
func (b *Bot) refuses(ctx context.Context, s steering, err error) error {
	if refused(err) {
		return b.whisper(ctx, s.key(), s.at, s.by.Slack, escape(session.Sentence(err)))
	}
	return session.Wrap("bot.steer", err)
}

// stopAt stops the turn that went on at a time of Slack's, once for each id: what a bot that died had stopped for it may be followed by another.
func (b *Bot) stopAt(ctx context.Context, c conversation, id string, by session.Person, ts string) error {
	if slices.Contains(c.state.Session.Seen, id) {
		return nil
	}
	prompt, err := b.ranAt(ctx, c, ts)
	if err != nil {
		return err
	}
	return b.cfg.Sessions.Send(ctx, c.id, session.StopAsked{ID: id, By: by, PromptID: prompt})
}

// ranAt returns the prompt of the turn that goes on, if what somebody said or did at a time of Slack's can be about it; else NotFound, with a
// sentence for them. Events come late, and by then another turn may run. Times of ours are not held against Slack's: a turn is there for
// people from when its status message is, by Slack's own clock, or from when its prompt came, if nothing ran before it.
func (b *Bot) ranAt(ctx context.Context, c conversation, ts string) (prompt string, err error) {
	st := c.state.Session
	switch {
	case c.id != "" && st.Turn == nil && st.Await == session.AwaitRepository && len(c.state.Prompts) > 0:
		return "", session.Errorf(session.NotFound, "Nothing runs yet: I wait for %s to say which repository this is about. Delete a message to take it back, or send `!close` to take back all that waits.", st.Requester.Name)
	case c.id == "" || st.Turn == nil:
		return "", session.Errorf(session.NotFound, "Nothing is running here.")
	}
	id := st.Turn.PromptID
	shown, err := b.store.Message(ctx, statusKey(c.id, id))
	if err == nil && shown.TS == "" { // perhaps posted a moment ago
		settled := b.sender.settle(ctx, shown.Channel)
		if shown, err = b.store.Message(ctx, statusKey(c.id, id)); shown.TS == "" && !settled {
			return "", errUnconfirmed
		}
	}
	if err != nil && session.CodeOf(err) != session.NotFound {
		return "", session.Wrap("bot.ranAt", err)
	}
	i := slices.IndexFunc(c.state.Prompts, func(p session.Prompt) bool { return p.ID == id })
	waited := i >= 0 && !c.state.Prompts[i].At.After(st.Ended.At)
	_, edit, _ := strings.Cut(id, "~")
	switch {
	case shown.TS != "" && ts >= shown.TS:
		return id, nil
	case !waited && ts >= cmp.Or(edit, id):
		return id, nil
	}
	return "", session.Errorf(session.NotFound, "That turn is over already. What runs now began after it.")
}

// statusKey is the key of a turn's status message.
func statusKey(id session.ID, prompt string) string { return string(id) + "/status/" + prompt }

// helpIn is what can be done with the bot, where it was asked.
func (b *Bot) helpIn(s steering) string {
	if s.c.fresh() || s.c.gone != nil {
		return b.help()
	}
	st := s.c.state.Session
	lines := []string{
		"In this thread " + rule(st.Rooted, st.Muted, st.Closed, s.e.direct()) + ". Begin a reply with `!aside` to talk past me.",
		"`stop`, the button, or :" + b.cfg.StopEmoji + ": on one of my messages: ends what runs",
		"`!status`: what runs, what waits, what it costs",
		"`!retry`: runs what failed or was stopped last again",
		"`!mute`, `!unmute`: replies count only if they mention me, or as before",
		"`!close`: stops everything here; a mention goes on later, with the same files",
		"`!why`: what became of your last message; `!why` and a message's link: of that one",
		"Edit or delete a message, and the agent learns of it",
		"When there are changes, :" + b.cfg.ApproveEmoji + ": on their card opens the pull request as you; changes of what runs need a second one, on the message that names them",
		"On the pull request’s own card :" + b.cfg.ApproveEmoji + ": approves it, if you did not contribute, and :" + b.cfg.MergeEmoji + ": merges it, where that is switched on",
		"*Fix this*, *Address this*: the agent sees to checks that fail, or to what was said on GitHub",
	}
	return strings.Join(lines, "\n")
}

// rule says which messages of a thread are prompts.
func rule(rooted, muted, closed, direct bool) string {
	switch {
	case direct:
		return "every message is a prompt"
	case closed:
		return "a mention opens the session again"
	case muted:
		return "muted: only replies that mention me are prompts"
	case rooted:
		return "replies here are prompts"
	}
	return "replies that mention me are prompts, and those of who prompted here"
}
