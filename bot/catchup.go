package bot

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// How what was missed is read.
const (
	overlap   = 6 * time.Minute // Slack repeats for five what was not acknowledged, and newer things may have come before
	backTo    = 23 * time.Hour  // what was taken is known for a day
	historyBy = 200             // messages at a time
	maxPages  = 10              // of a channel: 2,000 messages at its top level
	maxReads  = 200             // threads of a channel that are read one by one, those where most goes on
	lateAfter = 2 * time.Minute // who waited for less is not told
)

// catching catches up after every absence, until ctx ends.
func (b *Bot) catching(ctx context.Context) {
	for {
		select {
		case <-b.hearing.wake:
		case <-ctx.Done():
			return
		}
		for pause := time.Second; ; pause = min(2*pause, maxPause) {
			err := b.catchUp(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			b.logger.Warn("reading what was said while the bot was away; trying again", "error", err)
			if !wait(ctx, b.clock, pause) {
				return
			}
		}
	}
}

// catchUp reads what was said and done while there was no connection, up to a day back, and gives it to the inbox, which knows what was taken
// before. A channel costs one call as long as its newest 200 messages reach back far enough: they tell which threads have new replies. One more
// goes to each of those threads, and to those where a prompt waits or runs, which may have been edited or deleted meanwhile, and one to each
// open card that was not seen on the way. However many threads are at rest, they cost nothing.
func (b *Bot) catchUp(ctx context.Context) error {
	gen, active := b.hearing.absence()
	rooms, err := b.joined(ctx)
	if err != nil {
		return err
	}
	threads, err := b.unsettled(ctx, active)
	if err != nil {
		return err
	}
	slices.SortStableFunc(rooms, func(a, c string) int { // where somebody waits comes first, then where somebody spoke last
		return cmp.Or(len(threads[c])-len(threads[a]), strings.Compare(b.hearing.last(c), b.hearing.last(a)))
	})
	now := b.clock.Now()
	for _, channel := range rooms {
		since, missed := b.hearing.since(channel)
		if !missed {
			continue // read before an error
		}
		a := absence{bot: b, name: strconv.FormatInt(now.UnixMilli(), 36), channel: channel, threads: threads[channel],
			from: max(slackTime(timeOf(since).Add(-overlap)), slackTime(now.Add(-backTo)))}
		err := a.read(ctx)
		switch {
		case err == nil:
			b.alive(channel)
		case ctx.Err() != nil, session.CodeOf(err) == session.Unavailable, errors.Is(err, session.ErrStorage):
			return err
		default:
			b.logger.Error("what was said in a channel while the bot was away cannot be read", "channel", channel, "error", err)
		}
		b.hearing.caughtUp(gen, channel)
	}
	b.hearing.caughtUp(gen, "")
	b.logger.Info("caught up with Slack", "conversations", len(rooms))
	return nil
}

// joined lists the conversations the bot is in, and may work in.
func (b *Bot) joined(ctx context.Context) ([]string, error) {
	var all []string
	ask := &slack.GetConversationsForUserParameters{Types: []string{"public_channel", "private_channel", "mpim", "im"}, ExcludeArchived: true, Limit: pageSize}
	for {
		page, next, err := b.api.GetConversationsForUserContext(ctx, ask)
		if err != nil {
			return nil, b.outside("users.conversations", err)
		}
		for _, c := range page {
			if len(b.cfg.AllowedChannels) == 0 || slices.Contains(b.cfg.AllowedChannels, c.ID) {
				all = append(all, c.ID)
			}
		}
		if next == "" {
			return all, nil
		}
		ask.Cursor = next
	}
}

// loose is a thread in which something may have happened that its channel does not tell.
type loose struct {
	id      session.ID
	prompts []string           // ids of those that are not over, which are their messages' ts
	cards   []session.Card     // open ones
	names   []string           // approvals that wait for a second one, each on a message of its own
	waiting []session.Approval // that can be taken back
	last    string             // when somebody was last heard there
}

// unsettled returns the threads where something waits, those with an open pull request, and those where something went on lately, by channel and root.
func (b *Bot) unsettled(ctx context.Context, active map[string]string) (map[string]map[string]*loose, error) {
	threads, known := map[string]map[string]*loose{}, map[session.ID]bool{}
	add := func(id session.ID, last string) error {
		known[id] = true
		st, err := b.cfg.Sessions.Load(ctx, id)
		if session.CodeOf(err) == session.NotFound {
			return nil
		}
		if err != nil {
			return session.Wrap("bot.unsettled", err)
		}
		l := &loose{id: id, last: last}
		for _, p := range st.Prompts {
			if ts, _, _ := strings.Cut(p.ID, "~"); timeOf(ts) != (time.Time{}) {
				l.prompts = append(l.prompts, ts)
			}
		}
		for _, c := range st.Cards {
			if c.State == session.CardOpen {
				l.cards = append(l.cards, c)
			}
		}
		for _, p := range st.Approvals {
			switch p.State {
			case session.ApprovalNaming:
				l.names = append(l.names, p.ID)
				l.waiting = append(l.waiting, p)
			case session.ApprovalLinking, session.ApprovalMerging:
				l.waiting = append(l.waiting, p)
			case session.ApprovalAccepted, session.ApprovalDone, session.ApprovalRefused, session.ApprovalFailed, session.ApprovalWithdrawn:
			}
		}
		t := st.Session.Thread
		if threads[t.Channel] == nil {
			threads[t.Channel] = map[string]*loose{}
		}
		threads[t.Channel][t.TS] = l
		return nil
	}
	for k, ts := range active {
		channel, root, _ := strings.Cut(k, "/")
		id, err := b.cfg.Sessions.Find(ctx, session.Thread{Team: b.self.team, Channel: channel, TS: root})
		if session.CodeOf(err) == session.NotFound {
			continue
		}
		if err == nil {
			err = add(id, ts)
		}
		if err != nil {
			return nil, session.Wrap("bot.unsettled", err)
		}
	}
	open, err := b.store.Open(ctx)
	if err != nil {
		return nil, session.Wrap("bot.unsettled", err)
	}
	for _, id := range open {
		if err := add(id, "9"); err != nil {
			return nil, err
		}
	}
	followed, err := b.store.Followed(ctx)
	if err != nil {
		return nil, session.Wrap("bot.unsettled", err)
	}
	for _, f := range followed {
		if known[f.Session] {
			continue
		}
		if err := add(f.Session, ""); err != nil { // nothing was said there for long: its cards are looked at, and no more
			return nil, err
		}
	}
	return threads, nil
}

// absence is a time in which the bot did not hear a channel.
type absence struct {
	bot     *Bot
	name    string
	channel string
	from    string // Slack's time of its beginning, and a little more
	threads map[string]*loose
}

// read reads what was said in the channel, the oldest first.
func (a *absence) read(ctx context.Context) error {
	reach := a.from // how far back it is worth to ask: what is there need not be asked for one by one
	for root, l := range a.threads {
		if l.last >= a.from {
			reach = min(reach, root)
		}
	}
	reads, when := timed(ctx)
	said, reached, err := a.history(reads, reach)
	if err != nil {
		return err
	}
	for _, m := range said {
		if err := a.offer(ctx, m, m.Timestamp, when); err != nil {
			return err
		}
	}
	newReplies := map[string]bool{}
	for _, m := range said {
		newReplies[m.Timestamp] = m.LatestReply > a.from
	}
	var roots []string
	for root := range newReplies {
		if newReplies[root] {
			roots = append(roots, root)
		}
	}
	for root, l := range a.threads {
		fresh, seen := newReplies[root]
		unseen := !seen && root < reached && l.last >= slackTime(timeOf(a.from).Add(-backTo))
		if !fresh && (len(l.prompts) > 0 || unseen) {
			roots = append(roots, root)
		}
	}
	slices.SortFunc(roots, func(x, y string) int { return strings.Compare(a.lastIn(y)+y, a.lastIn(x)+x) })
	if len(roots) > maxReads {
		a.bot.logger.Warn("more threads went on while the bot was away than are read again", "channel", a.channel, "threads", len(roots), "read", maxReads)
		roots = roots[:maxReads]
	}
	for _, root := range roots {
		if err := a.thread(ctx, root); err != nil {
			return err
		}
	}
	return a.cards(ctx)
}

func (a *absence) lastIn(root string) string {
	if l := a.threads[root]; l != nil {
		return l.last
	}
	return "0"
}

// history returns the newest messages of the channel, the oldest first: 200, or as many as reach back to a time. reached is how far they do.
func (a *absence) history(ctx context.Context, reach string) (said []slack.Message, reached string, err error) {
	ask := &slack.GetConversationHistoryParameters{ChannelID: a.channel, Limit: historyBy}
	for range maxPages {
		page, err := a.bot.api.GetConversationHistoryContext(ctx, ask)
		if err != nil {
			return nil, "", a.bot.outside("conversations.history", err)
		}
		said = append(said, page.Messages...)
		ask.Cursor = page.ResponseMetaData.NextCursor
		if !page.HasMore || ask.Cursor == "" {
			slices.Reverse(said)
			return said, "", nil
		}
		if reached = said[len(said)-1].Timestamp; reached <= reach {
			break
		}
	}
	if reached > a.from {
		a.bot.logger.Warn("more was said in a channel while the bot was away than is read again", "channel", a.channel, "since", timeOf(a.from), "read", len(said))
	}
	slices.Reverse(said)
	return said, reached, nil
}

// thread reads what was said and done in a thread.
func (a *absence) thread(ctx context.Context, root string) error {
	from, l := a.from, a.threads[root]
	if l == nil {
		l = &loose{}
	}
	for _, ts := range l.prompts {
		from = min(from, ts)
	}
	reads, when := timed(ctx)
	said, whole, err := a.bot.repliesSince(reads, a.channel, root, from)
	if err != nil && refusalOf(err) != "thread_not_found" { // deleted, and with it what it asked for
		return err
	}
	read := whole
	if !whole && from < a.from { // what waits is older: what is new comes after more than is read
		newer, all, err := a.bot.repliesSince(reads, a.channel, root, a.from)
		if err != nil {
			return err
		}
		said, read = append(said, newer...), all
	}
	if !read {
		a.bot.logger.Warn("more was said in a thread while the bot was away than is read again", "channel", a.channel, "thread", root, "read", len(said))
	}
	there := map[string]bool{}
	for _, m := range said {
		there[m.Timestamp] = m.SubType != tombstone
		if err := a.offer(ctx, m, root, when); err != nil {
			return err
		}
	}
	for _, ts := range l.prompts {
		if there[ts] || !whole {
			continue
		}
		if err := a.deleted(ctx, root, ts); err != nil {
			return err
		}
	}
	return nil
}

// offer gives the inbox a message that is newer than the absence began, an edit that is, and what people put on a message of ours.
func (a *absence) offer(ctx context.Context, m slack.Message, root string, when *reading) error {
	if m.User == a.bot.self.user {
		return a.reactions(ctx, m.Timestamp, m.Reactions, when)
	}
	e := asEvent(m, a.channel, root)
	if m.Edited != nil && m.Edited.Timestamp > a.from {
		_, err := a.bot.store.Seen(ctx, e.Channel+":"+e.TS)
		if err != nil && session.CodeOf(err) != session.NotFound {
			return session.Wrap("bot.offer", err)
		}
		if err == nil || m.Timestamp <= a.from {
			now := e
			now.Edited = &edited{User: m.Edited.User, TS: m.Edited.Timestamp}
			return a.bot.offer(ctx, "changed/"+e.Channel+"/"+e.TS+"/"+m.Edited.Timestamp,
				event{Type: "message", Subtype: "message_changed", Channel: e.Channel, ChannelType: e.ChannelType, TS: m.Edited.Timestamp, Message: &now}, a.name)
		}
	}
	if m.Timestamp <= a.from || a.bot.cfg.Restored && a.bot.tookIt(m) {
		return nil
	}
	return a.bot.offer(ctx, "read/"+e.Channel+"/"+e.TS, e, a.name)
}

// deleted tells the inbox that a prompt's message is gone. Requests that came by a form have no message of their author's.
func (a *absence) deleted(ctx context.Context, root, ts string) error {
	if _, err := a.bot.store.Seen(ctx, a.channel+":"+ts); err != nil {
		return session.Wrap("bot.deleted", ignore(err, session.NotFound))
	}
	id := a.threads[root].id
	past, err := a.bot.store.Prompts(ctx, id)
	if err != nil {
		return session.Wrap("bot.deleted", err)
	}
	i := slices.IndexFunc(past, func(p session.Prompt) bool { return p.ID == ts })
	if i < 0 {
		return nil
	}
	was := &event{Type: "message", User: past[i].Author.Slack, Text: past[i].Text, TS: ts, ThreadTS: root}
	return a.bot.offer(ctx, "deleted/"+a.channel+"/"+ts,
		event{Type: "message", Subtype: "message_deleted", Channel: a.channel, TS: ts, DeletedTS: ts, Previous: was}, a.name)
}

// tookIt reports whether our eyes are on a message: it was taken, by a bot whose store this one does not have.
func (b *Bot) tookIt(m slack.Message) bool {
	return slices.ContainsFunc(m.Reactions, func(r slack.ItemReaction) bool { return r.Name == "eyes" && slices.Contains(r.Users, b.self.user) })
}

// offer puts something that was read, rather than received, into the inbox, if it is for us.
func (b *Bot) offer(ctx context.Context, id string, e event, late string) error {
	r, lane, err := b.concerns(ctx, frame{Type: eventsAPI, Payload: marshal(payload{ID: id, Event: e})})
	if err != nil || r.Key == "" {
		return err
	}
	r.Late = late
	r.At, r.Since, r.Asked = e.put, e.off, e.asked
	return b.keep(ctx, r, lane)
}

// pickedUp tells a thread that a message was taken late, once for each absence, if that was long enough to wonder.
func (b *Bot) pickedUp(ctx context.Context, e event, id session.ID) error {
	waited := b.clock.Now().Sub(timeOf(e.TS))
	if e.late == "" || waited < lateAfter {
		return nil
	}
	return b.put(ctx, session.Message{Key: "late/" + e.Channel + "/" + e.root() + "/" + e.late, Session: id, Op: session.MessagePost, Channel: e.Channel, Thread: e.root(),
		Text: "I was away, and read what was said here only now, " + elapsed(waited.Truncate(time.Minute)) + " late.", Subject: session.Subject{Kind: "notice"}, Urgent: true})
}
