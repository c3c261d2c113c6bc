package slacktest

import (
	"testing"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
)

func TestReactions(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	_, ts, err := a.PostMessageContext(t.Context(), "C0GENERAL", slack.MsgOptionText("Ready?", false))
	if err != nil {
		t.Fatal(err)
	}
	nextEvent[*slackevents.MessageEvent](t, a)
	if err := s.As("alice").React("general", ts, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	added := nextEvent[*slackevents.ReactionAddedEvent](t, a)
	if added.User != "U0ALICE" || added.Reaction != "white_check_mark" || added.ItemUser != s.Bot().ID ||
		added.Item.Type != "message" || added.Item.Channel != "C0GENERAL" || added.Item.Timestamp != ts {
		t.Errorf("added %+v", added)
	}
	if err := a.AddReactionContext(t.Context(), "eyes", slack.NewRefToMessage("C0GENERAL", ts)); err != nil {
		t.Fatal(err)
	}
	if own := nextEvent[*slackevents.ReactionAddedEvent](t, a); own.User != s.Bot().ID {
		t.Errorf("the bot's own reaction is %s's", own.User)
	}
	item := must[slack.ReactedItem](t)(a.GetReactionsContext(t.Context(), slack.NewRefToMessage("C0GENERAL", ts), slack.GetReactionsParameters{}))
	if len(item.Reactions) != 2 || item.Reactions[0].Users[0] != "U0ALICE" {
		t.Errorf("reactions %+v", item.Reactions)
	}
	if err := s.As("alice").Unreact("general", ts, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	if removed := nextEvent[*slackevents.ReactionRemovedEvent](t, a); removed.Reaction != "white_check_mark" {
		t.Errorf("removed %+v", removed)
	}
	if got := s.Thread("general", ts)[0].Reactions; len(got) != 1 || got[0].Name != "eyes" {
		t.Errorf("left are %+v", got)
	}
}

func TestEditsDeletionsAndUnfurls(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	alice := s.As("alice")
	m := must[Message](t)(alice.Post("general", "fix it"))
	nextEvent[*slackevents.MessageEvent](t, a)

	must[Message](t)(alice.Edit("general", m.TS, "@inspect fix it"))
	if e := nextEvent[*slackevents.AppMentionEvent](t, a); e.TimeStamp != m.TS || e.Edited == nil {
		t.Errorf("a mention by editing: %+v", e)
	}
	if e := nextEvent[*slackevents.MessageEvent](t, a); e.SubType != "message_changed" || e.Message.Timestamp != m.TS || e.TimeStamp == m.TS {
		t.Errorf("edit %+v", e)
	}
	if err := s.Unfurl("general", m.TS, "https://acme.test", "Acme"); err != nil {
		t.Fatal(err)
	}
	if e := nextEvent[*slackevents.MessageEvent](t, a); e.SubType != "message_changed" || len(e.Message.Attachments) != 1 || e.Message.Text != e.PreviousMessage.Text {
		t.Errorf("unfurl %+v", e)
	}
	must[Message](t)(s.As("bob").Reply("general", m.TS, "me too"))
	nextEvent[*slackevents.MessageEvent](t, a)
	if err := alice.Delete("general", m.TS); err != nil {
		t.Fatal(err)
	}
	if e := nextEvent[*slackevents.MessageEvent](t, a); e.SubType != "message_changed" || e.Message.SubType != "tombstone" {
		t.Errorf("deleting a root with replies: %+v", e)
	}
	if got := s.Thread("general", m.TS); len(got) != 2 || got[0].Subtype != "tombstone" {
		t.Errorf("thread %+v", got)
	}
	if err := s.As("bob").Delete("general", m.TS); err == nil {
		t.Error("bob deletes what is not his")
	}
}

func TestDirectMessages(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	m := must[Message](t)(s.As("alice").DM("@inspect hello"))
	e := nextEvent[*slackevents.MessageEvent](t, a)
	if e.ChannelType != "im" || e.Channel != m.Channel || e.Channel[0] != 'D' {
		t.Errorf("direct message %+v", e)
	}
	ch, _, open, err := a.OpenConversationContext(t.Context(), &slack.OpenConversationParameters{Users: []string{"U0ALICE"}})
	if err != nil || ch.ID != m.Channel || !open {
		t.Errorf("open again: %+v, %v, %v", ch, open, err)
	}
	ch, _, open, err = a.OpenConversationContext(t.Context(), &slack.OpenConversationParameters{Users: []string{"U0BOB"}, ReturnIM: true})
	if err != nil || open || ch.User != "U0BOB" || !ch.IsIM {
		t.Errorf("open: %+v, %v, %v", ch, open, err)
	}
	if _, _, err := a.PostMessageContext(t.Context(), ch.ID, slack.MsgOptionText("Your code: 1234", false)); err != nil {
		t.Fatal(err)
	}
	if own := nextEvent[*slackevents.MessageEvent](t, a); own.ChannelType != "im" || own.BotID == "" {
		t.Errorf("own %+v", own)
	}
	// No mention event came in between: the bot's post was the next event.
	if got := s.Snapshot().Messages(ch.ID); len(got) != 1 || got[0].Text != "Your code: 1234" {
		t.Errorf("bob's messages %+v", got)
	}
}

func TestOnlyChannelsOfTheBotAreHeard(t *testing.T) {
	s := start(t, Config{Channels: []Channel{
		{Name: "general"}, {Name: "quiet", Members: []string{"alice"}}, {Name: "ops", Kind: Private, Members: []string{"alice", "bob", "inspect"}},
	}})
	a := connect(t, s, nil)
	alice := s.As("alice")
	must[Message](t)(alice.Post("quiet", "@inspect psst"))
	must[Message](t)(alice.Post("ops", "secret"))
	if e := nextEvent[*slackevents.MessageEvent](t, a); e.ChannelType != "group" || e.Message.Text != "secret" {
		t.Errorf("private channel: %+v", e)
	}
	if err := alice.Invite("quiet", "inspect"); err != nil {
		t.Fatal(err)
	}
	if e := nextEvent[*slackevents.MemberJoinedChannelEvent](t, a); e.User != s.Bot().ID || e.Inviter != "U0ALICE" {
		t.Errorf("joined %+v", e)
	}
	must[Message](t)(alice.Post("quiet", "@inspect now"))
	nextEvent[*slackevents.AppMentionEvent](t, a)
	if _, err := s.As("bob").Post("quiet", "let me in"); err == nil {
		t.Error("bob posts where he is not a member")
	}
	if _, err := s.As("carol").Post("general", "who am I"); err == nil {
		t.Error("somebody unknown posts")
	}
}

func TestForwardAndBroadcast(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	origin := must[Message](t)(s.As("bob").Attach("general", "", "it crashed", File{Name: "crash.txt", Data: []byte("trace")}))
	nextEvent[*slackevents.MessageEvent](t, a)
	must[Message](t)(s.As("alice").Forward("general", "", "@inspect have a look", origin))
	nextEvent[*slackevents.AppMentionEvent](t, a)
	att := nextEvent[*slackevents.MessageEvent](t, a).Message.Attachments
	if len(att) != 1 || !att[0].IsShare || !att[0].IsMsgUnfurl || att[0].Text != "it crashed" || len(att[0].Files) != 1 {
		t.Fatalf("forwarded %+v", att)
	}
	must[Message](t)(s.As("alice").Broadcast("general", origin.TS, "fixed"))
	e := nextEvent[*slackevents.MessageEvent](t, a)
	if e.SubType != "thread_broadcast" || e.Root == nil || e.Root.Text != "it crashed" {
		t.Errorf("broadcast %+v", e)
	}
}

func TestDirectory(t *testing.T) {
	s := start(t, Config{
		Users: []User{{Name: "alice", RealName: "Alice A.", Email: "Alice@acme.test"}, {Name: "gus", IsRestricted: true},
			{Name: "ext", IsStranger: true, TeamID: "T0OTHER"}, {Name: "robo", IsBot: true}},
		Channels: []Channel{{Name: "general"}, {Name: "random"}, {Name: "ops", Kind: Private}},
	})
	api, ctx := client(s), t.Context()
	guest := must[*slack.User](t)(api.GetUserInfoContext(ctx, "U0GUS"))
	ext := must[*slack.User](t)(api.GetUserInfoContext(ctx, "U0EXT"))
	bot := must[*slack.User](t)(api.GetUserInfoContext(ctx, "U0ROBO"))
	if !guest.IsRestricted || !ext.IsStranger || ext.TeamID != "T0OTHER" || !bot.IsBot {
		t.Errorf("people %+v %+v %+v", guest, ext, bot)
	}
	if u := must[*slack.User](t)(api.GetUserByEmailContext(ctx, "alice@ACME.test")); u.ID != "U0ALICE" || u.Profile.RealName != "Alice A." {
		t.Errorf("by e-mail %+v", u)
	}
	if all := must[[]slack.User](t)(api.GetUsersContext(ctx, slack.GetUsersOptionLimit(2))); len(all) != 5 {
		t.Errorf("%d users", len(all))
	}
	if b := must[*slack.Bot](t)(api.GetBotInfoContext(ctx, slack.GetBotInfoParameters{Bot: s.Bot().BotID})); b.UserID != s.Bot().ID {
		t.Errorf("bot %+v", b)
	}
	first, next, err := api.GetConversationsContext(ctx, &slack.GetConversationsParameters{Types: []string{"public_channel", "private_channel"}, Limit: 2})
	if err != nil || len(first) != 2 || next == "" {
		t.Fatalf("%d channels, next %q, %v", len(first), next, err)
	}
	rest, next, err := api.GetConversationsContext(ctx, &slack.GetConversationsParameters{Types: []string{"public_channel", "private_channel"}, Cursor: next})
	if err != nil || len(rest) != 1 || next != "" || !rest[0].IsPrivate {
		t.Errorf("rest %+v, next %q, %v", rest, next, err)
	}
	info := must[*slack.Channel](t)(api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: "C0RANDOM", IncludeNumMembers: true}))
	if info.Name != "random" || info.NumMembers != 5 || !info.IsMember {
		t.Errorf("info %+v", info)
	}
	members, _, err := api.GetUsersInConversationContext(ctx, &slack.GetUsersInConversationParameters{ChannelID: "C0RANDOM"})
	if err != nil || len(members) != 5 {
		t.Errorf("members %v, %v", members, err)
	}
}

