package bot

import (
	"context"
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

func (w *watched) Load(ctx context.Context, id session.ID) (session.State, error) {
	st, err := w.DB.Load(ctx, id)
	if err == nil && id == w.unread {
		return session.State{}, &session.Error{Code: session.Internal, Message: session.DamagedWords, Err: &session.Damaged{Thread: st.Session.Thread}}
	}
	return st, err
}

// A session that cannot be read any more: its thread is told, once, and so is whoever writes there. Others go on.
func TestDamagedSession(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "[repo=acme/web] fix the flaky test")
	id := r.id(ts)
	r.ready(id, ts)
	r.shown(ts, "Working for alice")
	for range 2 {
		r.stop()
		r.db.unread = id
		r.start()
		r.shown(ts, "What I have stored of this thread cannot be read any more", "begin a new thread")
	}
	r.reply("alice", ts, "and the other one")
	r.told("alice", "Your request came to nothing", "cannot be read any more")
	other := r.mention("bob", "[repo=acme/web] something else")
	r.called("start inspect-" + string(r.id(other)))
	if text := r.slack.Snapshot().Render(slacktest.Rendering{}, "general", ts); strings.Count(text, "cannot be read any more") != 1 {
		t.Errorf("the thread was told:\n%s", text)
	}
}
