package slacktest

import (
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"
)

func TestSlashCommand(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, func(evt socketmode.Event) (any, bool) {
		if cmd, ok := evt.Data.(slack.SlashCommand); ok {
			return map[string]any{"response_type": "ephemeral", "text": "You said " + cmd.Text}, true
		}
		return nil, true
	})
	cmd := must[*Command](t)(s.As("alice").Command("general", "link @bob"))
	answer := must[Message](t)(cmd.Answer(t.Context()))
	if answer.Text != "You said link <@U0BOB>" || answer.To != "U0ALICE" {
		t.Errorf("answer %+v", answer)
	}
	got := (<-a.events).Data.(slack.SlashCommand)
	if got.Command != "/inspect" || got.UserID != "U0ALICE" || got.ChannelName != "general" || got.TriggerID == "" {
		t.Errorf("command %+v", got)
	}
	reply := func(kind, text string) error {
		_, _, err := a.PostMessageContext(t.Context(), "", slack.MsgOptionResponseURL(got.ResponseURL, kind), slack.MsgOptionText(text, false))
		return err
	}
	if err := errors.Join(reply("ephemeral", "done"), reply("in_channel", "all hear")); err != nil {
		t.Fatal(err)
	}
	if n := len(cmd.Answers()); n != 3 {
		t.Errorf("%d answers", n)
	}
	if seen := s.Ephemerals("alice"); len(seen) != 2 || seen[1].Text != "done" {
		t.Errorf("alice sees %+v", seen)
	}
	if said := s.Snapshot().Messages("general"); len(said) != 1 || said[0].Text != "all hear" {
		t.Errorf("the channel hears %+v", said)
	}
	for range 3 {
		if err := reply("ephemeral", "more"); err != nil {
			t.Fatal(err)
		}
	}
	if err := reply("ephemeral", "a sixth"); err == nil {
		t.Error("a response_url works six times")
	}
}

func TestCommandWithoutAppFails(t *testing.T) {
	s := start(t, Config{})
	cmd := must[*Command](t)(s.As("alice").Command("general", "status"))
	if _, err := cmd.Acked(t.Context()); !errors.Is(err, ErrDispatchFailed) {
		t.Errorf("acked: %v", err)
	}
	a := connect(t, s, nil)
	must[Message](t)(s.As("alice").Post("general", "hello"))
	if evt := <-a.events; evt.Type != socketmode.EventTypeEventsAPI {
		t.Errorf("a failed command came later: %v", evt.Type)
	}
}

func TestClicks(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	ctx := t.Context()
	root := must[Message](t)(s.As("alice").Post("general", "go"))
	nextEvent[*slackevents.MessageEvent](t, a)
	label := func(text string) *slack.TextBlockObject {
		return slack.NewTextBlockObject("plain_text", text, false, false)
	}
	menu := slack.NewOptionsSelectBlockElement("static_select", label("Repository"), "repo",
		slack.NewOptionBlockObject("acme/web", label("Web"), nil), slack.NewOptionBlockObject("acme/api", label("Api"), nil))
	buttons := slack.MsgOptionBlocks(slack.NewActionBlock("ctl", slack.NewButtonBlockElement("stop", "s1", label("Stop")), menu))
	_, ts, err := a.PostMessageContext(ctx, "C0GENERAL", buttons, slack.MsgOptionText("Working", false), slack.MsgOptionTS(root.TS))
	if err != nil {
		t.Fatal(err)
	}
	nextEvent[*slackevents.MessageEvent](t, a)

	d := must[*Delivery](t)(s.As("bob").Click("general", ts, "Stop"))
	if _, err := d.Acked(ctx); err != nil {
		t.Fatal(err)
	}
	cb := (<-a.events).Data.(slack.InteractionCallback)
	action := cb.ActionCallback.BlockActions[0]
	if cb.Type != slack.InteractionTypeBlockActions || cb.User.ID != "U0BOB" || cb.Channel.ID != "C0GENERAL" || cb.Container.MessageTs != ts ||
		cb.Container.ThreadTs != root.TS || cb.Message.Timestamp != ts || cb.Message.ThreadTimestamp != root.TS {
		t.Errorf("callback %+v", cb)
	}
	if action.ActionID != "stop" || action.BlockID != "ctl" || action.Value != "s1" || action.Type != "button" {
		t.Errorf("action %+v", action)
	}
	must[*Delivery](t)(s.As("bob").Choose("general", ts, "repo", "Api"))
	cb = (<-a.events).Data.(slack.InteractionCallback)
	if got := cb.ActionCallback.BlockActions[0].SelectedOption.Value; got != "acme/api" {
		t.Errorf("chose %q", got)
	}
	if _, err := s.As("bob").Click("general", ts, "Go"); err == nil {
		t.Error("a button that is not there was pressed")
	}

	ets := must[string](t)(a.PostEphemeralContext(ctx, "C0GENERAL", "U0BOB", buttons))
	must[*Delivery](t)(s.As("bob").Click("general", ets, "stop"))
	cb = (<-a.events).Data.(slack.InteractionCallback)
	if !cb.Container.IsEphemeral {
		t.Errorf("container %+v", cb.Container)
	}
	if _, _, err := a.PostMessageContext(ctx, "", slack.MsgOptionReplaceOriginal(cb.ResponseURL), slack.MsgOptionText("Stopped", false)); err != nil {
		t.Fatal(err)
	}
	if seen := s.Ephemerals("bob"); len(seen) != 1 || seen[0].Text != "Stopped" || len(seen[0].Blocks) != 0 {
		t.Errorf("bob sees %+v", seen)
	}
	if _, err := s.As("alice").Click("general", ets, "stop"); err == nil {
		t.Error("alice presses a button only bob sees")
	}
}