func TestNewcomers(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	ctx := t.Context()
	dave := s.AddUser(User{Name: "dave", DisplayName: "Dave D."})
	s.AddChannel(Channel{Name: "build-status", Members: []string{"dave", "inspect"}})
	m := must[Message](t)(s.As("dave").Mention("build-status", "hello"))
	if e := nextEvent[*slackevents.AppMentionEvent](t, a); e.User != dave.ID || e.Channel != "C0BUILDSTATUS" {
		t.Errorf("mention %+v", e)
	}
	nextEvent[*slackevents.MessageEvent](t, a)
	if got, want := s.Render("#build-status", m.TS), "Dave D.: @inspect hello\n"; got != want {
		t.Errorf("rendered %q, want %q", got, want)
	}
	ch, _, err := a.PostMessageContext(ctx, dave.ID, slack.MsgOptionText("Hello, Dave", false))
	if err != nil || ch != "D0DAVE" {
		t.Errorf("post to a person went to %q, %v", ch, err)
	}
	renamed := must[*slack.AgentSessionRenameResponse](t)(a.RenameAgentSessionContext(ctx, slack.AgentSessionRenameParameters{
		Title: "Say hello", ChannelID: m.Channel, ThreadTS: m.TS}))
	if renamed.Title != "Say hello" || s.Snapshot().Status(m.Channel, m.TS).Title != "Say hello" {
		t.Errorf("renamed %+v", renamed)
	}
	shared := must[Message](t)(s.As("dave").Attach("build-status", m.TS, "", File{Name: "a.go", Data: []byte("package a")}))
	file, _, _, err := a.GetFileInfoContext(ctx, shared.Files[0].ID, 0, 0)
	if err != nil || file.Name != "a.go" || file.Size != 9 {
		t.Errorf("file %+v, %v", file, err)
	}
	if _, _, err := a.GetConversationsContext(ctx, &slack.GetConversationsParameters{Cursor: "?"}); code(err) != "invalid_cursor" {
		t.Errorf("bad cursor: %v", err)
	}
}
