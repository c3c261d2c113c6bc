package slacktest

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/slack-go/slack"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestRender reads a thread made of every kind of block in testdata/thread.json
// as a person would.
func TestRender(t *testing.T) {
	s := start(t, Config{})
	api, ctx := client(s), t.Context()
	raw, err := os.ReadFile("testdata/thread.json")
	if err != nil {
		t.Fatal(err)
	}
	var messages []json.RawMessage
	if err := json.Unmarshal(raw, &messages); err != nil {
		t.Fatal(err)
	}
	root := must[Message](t)(s.As("alice").Post("general", "@inspect see #general, <https://acme.test/ci|the build> & <this>\nThanks!"))
	if err := api.AddReactionContext(ctx, "eyes", slack.NewRefToMessage("C0GENERAL", root.TS)); err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		var blocks slack.Blocks
		if err := json.Unmarshal(m, &blocks); err != nil {
			t.Fatal(err)
		}
		_, ts, err := api.PostMessageContext(ctx, "C0GENERAL", slack.MsgOptionTS(root.TS), slack.MsgOptionBlocks(blocks.BlockSet...))
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []string{"alice", "bob"} {
			if err := s.As(who).React("general", ts, "white_check_mark"); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, ts, err := api.PostMessageContext(ctx, "C0GENERAL", slack.MsgOptionTS(root.TS), slack.MsgOptionText("Working", false))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := api.UpdateMessageContext(ctx, "C0GENERAL", ts, slack.MsgOptionText("Done in <https://acme.test/log|4 min>", false)); err != nil {
		t.Fatal(err)
	}
	must[Message](t)(s.As("bob").Forward("general", root.TS, "Like this?", root))
	golden(t, "testdata/thread.txt", s.Render("general", root.TS))
	golden(t, "testdata/thread-urls.txt", s.Snapshot().Render(Rendering{URLs: true}, "general", root.TS))

	must[string](t)(api.PostEphemeralContext(ctx, "C0GENERAL", "U0BOB", slack.MsgOptionText("Not allowed, <@U0BOB>.", false)))
	if got, want := s.Snapshot().RenderMessage(Rendering{}, s.Ephemerals("bob")[0]), "inspect: (only bob sees this) Not allowed, @bob.\n"; got != want {
		t.Errorf("ephemeral %q, want %q", got, want)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s", name, got)
	}
}

// A link without an address is shown as it was typed.
func TestRenderLinkWithoutAddress(t *testing.T) {
	p := &painter{snap: New(Config{}).Snapshot()}
	if got := p.mrkdwn("see <|this> &amp; that"); got != "see <|this> & that" {
		t.Errorf("%q", got)
	}
}
