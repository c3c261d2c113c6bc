package bot

import (
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// Slack sends events in any order: a message that was deleted before it came is not taken.
func TestDeletedBeforeItCame(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	message := `"type":"message","user":"U0BOB","text":"and the docs","ts":"1795522999.000100","thread_ts":"` + ts + `"`
	for _, raw := range []string{
		`{"event_id":"Ev1","event":{"type":"message","subtype":"message_deleted","channel":"C0GENERAL","ts":"1795522999.000300","deleted_ts":"1795522999.000100","previous_message":{` + message + `}}}`,
		`{"event_id":"Ev2","event":{"channel":"C0GENERAL",` + message + `}}`,
	} {
		if err := r.bot.process(r.ctx, session.Received{Key: "Ev", Kind: eventsAPI, Payload: []byte(raw)}); err != nil {
			t.Fatal(err)
		}
	}
	if p := r.load(id).Prompts; len(p) != 1 {
		t.Errorf("a deleted message was taken: %+v", p)
	}
}

// The same of messages that begin a thread: a mention, a direct message, one that was edited to mention the bot, and a mention that waits for its turn
// when its deletion comes.
func TestDeletedBeforeItCameRegression(t *testing.T) {
	r := newRig(t)
	held := make(chan func(), 5)
	hold := func(e slacktest.Envelope, send func(slacktest.Envelope)) {
		if strings.Contains(string(e.Payload), "look at acme") && !strings.Contains(string(e.Payload), "message_deleted") && !strings.Contains(string(e.Payload), "tombstone") {
			held <- func() { send(e) }
			return
		}
		send(e)
	}
	r.slack.SetFaults(slacktest.Faults{Deliver: hold})
	dm, err := r.slack.As("alice").DM("look at acme/api")
	if err != nil {
		t.Fatal(err)
	}
	mention := r.mention("alice", "look at acme/web")
	later, err := r.slack.As("bob").Post("general", "checkout is flaky")
	if err != nil {
		t.Fatal(err)
	}
	r.edit("bob", later.TS, "<@"+r.slack.Bot().ID+"> look at acme/web")
	r.delete("alice", mention)
	r.delete("bob", later.TS)
	if err := r.slack.As("alice").Delete(dm.Channel, dm.TS); err != nil {
		t.Fatal(err)
	}
	r.kept("all three deletions", func() bool {
		for _, id := range []string{dm.Channel + ":" + dm.TS, "C0GENERAL:" + mention, "C0GENERAL:" + later.TS} {
			if _, err := r.db.Seen(r.ctx, "gone/"+id); err != nil {
				return false
			}
		}
		return true
	})
	for range 5 { // a mention is two, and so is an edit that makes one
		(<-held)()
	}
	r.handled()
	if calls := r.world.Calls(); len(calls) > 0 {
		t.Errorf("what was deleted was begun: %v", calls)
	}

	gate, reached := make(chan struct{}), make(chan struct{}, 16)
	r.slack.SetFaults(slacktest.Faults{Deliver: hold, Before: func(c slacktest.Call) *slacktest.Response {
		if c.Method == "conversations.replies" && c.Args["ts"] != mention {
			reached <- struct{}{}
			<-gate
		}
		return nil
	}})
	waits := r.mention("bob", "look at acme/web")
	r.reply("alice", waits, "<@"+r.slack.Bot().ID+"> !status") // is handled first, and takes its time
	<-reached
	r.delete("bob", waits)
	r.until("the deletion", func(*slacktest.Snapshot) bool { return r.slack.Unacked() == 2 })
	for range 2 {
		(<-held)()
	}
	r.until("the mention", func(*slacktest.Snapshot) bool { return r.slack.Unacked() == 0 })
	close(gate)
	r.handled()
	if st := r.load(r.id(waits)); len(st.Prompts) > 0 || st.Session.Ended.State != session.PromptWithdrawn && st.Session.Ended.State != session.PromptStopped {
		t.Errorf("what was deleted is %+v, ended %+v", st.Prompts, st.Session.Ended)
	}
}
