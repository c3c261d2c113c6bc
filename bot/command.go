package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"openinspect/session"
)

// command is a slash command as Slack sends it.
type command struct {
	Text    string `json:"text"`
	User    string `json:"user_id"`
	Channel string `json:"channel_id"`
	Trigger string `json:"trigger_id"` // unique

	redacted bool // a secret was in the text
}

// commands are the first words that are no task.
var commands = []string{"link", "unlink", "channel", "route", "merge", "image", "sessions", "help"}

const commandHelp = "`/inspect fix the flaky checkout test`: start a session with this task here\n" +
	"`/inspect channel repo owner/name`: the repository of this channel's requests that name none; `none` forgets it\n" +
	"`/inspect route \"checkout\" owner/name`: the repository of requests with that word in them; `none` forgets it, `/inspect route` lists all\n" +
	"`/inspect merge on owner/name`: pull requests of a repository can be merged from Slack; `off` ends it; for its admins; `/inspect merge` lists all\n" +
	"`/inspect image owner/name on`: sessions of a repository begin with it cloned and set up; `off` ends it, `build` builds it now; `/inspect image` lists all\n" +
	"`/inspect sessions`: where the sessions stand that you prompted in\n" +
	"`/inspect link`: link your GitHub account, so that pull requests and commits carry your name\n" +
	"`/inspect unlink`: forget it\n" +
	"`/inspect help`: this text\n"

// command answers a slash command, privately.
func (b *Bot) command(ctx context.Context, c command) error {
	at, key := place{channel: c.Channel}, "command/"+c.Trigger
	by, refusal, silent, err := b.who(ctx, c.User, c.Channel)
	switch {
	case err != nil || silent:
		return err
	case refusal != "":
		return b.whisper(ctx, key, at, c.User, refusal)
	}
	words := strings.Fields(c.said())
	word := func(i int) string {
		if i < len(words) {
			return strings.ToLower(words[i])
		}
		return ""
	}
	keyword, to, route := readRoute(c.said())
	rule, merge := readMerge(c.said())
	images, image := readImage(c.said())
	switch {
	case word(0) == "link" && len(words) == 1:
		return b.commandLink(ctx, by, at, key)
	case word(0) == "unlink" && len(words) == 1:
		return b.commandUnlink(ctx, by, at, key)
	case word(0) == "sessions" && len(words) == 1:
		return b.commandSessions(ctx, by, at, key)
	case word(0) == "channel" && word(1) == "repo" && len(words) <= 3:
		name := ""
		if len(words) == 3 {
			name = words[2]
		}
		return b.commandChannel(ctx, c, by, at, key, name)
	case route:
		return b.commandRoute(ctx, by, at, key, keyword, to)
	case merge:
		return b.commandMerge(ctx, by, at, key, rule)
	case image:
		return b.commandImage(ctx, by, at, key, images)
	case word(0) == "" || word(0) == "help":
		return b.whisper(ctx, key, at, c.User, commandHelp+b.help())
	}
	if control(word(0)) != controlHelp && len(words) == 1 && slices.Contains(controls, word(0)) {
		return b.whisper(ctx, key, at, c.User, "Nothing happened: a command is in no thread. Reply "+control(word(0)).written()+" in the thread that you mean.")
	}
	if meant := c.slip(); meant != "" {
		return b.whisper(ctx, key, at, c.User, "I do not know "+code("/inspect "+session.OneLine(c.said(), 100))+", so nothing happened. Did you mean "+code(meant)+"?")
	}
	if len(words) == 1 {
		text := "I do not know " + code("/inspect "+session.OneLine(c.Text, 100)) + ", and it is too short for a task, so nothing was started."
		if near := session.Nearest(word(0), commands, 1); len(near) > 0 {
			text += " Did you mean " + code("/inspect "+near[0]) + "?"
		}
		return b.whisper(ctx, key, at, c.User, text+"\n"+commandHelp+b.help())
	}
	task := plain(c.Text, func(user string) string { return b.nameOf(ctx, user) })
	return b.onBehalf(ctx, request{key: key, by: by, at: at, words: task, redacted: c.redacted})
}

// said is the command's text as it was typed, with users by their ids.
func (c command) said() string { return plain(c.Text, func(user string) string { return user }) }

// lane is the person's: what they set is set in order. A task has its own: it waits for Slack to take its message, and nothing else should.
func (c command) lane(key string) string {
	if c.task() {
		return key
	}
	return "command:" + c.User
}

