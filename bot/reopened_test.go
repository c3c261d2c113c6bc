package bot

import (
	"encoding/json"
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// A channel is archived while somebody works in it. When it is open again and somebody speaks there, no message says that the work goes on, and
// the answer comes; also if the bot was restarted in between, or was not there.
func TestChannelThatIsOpenAgainRegression(t *testing.T) {
	for name, meanwhile := range map[string]func(*rig, func()){
		"spoken in":     func(r *rig, open func()) { open() },
		"after a start": func(r *rig, open func()) { r.stop(); r.start(); open() },
		"caught up": func(r *rig, open func()) {
			r.stop()
			open()
			r.slack.GiveUp()
			r.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			ts := r.mention("alice", "fix acme/web")
			id := r.id(ts)
			r.ready(id, ts)
			r.journal(id, session.Event{Kind: session.KindTool, PromptID: ts, Tool: &session.Tool{Call: "1", Name: "bash", State: session.StepDone, Input: json.RawMessage(`{"command":"make"}`)}})
			r.shown(ts, "Working for alice", "`make` ✓")
			if err := r.slack.Archive("general"); err != nil {
				t.Fatal(err)
			}
			r.answered(id, ts, "Fixed.")
			r.kept("what is said to be refused", func() bool {
				p, err := r.db.Pending(r.ctx)
				refused, wrong := r.db.Refused(r.ctx)
				return err == nil && wrong == nil && len(p) == 0 && len(refused) >= 2 && r.load(id).Session.Turn == nil
			})
			meanwhile(r, func() {
				if err := r.slack.Unarchive("general"); err != nil {
					t.Fatal(err)
				}
				if _, err := r.slack.As("bob").Post("general", "we are back"); err != nil {
					t.Fatal(err)
				}
			})
			r.shown(ts, "Done for alice", "Fixed.")
			r.until("nothing says that somebody works", func(s *slacktest.Snapshot) bool {
				return !strings.Contains(s.Render(slacktest.Rendering{}, "general", ts), "Working for alice")
			})
			r.once(ts, "Done for alice", "Fixed.")
		})
	}
}
