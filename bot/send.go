package bot

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// marker is the type of the metadata on our messages, by which a post in doubt is found again.
const marker = "inspect"

// messageTS is Slack's time of the message that a prompt's id begins with.
var messageTS = regexp.MustCompile(`^\d{10}\.\d{6}`)

// send makes one call for a message and records what came of it. It reports whether Slack has the message.
func (s *sender) send(ctx context.Context, m session.Message, doubt bool) bool {
	var ts string
	var err error
	if doubt && m.TS == "" {
		ts, err = s.lookUp(ctx, &m)
	}
	if err == nil && ts == "" {
		ts, err = s.call(ctx, m)
	}
	if vanished(m, err) {
		return s.vanish(ctx, m, err)
	}
	if ctx.Err() != nil && err != nil {
		return false // sent or not, the next run looks
	}
	failed := ""
	if err != nil {
		if revoked(err) {
			s.bot.fail(refusedToken("SLACK_BOT_TOKEN", err))
			return false
		}
		if s.later(m, err) {
			return false
		}
		failed = cmp.Or(refusalOf(err), err.Error())
		s.unsaid(ctx, m, err)
		s.bot.logger.Error("slack refuses a message for good"+advice(err), "key", m.Key, "method", method(m), "error", err)
		if err := s.detour(ctx, m, err); err != nil {
			s.bot.logger.Error("telling elsewhere what cannot be said in a channel", "key", m.Key, "error", err)
			s.again(m, 0, false)
			return false
		}
	}
	if err := s.record(ctx, m, ts, failed); err != nil {
		if ctx.Err() == nil {
			s.bot.logger.Error("recording that a message was sent", "key", m.Key, "error", err)
			s.again(m, time.Second, true)
		}
		return false
	}
	s.recorded(m)
	if shuts(failed) {
		s.shut(m.Channel) // from now on: what comes from it later opens it
	}
	return failed == ""
}

// recorded forgets what was noted about a message's way, and tells those who wait for it.
func (s *sender) recorded(m session.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.retries, m.Key)
	delete(s.doubt, m.Key)
	close(s.changed)
	s.changed = make(chan struct{})
}

// record notes what came of a call. While the disk refuses it waits, and the conversation with it: a call that is not noted would be made
// again, and what one person alone sees cannot be looked for first.
func (s *sender) record(ctx context.Context, m session.Message, ts, failed string) error {
	for {
		err := s.bot.store.Sent(context.WithoutCancel(ctx), m.Key, m.Version, ts, failed)
		if !errors.Is(err, session.ErrStorage) || !wait(ctx, s.bot.clock, time.Second) {
			return err
		}
	}
}

// later puts a message off if its error passes, and reports whether it did.
func (s *sender) later(m session.Message, err error) bool {
	if limited, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		s.limited(m, max(limited.RetryAfter, time.Second))
		return true
	}
	switch code := refusalOf(err); {
	case code == "ratelimited" || code == "rate_limited" || code == "message_limit_exceeded":
		s.limited(m, limitedFor)
		return true
	case mendable(err):
		s.bot.logger.Error("Slack does not let the bot say something; it waits until that is mended"+advice(err), "key", m.Key, "method", method(m), "error", err)
		s.unsaid(s.bot.running, m, err)
		s.again(m, maxRetryPause, false)
		return true
	case m.Op == session.MessageFile && code == "file_not_found": // the upload was lost on the way; each try makes a new one
	case code != "" && !passing(code), session.CodeOf(err) == session.NotFound: // a file of ours that is gone
		return false
	}
	// No answer of Slack's, or none of the call itself: a proxy's, a broken connection.
	s.bot.logger.Warn("slack did not take a message; trying again", "key", m.Key, "method", method(m), "error", err)
	s.again(m, 0, true)
	return true
}

// limited keeps calls like the one for m away from Slack for a while. Posts are limited in each channel, so the others go on; if several
// are limited at once, it is the whole workspace.
func (s *sender) limited(m session.Message, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.bot.clock.Now()
	until := now.Add(pause)
	of, where := method(m), limit(m)
	s.blocked[where] = until
	others := 0
	for at, t := range s.blocked {
		if strings.HasPrefix(at, of+" ") && t.After(now) {
			others++
		}
	}
	if others >= widespread {
		s.blocked[of] = until
	}
	s.bot.logger.Info("slack wants a pause", "method", where, "for", pause.String())
}

