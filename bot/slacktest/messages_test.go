package slacktest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
)

// dial opens and closes a WebSocket and returns the handshake's HTTP status.
func dial(t *testing.T, url string) int {
	t.Helper()
	ws, resp, err := websocket.Dial(t.Context(), url, nil)
	if err == nil {
		defer func() { _ = ws.CloseNow() }()
	}
	if resp == nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestBotPostsAndUpdates(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	ctx := t.Context()
	root := must[Message](t)(s.As("alice").Post("general", "anybody?"))
	nextEvent[*slackevents.MessageEvent](t, a)

	meta := slack.SlackMetadata{EventType: "inspect_session", EventPayload: map[string]any{"seq": 7.0}}
	_, ts, err := a.PostMessageContext(ctx, "C0GENERAL", slack.MsgOptionTS(root.TS), slack.MsgOptionText("Working", false),
		slack.MsgOptionMetadata(meta), slack.MsgOptionDisableLinkUnfurl())
	if err != nil {
		t.Fatal(err)
	}
	own := nextEvent[*slackevents.MessageEvent](t, a)
	if own.BotID != s.Bot().BotID || own.SubType != "" || own.ThreadTimeStamp != root.TS || own.TimeStamp != ts {
		t.Errorf("own message %+v", own)
	}
	_, _, _, err = a.UpdateMessageContext(ctx, "C0GENERAL", ts, slack.MsgOptionText("Done", false))
	if err != nil {
		t.Fatal(err)
	}
	edit := nextEvent[*slackevents.MessageEvent](t, a)
	if edit.SubType != "message_changed" || edit.Message.Text != "Done" || edit.PreviousMessage.Text != "Working" || edit.User != "" {
		t.Errorf("edit %+v", edit)
	}
	for _, all := range []bool{true, false} {
		msgs, more, _, err := a.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
			ChannelID: "C0GENERAL", Timestamp: root.TS, IncludeAllMetadata: all})
		if err != nil || more || len(msgs) != 2 {
			t.Fatalf("replies: %d, more %v, %v", len(msgs), more, err)
		}
		if got := msgs[1].Metadata.EventPayload["seq"]; (got == 7.0) != all {
			t.Errorf("include_all_metadata %v: seq is %v", all, got)
		}
		if msgs[0].ReplyCount != 1 || msgs[0].ThreadTimestamp != root.TS || msgs[1].ParentUserId != "U0ALICE" || msgs[1].Edited == nil {
			t.Errorf("thread %+v", msgs)
		}
	}
	link := must[string](t)(a.GetPermalinkContext(ctx, &slack.PermalinkParameters{Channel: "C0GENERAL", Ts: ts}))
	if want := "https://acme.slack.com/archives/C0GENERAL/p" + strings.ReplaceAll(ts, ".", "") + "?thread_ts=" + root.TS + "&cid=C0GENERAL"; link != want {
		t.Errorf("permalink %s, want %s", link, want)
	}
	got := s.Thread("general", root.TS)[1]
	if got.Edits != 1 || got.Text != "Done" || got.UnfurlLinks != "false" || got.Metadata.EventType != "inspect_session" {
		t.Errorf("message %+v", got)
	}
	if _, _, err := a.DeleteMessageContext(ctx, "C0GENERAL", ts); err != nil {
		t.Fatal(err)
	}
	if gone := nextEvent[*slackevents.MessageEvent](t, a); gone.SubType != "message_deleted" || gone.DeletedTimeStamp != ts {
		t.Errorf("deletion %+v", gone)
	}
	if got := s.Thread("general", root.TS); len(got) != 1 || got[0].ReplyCount != 0 {
		t.Errorf("thread after deletion %+v", got)
	}
}