func TestShortcutModalAndSubmission(t *testing.T) {
	var later atomic.Int64
	s := start(t, Config{Now: func() time.Time { return epoch.Add(time.Duration(later.Load())) }})
	a := connect(t, s, func(evt socketmode.Event) (any, bool) {
		if cb, ok := evt.Data.(slack.InteractionCallback); ok && cb.Type == slack.InteractionTypeViewSubmission && cb.View.State.Values["task"]["text"].Value == "" {
			return slack.NewErrorsViewSubmissionResponse(map[string]string{"task": "Say what to do."}), true
		}
		return nil, true
	})
	ctx := t.Context()
	m := must[Message](t)(s.As("bob").Post("general", "the build is red"))
	must[*Delivery](t)(s.As("alice").Shortcut("general", m.TS, "inspect_message"))
	nextEvent[*slackevents.MessageEvent](t, a)
	cb := (<-a.events).Data.(slack.InteractionCallback)
	if cb.Type != slack.InteractionTypeMessageAction || cb.CallbackID != "inspect_message" || cb.Message.Text != "the build is red" || cb.MessageTs != m.TS {
		t.Fatalf("shortcut %+v", cb)
	}
	label := slack.NewTextBlockObject("plain_text", "Task", false, false)
	modal := slack.ModalViewRequest{Type: "modal", Title: label, Submit: label, CallbackID: "new_task", PrivateMetadata: m.TS,
		Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewInputBlock("task", label, nil, slack.NewPlainTextInputBlockElement(nil, "text"))}}}
	opened := must[*slack.ViewResponse](t)(a.OpenViewContext(ctx, cb.TriggerID, modal))
	if _, err := a.OpenViewContext(ctx, cb.TriggerID, modal); code(err) != "exchanged_trigger_id" {
		t.Errorf("second use: %v", err)
	}
	submit := func(text string) {
		t.Helper()
		d := must[*Delivery](t)(s.As("alice").Submit(opened.ID, map[string]map[string]any{"task": {"text": map[string]any{"type": "plain_text_input", "value": text}}}))
		must[json.RawMessage](t)(d.Acked(ctx))
		if got := (<-a.events).Data.(slack.InteractionCallback); got.View.PrivateMetadata != m.TS || got.View.CallbackID != "new_task" {
			t.Errorf("submission %+v", got.View)
		}
	}
	submit("")
	if v := s.Snapshot().Views("alice"); len(v) != 1 || v[0].Errors["task"] == "" {
		t.Errorf("after an error: %+v", v)
	}
	submit("fix it")
	if v := s.Snapshot().Views("alice"); len(v) != 0 {
		t.Errorf("still open: %+v", v)
	}
	must[*Delivery](t)(s.As("alice").Shortcut("general", m.TS, "inspect_message"))
	cb = (<-a.events).Data.(slack.InteractionCallback)
	later.Store(int64(triggerLife + time.Second))
	if _, err := a.OpenViewContext(ctx, cb.TriggerID, modal); code(err) != "expired_trigger_id" {
		t.Errorf("late use: %v", err)
	}
}