// again puts a message off; the pause grows with each try unless one is given.
func (s *sender) again(m session.Message, pause time.Duration, doubt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.retries[m.Key]
	if pause == 0 {
		pause = min(time.Second<<min(r.tries, 10), maxRetryPause)
	}
	s.retries[m.Key] = retry{r.tries + 1, s.bot.clock.Now().Add(pause)}
	if doubt && findable(m) && m.TS == "" {
		s.doubt[m.Key] = laneOf(m)
	}
}

// call does what a message says. A first post returns its ts.
func (s *sender) call(ctx context.Context, m session.Message) (ts string, err error) {
	if s.missing(m) {
		return "", slack.SlackErrorResponse{Err: "message_not_found"}
	}
	api := s.bot.api
	switch m.Op {
	case session.MessagePost, session.MessageDirect:
		channel := m.Channel
		if m.Op == session.MessageDirect {
			if channel, err = s.conversation(ctx, m.User); err != nil {
				return "", err
			}
		}
		ts, err = s.say(ctx, channel, m)
		if m.Op == session.MessagePost && m.User != "" && isDirect(channel) && absent(err) {
			// A command was given in a direct conversation of two others.
			if channel, err = s.conversation(ctx, m.User); err != nil {
				return "", err
			}
			return s.say(ctx, channel, m)
		}
		return ts, err
	case session.MessageEphemeral:
		return "", s.whisper(ctx, m)
	case session.MessageReact:
		err = api.AddReactionContext(ctx, m.Emoji, slack.NewRefToMessage(m.Channel, m.TS))
		return m.TS, unless(err, "already_reacted")
	case session.MessageUnreact:
		err = api.RemoveReactionContext(ctx, m.Emoji, slack.NewRefToMessage(m.Channel, m.TS))
		return m.TS, unless(err, "no_reaction")
	case session.MessageFile:
		file := slack.UploadFileParameters{Content: m.Text, FileSize: len(m.Text), Filename: cmp.Or(m.Title, "file.txt"), Title: m.Title, Channel: m.Channel, ThreadTimestamp: m.Thread}
		if m.Content != "" {
			body, err := s.bot.store.File(ctx, m.Session, m.Content)
			if err != nil {
				return "", session.Wrap("bot.File", err)
			}
			file.Content, file.Reader, file.FileSize, file.AltTxt, file.Title = "", bytes.NewReader(body), len(body), m.Text, short(m.Text, 150)
		}
		_, err = api.UploadFileContext(ctx, file)
		return "", err
	case session.MessageStatus: // beat does it
	}
	return "", session.Errorf(session.Internal, "unknown operation %q", m.Op)
}

// say posts or edits a message, in as much of its form as Slack takes.
func (s *sender) say(ctx context.Context, channel string, m session.Message) (ts string, err error) {
	for _, form := range []func(session.Message) []slack.MsgOption{content, wordy, bare, stub} {
		if ts, err = s.postOrEdit(ctx, channel, m, form(m)); !plainer(err) {
			return ts, err
		}
		s.bot.logger.Warn("slack refuses the form of a message; sending less of it", "key", m.Key, "error", err, "problems", problemsOf(err), "blocks", blockTypes(m))
	}
	return ts, err
}

// whisper shows something to one person alone. Where we are not, or they are not (a slash command works anywhere), by direct message.
func (s *sender) whisper(ctx context.Context, m session.Message) error {
	options := content(m)
	if m.Thread != "" {
		options = append(options, slack.MsgOptionTS(m.Thread))
	}
	_, err := s.bot.api.PostEphemeralContext(ctx, m.Channel, m.User, options...)
	if !absent(err) {
		return err
	}
	channel, err := s.conversation(ctx, m.User)
	if err != nil {
		return err
	}
	_, _, err = s.bot.api.PostMessageContext(ctx, channel, content(m)...)
	return err
}

// metadata is by what a message is found again.
func metadata(m session.Message) slack.MsgOption {
	return slack.MsgOptionMetadata(slack.SlackMetadata{EventType: marker, EventPayload: map[string]any{"key": m.Key, "version": m.Version}})
}

// postOrEdit posts a message, or edits it if it is there.
func (s *sender) postOrEdit(ctx context.Context, channel string, m session.Message, options []slack.MsgOption) (ts string, err error) {
	options = append(options, metadata(m))
	if m.TS != "" {
		_, ts, _, err = s.bot.api.UpdateMessageContext(ctx, channel, m.TS, options...)
		return ts, err
	}
	if m.Thread != "" {
		options = append(options, slack.MsgOptionTS(m.Thread))
	}
	_, ts, err = s.bot.api.PostMessageContext(ctx, channel, options...)
	return ts, err
}

