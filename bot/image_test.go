package bot

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// albums is the builder of images: it does nothing, and knows what it was told.
type albums struct {
	mu  sync.Mutex
	all []session.Prebuilt
}

func (a *albums) at(r session.Repo) *session.Prebuilt {
	i := slices.IndexFunc(a.all, func(p session.Prebuilt) bool { return p.Repo == r })
	if i < 0 {
		i = len(a.all)
		a.all = append(a.all, session.Prebuilt{Repo: r})
	}
	return &a.all[i]
}

func (a *albums) change(r session.Repo, f func(*session.Prebuilt)) session.Prebuilt {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.at(r)
	f(p)
	return *p
}

func (a *albums) Images(context.Context) ([]session.Prebuilt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all), nil
}

func (a *albums) Image(_ context.Context, r session.Repo) (session.Prebuilt, error) {
	return a.change(r, func(*session.Prebuilt) {}), nil
}

func (a *albums) Switch(_ context.Context, r session.Repo, on bool, by session.Person) (session.Prebuilt, error) {
	return a.change(r, func(p *session.Prebuilt) {
		*p = session.Prebuilt{Repo: r, Enabled: on, By: by}
		if on {
			p.State = session.BuildDue
		}
	}), nil
}

func (a *albums) Build(_ context.Context, r session.Repo, by session.Person) (session.Prebuilt, error) {
	return a.change(r, func(p *session.Prebuilt) { p.State, p.Asked = session.BuildDue, append(p.Asked, by) }), nil
}

func TestImageCommand(t *testing.T) {
	r := newRig(t)
	web := session.Repo{Owner: "acme", Name: "web"}
	say := func(who, text, want string) {
		t.Helper()
		r.command(who, "general", text)
		r.told(who, want)
	}
	say("alice", "image", "No repository has an image: each session clones its repository")
	say("alice", "image acme/web", "`acme/web` has no image: each of its sessions clones it")
	say("alice", "image acme/wbe on", "Nothing was changed. I cannot see a repository `acme/wbe`.")
	say("alice", "image acme/web onn", "Did you mean `/inspect image acme/web on`?")
	say("alice", "image on", "Nothing was changed. Name the repository: `/inspect image owner/name on`.")
	say("alice", "image none off", "Nothing was changed. Name the repository: `/inspect image owner/name off`.")
	say("alice", "image delete acme/web", "so nothing happened. Did you mean `/inspect image acme/web off`?")
	say("alice", "imgae acme/web on", "Did you mean `/inspect image acme/web on`?")
	say("alice", "image build for acme/web please", "Did you mean `/inspect image acme/web build`?")
	say("alice", "image https://github.com/acme/web", "`acme/web` has no image")
	say("alice", "image status", "Did you mean `/inspect image`?")
	say("alice", "image acme/web on", "The image of `acme/web` is kept up to date from now on: its branch is looked at every half hour. The image of `acme/web`: a build waits for its turn. I tell you when that is over.")
	say("bob", "Image build acme/web", "The image of `acme/web` is being built. I tell you when that is over")
	built := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	p := r.albums.change(web, func(p *session.Prebuilt) {
		p.State, p.Image, p.Commit, p.Base, p.Setup, p.Built, p.Took = session.BuildDone, "im-1", "abcdef0123456789", "main", "5e70", built, 90*time.Second
	})
	for range 2 { // once more after a crash
		if err := r.bot.ImageBuilt(r.ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	direct := func(want string) {
		t.Helper()
		r.until("bob to be told "+want, func(s *slacktest.Snapshot) bool {
			return slices.ContainsFunc(s.Messages("D0BOB"), func(m slacktest.Message) bool { return strings.Contains(m.Text, want) })
		})
	}
	direct("The image of `acme/web` is there: sessions begin from it, with what `.openinspect/setup.sh` left at `abcdef0`. It took 1 min 30 s.")
	bare := p
	bare.Setup, bare.Asked = "", []session.Person{{Slack: "U0ALICE", Name: "alice"}}
	if err := r.bot.ImageBuilt(r.ctx, bare); err != nil {
		t.Fatal(err)
	}
	r.until("alice to be told", func(s *slacktest.Snapshot) bool {
		return slices.ContainsFunc(s.Messages("D0ALICE"), func(m slacktest.Message) bool {
			return strings.Contains(m.Text, "sessions begin from it, with its checkout at `abcdef0`.")
		})
	})
	say("alice", "images", "The image of `acme/web`: built 24 Nov 12:00 UTC from `abcdef0` of `main` in 1 min 30 s.")
	p = r.albums.change(web, func(p *session.Prebuilt) {
		p.State, p.Failed, p.Reason, p.Output, p.Asked = session.BuildFailed, built.Add(time.Hour), "setup failed: exit code 3", "npm <ERR>\n```\nno & more", p.Asked[:1]
	})
	if err := r.bot.ImageBuilt(r.ctx, p); err != nil {
		t.Fatal(err)
	}
	direct("The image of `acme/web` could not be built: setup failed: exit code 3. The last lines:\n```\nnpm &lt;ERR&gt;\n'''\nno &amp; more\n```\nSessions go on from the image of before.")
	say("alice", "image acme/web", "; the build of 24 Nov 13:00 UTC failed: setup failed: exit code 3.")
	if n := len(r.slack.Snapshot().Messages("D0BOB")); n != 2 {
		t.Errorf("bob was told %d times", n)
	}
	say("alice", "image off acme/web", "Sessions do not begin from an image of `acme/web` any more")
	say("gina", "image acme/web on", "full members of this workspace only")
}

// What merely begins with the word is a task.
func TestImageInTasks(t *testing.T) {
	for text, want := range map[string]imageCommand{
		"image":                              {},
		"images":                             {},
		"image on":                           {change: "on"},
		"image acme/web":                     {repo: "acme/web"},
		"IMAGE acme/web BUILD":               {"build", "acme/web"},
		"image rebuild web":                  {"build", "web"},
		"image   web\n off":                  {"off", "web"},
		"image off acme/web on":              {"-", ""},
		"image uploads":                      {"-", ""},
		"image acme/web is broken on mobile": {"-", ""},
	} {
		got, ok := readImage(text)
		if !ok {
			got = imageCommand{"-", ""}
		}
		if got != want {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
	for text, task := range map[string]bool{
		"image uploads": true, "image acme/web is broken on mobile": true, "images off screen are loaded": true, "image build fails in acme/web": true, "imagine acme/web offline": true,
		"image refresh": false, "image list": false, "images for acme/web": false, "image acme/web offf": false,
	} {
		if (command{Text: text}).task() != task {
			t.Errorf("%q: a task is %t", text, !task)
		}
	}
}

// What a script prints stays inside the block that shows it.
func TestOutputBlock(t *testing.T) {
	for output, want := range map[string]string{
		"one\n\ttwo\n": "one\n\ttwo", "a```b": "a'''b", "a`\x01``b `\u202e`\x7f`": "a'''b '''", "\x1b[31m<!here> & <@U1>": "[31m&lt;!here&gt; &amp; &lt;@U1&gt;",
		strings.Repeat("x", maxOutput) + "y": "…" + strings.Repeat("x", maxOutput-1) + "y",
	} {
		if got := outputBlock(output); got != "```\n"+want+"\n```" {
			t.Errorf("%q is shown as %q", output, got)
		}
	}
}