func TestHomeStatusAndSessions(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	ctx := t.Context()
	home := slack.HomeTabViewRequest{Type: "home", Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewDividerBlock()}}}
	must[*slack.ViewResponse](t)(a.PublishViewContext(ctx, slack.PublishViewContextRequest{UserID: "U0ALICE", View: home}))
	if err := s.As("alice").OpenHome(); err != nil {
		t.Fatal(err)
	}
	if e := nextEvent[*slackevents.AppHomeOpenedEvent](t, a); e.User != "U0ALICE" || e.Tab != "home" || e.View == nil {
		t.Errorf("home %+v", e)
	}
	m := must[Message](t)(s.As("alice").Post("general", "go"))
	nextEvent[*slackevents.MessageEvent](t, a)
	if err := a.SetAssistantThreadsStatusContext(ctx, slack.AssistantThreadsSetStatusParameters{ChannelID: "C0GENERAL", ThreadTS: m.TS, Status: "is thinking"}); err != nil {
		t.Fatal(err)
	}
	if st := s.Snapshot().Status("general", m.TS); st.Text != "is thinking" {
		t.Errorf("status %+v", st)
	}
	must[*slack.AgentSessionSetStatusResponse](t)(a.SetAgentSessionStatusContext(ctx, slack.AgentSessionSetStatusParameters{
		Status: slack.AgentSessionStatusProcessing, ChannelID: "C0GENERAL", ThreadTS: m.TS, Title: "Fix"}))
	if st := s.Snapshot().Status("general", m.TS); st.Text != "" || st.State != "processing" || st.Title != "Fix" {
		t.Errorf("session %+v", st)
	}
	if err := s.As("bob").StopAgent("general", m.TS); err != nil {
		t.Fatal(err)
	}
	if e := nextEvent[*slackevents.AgentSessionStoppedEvent](t, a); e.ThreadTimestamp != m.TS || e.User != "U0BOB" {
		t.Errorf("stopped %+v", e)
	}
	if _, _, err := a.PostMessageContext(ctx, "C0GENERAL", slack.MsgOptionText("Stopped.", false), slack.MsgOptionTS(m.TS)); err != nil {
		t.Fatal(err)
	}
	if st := s.Snapshot().Status("general", m.TS); st.State != "" {
		t.Errorf("a message leaves the status %+v", st)
	}
}

func TestSuggestionsAndViewAnswers(t *testing.T) {
	s := start(t, Config{})
	label := slack.NewTextBlockObject("plain_text", "Pick", false, false)
	modal := slack.ModalViewRequest{Type: "modal", Title: label, CallbackID: "first", Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewDividerBlock()}}}
	second, third := modal, modal
	second.CallbackID, third.CallbackID = "second", "third"
	a := connect(t, s, func(evt socketmode.Event) (any, bool) {
		cb, _ := evt.Data.(slack.InteractionCallback)
		switch {
		case cb.Type == slack.InteractionTypeBlockSuggestion:
			return slack.OptionsResponse{Options: []*slack.OptionBlockObject{slack.NewOptionBlockObject(cb.Value, label, nil)}}, true
		case cb.View.CallbackID == "first":
			return slack.NewUpdateViewSubmissionResponse(&second), true
		case cb.View.CallbackID == "second":
			return slack.NewPushViewSubmissionResponse(&third), true
		case cb.View.CallbackID == "third":
			return slack.NewClearViewSubmissionResponse(), true
		}
		return nil, true
	})
	ctx := t.Context()
	menu := slack.NewOptionsSelectBlockElement("external_select", label, "repo")
	_, ts, err := a.PostMessageContext(ctx, "#general", slack.MsgOptionBlocks(slack.NewActionBlock("", menu)))
	if err != nil {
		t.Fatal(err)
	}
	nextEvent[*slackevents.MessageEvent](t, a)
	d := must[*Delivery](t)(s.As("alice").Suggest("general", ts, "Pick", "acme/w"))
	ack := must[json.RawMessage](t)(d.Acked(ctx))
	var options slack.OptionsResponse
	if err := json.Unmarshal(ack, &options); err != nil || options.Options[0].Value != "acme/w" {
		t.Errorf("suggested %s, %v", ack, err)
	}
	<-a.events
	must[*Delivery](t)(s.As("alice").Choose("general", ts, "repo", "acme/web"))
	cb := (<-a.events).Data.(slack.InteractionCallback)
	if got := cb.ActionCallback.BlockActions[0].SelectedOption.Value; got != "acme/web" {
		t.Errorf("chose %q", got)
	}
	must[*slack.ViewResponse](t)(a.OpenViewContext(ctx, cb.TriggerID, modal))
	for _, want := range []int{1, 2, 0} {
		views := s.Snapshot().Views("alice")
		d := must[*Delivery](t)(s.As("alice").Submit(views[len(views)-1].ID, nil))
		must[json.RawMessage](t)(d.Acked(ctx))
		if got := s.Snapshot().Views("alice"); len(got) != want {
			t.Fatalf("%d views open, want %d", len(got), want)
		}
	}
	if _, _, err := a.PostMessageContext(ctx, "", slack.MsgOptionDeleteOriginal(cb.ResponseURL)); err != nil {
		t.Fatal(err)
	}
	if _, there := s.Snapshot().Message("general", ts); there {
		t.Error("the original was not deleted")
	}
}