// task reports whether a command asks for a session, rather than for something of the bot's.
func (c command) task() bool {
	words := strings.Fields(c.said())
	_, _, route := readRoute(c.said())
	_, merge := readMerge(c.said())
	_, image := readImage(c.said())
	return len(words) > 1 && !route && !merge && !image && c.slip() == "" && !(strings.EqualFold(words[0], "channel") && strings.EqualFold(words[1], "repo") && len(words) <= 3)
}

// slip says how a command should have been, if its text reads like one and is none: it would be everybody's to see, as a task.
func (c command) slip() string {
	words := strings.Fields(strings.ToLower(c.said()))
	n := len(words)
	if n < 2 || n > 5 {
		return ""
	}
	if meant := imageSlip(words); meant != "" || n > 3 {
		return meant
	}
	first, last := words[0], words[n-1]
	switch {
	case first == "channel" && words[1] != "repo" && strings.Contains(last, "/"):
		return "/inspect channel repo " + last
	case n == 2 && slices.Contains([]string{"link", "unlink", "sessions", "help"}, first):
		return "/inspect " + first
	case first == "merge" && n == 3 && (last == "on" || last == "off") && strings.Contains(words[1], "/"):
		return "/inspect merge " + last + " " + words[1]
	case first != "channel" && words[1] == "repo" && slices.Equal(session.Nearest(first, commands, 1), []string{"channel"}):
		return strings.Join(append([]string{"/inspect channel"}, words[1:]...), " ")
	}
	return ""
}

// commandSessions lists the sessions a person prompted in.
func (b *Bot) commandSessions(ctx context.Context, by session.Person, at place, key string) error {
	p, err := b.preferences(ctx, by.Slack)
	if err != nil {
		return err
	}
	lines := b.sessionsOf(ctx, p)
	if len(lines) == 0 {
		lines = []string{"You have prompted in no session yet."}
	}
	return b.whisper(ctx, key, at, by.Slack, strings.Join(lines, "\n"))
}

func (b *Bot) commandLink(ctx context.Context, by session.Person, at place, key string) error {
	linked, err := b.link(ctx, by, at, key, "")
	if err != nil {
		return err
	}
	if linked {
		login := b.withAccount(ctx, by).GitHub.Login
		return b.whisper(ctx, key, at, by.Slack, "You are linked to "+escape(login)+" on GitHub already. `/inspect unlink` undoes it.")
	}
	return nil
}

func (b *Bot) commandUnlink(ctx context.Context, by session.Person, at place, key string) error {
	if by.GitHub == nil {
		return b.whisper(ctx, key, at, by.Slack, "No GitHub account is linked to you.")
	}
	if err := b.unlink(ctx, by); err != nil {
		return err
	}
	return b.whisper(ctx, key, at, by.Slack, "Your GitHub account is not linked any more. You can also revoke the app's access in your GitHub settings, under Applications.")
}

func (b *Bot) unlink(ctx context.Context, by session.Person) error {
	err := b.cfg.Linking.Unlink(ctx, by.Slack)
	if session.CodeOf(err) == session.NotFound {
		return nil
	}
	return session.Wrap("bot.unlink", err)
}

// commandChannel shows or sets the repository of a channel.
func (b *Bot) commandChannel(ctx context.Context, c command, by session.Person, at place, key, name string) error {
	if name == "" {
		known, err := b.store.Channel(ctx, c.Channel)
		switch {
		case err != nil && session.CodeOf(err) != session.NotFound:
			return session.Wrap("bot.channel", err)
		case known.Repo == (session.Repo{}):
			return b.whisper(ctx, key, at, c.User, "This channel has no repository of its own. `/inspect channel repo owner/name` sets one.")
		}
		return b.whisper(ctx, key, at, c.User, "This channel's repository is "+code(known.Repo.String())+".")
	}
	if strings.EqualFold(name, "none") {
		if err := b.store.PutChannel(ctx, session.Channel{ID: c.Channel, By: by}); err != nil {
			return session.Wrap("bot.channel", err)
		}
		return b.whisper(ctx, key, at, c.User, "This channel has no repository of its own any more.")
	}
	pick, err := b.choose(ctx, "", options{repo: name}, c.Channel, true)
	if err != nil {
		return err
	}
	if pick.problem != "" {
		return b.whisper(ctx, key, at, c.User, "Nothing was changed. "+pick.notice())
	}
	if err := b.store.PutChannel(ctx, session.Channel{ID: c.Channel, Repo: pick.repo, By: by}); err != nil {
		return session.Wrap("bot.channel", err)
	}
	return b.whisper(ctx, key, at, c.User, fmt.Sprintf("Requests in this channel that name no repository are about %s from now on.", code(pick.repo.String())))
}
