package bot

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// dot is the smallest PNG there is.
func dot(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// attach has somebody mention the bot with files and returns the prompt.
func (r *rig) attach(user, text string, files ...slacktest.File) (session.ID, session.Prompt) {
	r.t.Helper()
	m, err := r.slack.As(user).Attach("general", "", "<@"+r.slack.Bot().ID+"> "+text, files...)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.prompt(m)
}

func (r *rig) prompt(m slacktest.Message) (session.ID, session.Prompt) {
	r.t.Helper()
	id := r.id(m.TS)
	r.kept("the prompt", func() bool { return len(r.load(id).Prompts) > 0 })
	return id, r.load(id).Prompts[0]
}

func TestAttachments(t *testing.T) {
	r := newRig(t)
	id, p := r.attach("alice", "fix acme/web as shown", slacktest.File{Name: "../shot.png", Data: dot(t)}, slacktest.File{Name: "trace.log", Data: []byte("panic: nil\n")},
		slacktest.File{Name: "shot.png", Data: []byte("this is no image")})
	if p.Text != "fix acme/web as shown" || len(p.Files) != 3 {
		t.Fatalf("the prompt is %+v", p)
	}
	for i, want := range []struct{ name, kind, content string }{{"_shot.png", "image/png", string(dot(t))}, {"trace.log", "text/plain", "panic: nil\n"}, {"shot.png", "text/plain", "this is no image"}} {
		f := p.Files[i]
		body, err := r.db.File(r.ctx, id, f.Hash)
		if f.Name != want.name || f.Type != want.kind || err != nil || string(body) != want.content || f.Size != int64(len(body)) {
			t.Errorf("%+v with %q, %v", f, body, err)
		}
	}

	// What cannot be read is told, to its author and to the agent.
	_, p = r.attach("alice", "in acme/web", slacktest.File{Name: "a.zip", Data: []byte("PK\x03\x04\x00\x00")}, slacktest.File{Name: "demo.mp4", Data: []byte("x")},
		slacktest.File{Name: "big.log", Data: bytes.Repeat([]byte("x"), session.MaxTextFile+1)}, slacktest.File{Name: "good.txt", Data: []byte("good")}, slacktest.File{Name: "empty.txt"})
	r.told("alice", "The agent has your message without `a.zip` (I read PNG, JPEG, GIF and WebP images, and text), `demo.mp4` (I read images and text), "+
		"`big.log` (it is larger than 1 MiB), `empty.txt` (it is empty).")
	if len(p.Files) != 1 || !strings.Contains(p.Text, "(Attached in Slack, but not readable: big.log, it is larger than 1 MiB)") {
		t.Errorf("the prompt is %+v", p)
	}
	var seven []slacktest.File
	for range 7 {
		seven = append(seven, slacktest.File{Name: "shot.png", Data: dot(t)})
	}
	if _, p = r.attach("bob", "in acme/web", seven...); len(p.Files) != session.MaxImages {
		t.Errorf("%d images were taken", len(p.Files))
	}
	r.told("bob", "without `shot.png` (I take 6 images at a time).")

	// A file says it all; and one that was forwarded.
	m, err := r.slack.As("alice").Attach("general", "", "", slacktest.File{Name: "todo in acme/web.txt", Data: []byte("fix it")})
	if err != nil {
		t.Fatal(err)
	}
	if m, err = r.slack.As("bob").Forward("general", "", "<@"+r.slack.Bot().ID+"> [repo=acme/web]", m); err != nil {
		t.Fatal(err)
	}
	if _, p = r.prompt(m); len(p.Files) != 1 || p.Files[0].Name != "todo in acme_web.txt" || p.Text != "Do what the forwarded message asks for." {
		t.Errorf("the prompt is %+v", p)
	}

	// A secret in a text is taken out before it is stored.
	id, p = r.attach("alice", "in acme/web", slacktest.File{Name: "env.txt", Data: []byte("KEY=ghp_0123456789abcdefghijABCDEFGHIJ012345\n")})
	if body, err := r.db.File(r.ctx, id, p.Files[0].Hash); err != nil || strings.Contains(string(body), "ghp_") || !p.Redacted {
		t.Errorf("%q is stored, %v; redacted %v", body, err, p.Redacted)
	}
}

// Slack does not hand a file over: for a moment, or for good.
func TestAttachmentTrouble(t *testing.T) {
	r := newRig(t)
	r.slack.Inject(slacktest.Fault{Method: slacktest.DownloadCall, Times: 2, Answer: slacktest.Failure(503)})
	if _, p := r.attach("alice", "in acme/web", slacktest.File{Name: "a.txt", Data: []byte("a")}); len(p.Files) != 1 {
		t.Errorf("the prompt is %+v", p)
	}
	r.slack.Inject(slacktest.Fault{Method: slacktest.DownloadCall, Times: 1, Answer: slacktest.Failure(404)})
	if _, p := r.attach("alice", "in acme/web", slacktest.File{Name: "b.txt", Data: []byte("b")}); len(p.Files) != 0 || !strings.Contains(p.Text, "b.txt, Slack does not hand it over to me") {
		t.Errorf("the prompt is %+v", p)
	}
	r.told("alice", "The agent has your message without `b.txt` (Slack does not hand it over to me).")
	if !strings.Contains(r.log.String(), "files:read") {
		t.Error("the operator is not told of the scope")
	}
}

// A download ends at its limit, whatever its description said: io.Copy would have filled a buffer that is embedded by its ReadFrom.
func TestDownloadCappedRegression(t *testing.T) {
	body := io.LimitReader(zeros{}, 1<<20)
	c := &capped{left: 100_000}
	if n, err := io.Copy(c, body); !errors.Is(err, errLong) || n > 100_000 || c.taken.Len() > 100_000 {
		t.Errorf("%d bytes were copied, %d kept: %v", n, c.taken.Len(), err)
	}
}

// zeros is a body without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// What belongs to a request comes along wherever it lies: with the message that a form is about, with a mention whose event lacks it, and with
// the answer to the question for the repository.
func TestFilesAlongRegression(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.slack.Close()
		r.slack = slacktest.New(slacktest.Config{
			Events: []string{"app_mention"}, MentionsOmitFiles: true,
			Users: []slacktest.User{{Name: "alice"}, {Name: "bob"}, {Name: "gina", IsRestricted: true}},
			Now:   func() time.Time { return r.cfg.Clock.Now() }, TriggerLife: time.Hour,
		})
		r.cfg.BotToken, r.cfg.AppToken = r.slack.BotToken(), r.slack.AppToken()
	})
	us := "<@" + r.slack.Bot().ID + "> "
	attach := func(user, root, text, name string) slacktest.Message {
		t.Helper()
		m, err := r.slack.As(user).Attach("general", root, text, slacktest.File{Name: name, Data: []byte(name)})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	has := func(id session.ID, n int, want string) {
		t.Helper()
		r.kept(fmt.Sprintf("prompt %d", n), func() bool { return len(r.load(id).Prompts) >= n })
		if p := r.load(id).Prompts[n-1]; len(p.Files) != 1 || p.Files[0].Name != want {
			t.Errorf("prompt %d is %+v", n, p)
		}
	}

	m := attach("bob", "", "It looks like this", "about.txt")
	r.submit("alice", r.form("alice", "general", m.TS), map[string]string{inputRepo: "+acme/web"})
	id := r.id(m.TS)
	has(id, 1, "about.txt")
	attach("alice", m.TS, us+"and like this", "later.txt")
	has(id, 2, "later.txt")
	attach("bob", m.TS, us, "alone.txt")
	has(id, 3, "alone.txt")

	// The thread has a session now; its later messages may be what a request is about.
	m = attach("bob", m.TS, "", "follow-up.txt")
	r.submit("alice", r.form("alice", "general", m.TS), map[string]string{inputPrompt: "this one"})
	has(id, 4, "follow-up.txt")
	if p := r.load(id).Prompts[3]; p.Text != "this one" || p.Context != "(The request is about this message:) bob: (1 file, without words)" {
		t.Errorf("the follow-up is %+v", p)
	}

	// What guests attach stays out as their words do, and whoever asks is told, and the agent.
	about := func(root string, m slacktest.Message) session.Prompt {
		t.Helper()
		form := r.form("alice", "general", m.TS)
		if shown := r.view(form); !strings.Contains(shown, "What guests write or attach does not reach the agent") {
			t.Errorf("the form is\n%s", shown)
		}
		r.submit("alice", form, map[string]string{inputPrompt: "as the guest says [repo=acme/web]"})
		id := r.id(root)
		n := 0
		r.kept("a prompt about the guest's message", func() bool {
			n = len(r.load(id).Prompts)
			return n > 0 && strings.Contains(r.load(id).Prompts[n-1].Text, "as the guest says")
		})
		return r.load(id).Prompts[n-1]
	}
	root, first := m.ThreadTS, attach("gina", "", "", "guest.txt")
	for _, p := range []session.Prompt{about(root, attach("gina", root, "look", "guest.txt")), about(first.TS, first)} {
		if len(p.Files) > 0 || p.Context != "(Messages of guests are left out: 1.)" {
			t.Errorf("about a guest's message: %+v", p)
		}
	}

	// Nobody said which repository.
	ts := r.mention("alice", "fix it")
	r.shown(ts, "Which repository")
	id = r.id(ts)
	attach("alice", ts, us+"acme/web", "answer.txt")
	has(id, 2, "answer.txt")
}