func TestRepliesInPages(t *testing.T) {
	s := start(t, Config{})
	root := must[Message](t)(s.As("alice").Post("general", "root"))
	var third string
	for i := range 5 {
		m := must[Message](t)(s.As("bob").Reply("general", root.TS, fmt.Sprint("reply ", i)))
		if i == 2 {
			third = m.TS
		}
	}
	api, cursor := client(s), ""
	var seen []string
	for {
		msgs, more, next, err := api.GetConversationRepliesContext(t.Context(), &slack.GetConversationRepliesParameters{
			ChannelID: "C0GENERAL", Timestamp: root.TS, Cursor: cursor, Limit: 4})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			seen = append(seen, m.Text)
		}
		if cursor = next; !more {
			break
		}
	}
	if got := strings.Join(seen, ","); got != "root,reply 0,reply 1,reply 2,reply 3,reply 4" {
		t.Errorf("pages hold %s", got)
	}
	msgs, _, _, err := api.GetConversationRepliesContext(t.Context(), &slack.GetConversationRepliesParameters{
		ChannelID: "C0GENERAL", Timestamp: root.TS, Oldest: third})
	if err != nil || len(msgs) != 3 || msgs[1].Text != "reply 3" {
		t.Errorf("since the third: %d, %v", len(msgs), err)
	}
	hist, err := api.GetConversationHistoryContext(t.Context(), &slack.GetConversationHistoryParameters{ChannelID: "C0GENERAL"})
	if err != nil || len(hist.Messages) != 1 || hist.Messages[0].ReplyCount != 5 || hist.Messages[0].LatestReply == "" {
		t.Errorf("history %+v, %v", hist, err)
	}
}

func TestRefusals(t *testing.T) {
	s := start(t, Config{Channels: []Channel{
		{Name: "general"}, {Name: "elsewhere", Members: []string{"alice"}}, {Name: "secret", Kind: Private, Members: []string{"alice"}},
	}})
	api, ctx := client(s), t.Context()
	alice := must[Message](t)(s.As("alice").Post("general", "mine"))
	reply := must[Message](t)(s.As("bob").Reply("general", alice.TS, "ok"))
	gone := must[Message](t)(s.As("bob").Post("general", "soon gone"))
	if err := s.As("bob").Delete("general", gone.TS); err != nil {
		t.Fatal(err)
	}
	text := slack.MsgOptionText
	post := func(ch string, opts ...slack.MsgOption) error {
		_, _, err := api.PostMessageContext(ctx, ch, opts...)
		return err
	}
	update := func(ts string, opts ...slack.MsgOption) error {
		_, _, _, err := api.UpdateMessageContext(ctx, "C0GENERAL", ts, opts...)
		return err
	}
	_, own, err := api.PostMessageContext(ctx, "C0GENERAL", text("own", false))
	if err != nil {
		t.Fatal(err)
	}
	ref := slack.NewRefToMessage("C0GENERAL", alice.TS)
	if err := api.AddReactionContext(ctx, "eyes", ref); err != nil {
		t.Fatal(err)
	}
	_, noUser := api.GetUserInfoContext(ctx, "U0NOBODY")
	_, noMail := api.GetUserByEmailContext(ctx, "nobody@acme.test")
	_, whisper := api.PostEphemeralContext(ctx, "C0GENERAL", "U0NOBODY", text("x", false))
	_, _, _, noThread := api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{ChannelID: "C0GENERAL", Timestamp: "1.1"})
	_, noTrigger := api.OpenViewContext(ctx, "nonsense", slack.ModalViewRequest{Type: "modal", Title: slack.NewTextBlockObject("plain_text", "T", false, false)})
	_, noMethod := api.GetTeamInfoContext(ctx)
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"post nowhere":         {post("C0NOWHERE", text("x", false)), "channel_not_found"},
		"post not in channel":  {post("C0ELSEWHERE", text("x", false)), "not_in_channel"},
		"post in secret":       {post("C0SECRET", text("x", false)), "channel_not_found"},
		"post nothing":         {post("C0GENERAL"), "no_text"},
		"post too much":        {post("C0GENERAL", text(strings.Repeat("x", textLimit+1), false)), "msg_too_long"},
		"post most":            {post("C0GENERAL", text(strings.Repeat("é", textLimit), false)), ""},
		"post in no thread":    {post("C0GENERAL", text("x", false), slack.MsgOptionTS("1.1")), "thread_not_found"},
		"post under a reply":   {post("C0GENERAL", text("x", false), slack.MsgOptionTS(reply.TS)), "cannot_reply_to_message"},
		"post in gone thread":  {post("C0GENERAL", text("x", false), slack.MsgOptionTS(gone.TS)), ""},
		"update foreign":       {update(alice.TS, text("x", false)), "cant_update_message"},
		"update missing":       {update("1.1", text("x", false)), "message_not_found"},
		"update too much":      {update(own, text(strings.Repeat("x", updateLimit+1), false)), "msg_too_long"},
		"ephemeral to nobody":  {whisper, "user_not_in_channel"},
		"react twice":          {api.AddReactionContext(ctx, "eyes", ref), "already_reacted"},
		"unreact nothing":      {api.RemoveReactionContext(ctx, "ship", ref), "no_reaction"},
		"react to nothing":     {api.AddReactionContext(ctx, "eyes", slack.NewRefToMessage("C0GENERAL", "1.1")), "message_not_found"},
		"react badly":          {api.AddReactionContext(ctx, "No Such", ref), "invalid_name"},
		"unknown user":         {noUser, "user_not_found"},
		"unknown address":      {noMail, "users_not_found"},
		"unknown thread":       {noThread, "thread_not_found"},
		"unknown trigger":      {noTrigger, "invalid_trigger_id"},
		"method not on offer":  {noMethod, "unknown_method"},
		"delete foreign":       {func() error { _, _, err := api.DeleteMessageContext(ctx, "C0GENERAL", alice.TS); return err }(), "cant_delete_message"},
		"no status for thread": {api.SetAssistantThreadsStatusContext(ctx, slack.AssistantThreadsSetStatusParameters{ChannelID: "C0GENERAL", ThreadTS: "1.1", Status: "x"}), "thread_not_found"},
	} {
		if code(c.err) != c.want {
			t.Errorf("%s: %q, want %q", what, code(c.err), c.want)
		}
	}
}