// content is a message with its blocks, if it has any.
func content(m session.Message) []slack.MsgOption {
	options := []slack.MsgOption{slack.MsgOptionText(textOf(m), false), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl()}
	if parts := blocksOf(m); len(parts) > 0 {
		options = append(options, slack.MsgOptionBlocks(parts...))
	}
	return options
}

// textOf is a message's text: Slack takes less of it with an edit.
func textOf(m session.Message) string {
	if m.TS == "" {
		return m.Text
	}
	text, _ := cut(m.Text, maxFallback)
	return text
}

func blocksOf(m session.Message) []slack.Block {
	var parts slack.Blocks
	if len(m.Blocks) == 0 || json.Unmarshal(m.Blocks, &parts) != nil {
		return nil
	}
	return parts.BlockSet
}

// blockTypes are the types of a message's blocks, for the operator.
func blockTypes(m session.Message) string {
	var all []string
	for _, b := range blocksOf(m) {
		all = append(all, string(b.BlockType()))
	}
	return strings.Join(all, " ")
}

// wordy is a message as text alone, all of it. An edit takes the blocks away that were there.
func wordy(m session.Message) []slack.MsgOption {
	return []slack.MsgOption{slack.MsgOptionText(textOf(m), false), slack.MsgOptionBlocks(), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl()}
}

// bare is a message as a text of which Slack shows everything in one piece.
func bare(m session.Message) []slack.MsgOption {
	m.Text, _ = cut(m.Text, maxFallback)
	return wordy(m)
}

// stub stands for a message that Slack takes in no form.
func stub(session.Message) []slack.MsgOption {
	return []slack.MsgOption{slack.MsgOptionText("There is a message for you here, but Slack does not take it. The operator's log says why.", false), slack.MsgOptionBlocks()}
}

func unless(err error, code string) error {
	if refusalOf(err) == code {
		return nil
	}
	return err
}

// conversation returns the channel of the direct conversation with a user.
func (s *sender) conversation(ctx context.Context, user string) (string, error) {
	s.mu.Lock()
	channel := s.direct[user]
	s.mu.Unlock()
	if channel != "" {
		return channel, nil
	}
	c, _, _, err := s.bot.api.OpenConversationContext(ctx, &slack.OpenConversationParameters{Users: []string{user}})
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.direct[user] = c.ID
	return c.ID, nil
}

// lookUp finds a message that may have been posted already, by the metadata it would have; a file by its name, which no other has. It returns its ts and sets the version that
// is there; an empty ts: it is not there, or Slack does not let us look.
func (s *sender) lookUp(ctx context.Context, m *session.Message) (ts string, err error) {
	channel := m.Channel
	if m.Op == session.MessageDirect {
		if channel, err = s.conversation(ctx, m.User); err != nil {
			return "", err
		}
	}
	var found []slack.Message
	if m.Thread == "" {
		page, err := s.bot.api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{ChannelID: channel, Limit: 100, IncludeAllMetadata: true})
		if err != nil {
			return "", unlessFinal(err)
		}
		found = page.Messages
	} else {
		params := slack.GetConversationRepliesParameters{ChannelID: channel, Timestamp: m.Thread, Limit: 200, IncludeAllMetadata: true}
		if asked := messageTS.FindString(m.Subject.PromptID); asked != "" {
			params.Oldest, params.Inclusive = asked, true // it was posted after what it is about, and the thread may be long
		}
		for {
			page, more, cursor, err := s.bot.api.GetConversationRepliesContext(ctx, &params)
			if err != nil {
				return "", unlessFinal(err)
			}
			found = append(found, page...)
			if !more || cursor == "" {
				break
			}
			params.Cursor = cursor
		}
	}
	for _, f := range found {
		if m.Op == session.MessageFile {
			if f.User == s.bot.self.user && slices.ContainsFunc(f.Files, func(f slack.File) bool { return f.Name == m.Title }) {
				return f.Timestamp, nil
			}
			continue
		}
		p := f.Metadata.EventPayload
		if f.Metadata.EventType != marker || p["key"] != m.Key || f.User != s.bot.self.user {
			continue
		}
		if v, ok := p["version"].(float64); ok && int64(v) <= m.Version {
			m.Version = int64(v) // the outbox sends what changed since as an edit
		}
		return f.Timestamp, nil
	}
	return "", nil
}

// unlessFinal drops an error that will not pass: then the message is posted without having looked.
func unlessFinal(err error) error {
	if code := refusalOf(err); code != "" && !passing(code) && !revoked(err) {
		return nil
	}
	return err
}