func TestUploadAndDownload(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	ctx := t.Context()
	root := must[Message](t)(s.As("alice").Attach("general", "", "@inspect look", File{Name: "crash.log", Data: []byte("boom")}))
	mention := nextEvent[*slackevents.AppMentionEvent](t, a)
	share := nextEvent[*slackevents.MessageEvent](t, a)
	if share.SubType != "file_share" || len(share.Message.Files) != 1 || len(mention.Files) != 1 {
		t.Fatalf("shared %+v", share)
	}
	var got bytes.Buffer
	if err := a.GetFileContext(ctx, share.Message.Files[0].URLPrivate, &got); err != nil || got.String() != "boom" {
		t.Errorf("downloaded %q, %v", got.String(), err)
	}
	stranger := slack.New("xoxb-stranger", slack.OptionAPIURL(s.URL()))
	if err := stranger.GetFileContext(ctx, share.Message.Files[0].URLPrivate, &got); err == nil {
		t.Error("a wrong token downloads")
	}
	up := must[*slack.FileSummary](t)(a.UploadFileContext(ctx, slack.UploadFileParameters{
		Filename: "shot.png", FileSize: 3, Reader: strings.NewReader("png"), Title: "Before", InitialComment: "See <https://acme.test|here>",
		Channel: "C0GENERAL", ThreadTimestamp: root.TS}))
	thread := s.Thread("general", root.TS)
	if len(thread) != 2 || thread[1].Files[0].ID != up.ID || string(thread[1].Files[0].Data) != "png" || thread[1].Files[0].Mimetype != "image/png" {
		t.Fatalf("thread %+v", thread)
	}
	if own := nextEvent[*slackevents.MessageEvent](t, a); own.SubType != "file_share" || own.BotID == "" || own.Message.Files[0].Title != "Before" {
		t.Errorf("own upload %+v", own)
	}
	want := "alice: @inspect look\n  [file: crash.log]\ninspect: See here\n  [file: shot.png]\n"
	if text := s.Render("general", root.TS); text != want {
		t.Errorf("rendered\n%s, want\n%s", text, want)
	}
}
