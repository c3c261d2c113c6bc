package bot

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"openinspect/session"
)

// sizes returns how many characters the blocks of a message hold in all, and in their largest section.
func sizes(t *testing.T, m session.Message) (all, largest int) {
	t.Helper()
	var parts []map[string]any
	if err := json.Unmarshal(m.Blocks, &parts); err != nil {
		t.Fatal(err)
	}
	var walk func(v any, section bool)
	walk = func(v any, section bool) {
		switch v := v.(type) {
		case map[string]any:
			if text, ok := v["text"].(string); ok {
				n := utf8.RuneCountInString(text)
				all += n
				if section {
					largest = max(largest, n)
				}
			}
			for _, key := range []string{"text", "elements"} {
				if _, plain := v[key].(string); !plain {
					walk(v[key], v["type"] != "markdown")
				}
			}
		case []any:
			for _, e := range v {
				walk(e, section)
			}
		}
	}
	for _, p := range parts {
		walk(p, p["type"] != "markdown")
	}
	return all, largest
}

// The largest answer with the largest card fits into what Slack takes: 3,000 characters in a section, some 13,000 in all.
func TestEverythingAtItsLargest(t *testing.T) {
	long := strings.Repeat("<&>[x](https://evil.test)`…", 2_000)
	c := session.Card{ID: "c1", Kind: session.CardChanges, State: session.CardOpen, PromptID: "1.0", Commit: strings.Repeat("a", 40),
		Repo: session.Repo{Owner: "acme", Name: "web"}, Base: long[:200], Branch: long[:200], Title: long, Commits: 1000, Tests: long,
		Asked: session.Person{Slack: "U1", Name: session.OneLine(long, 80)}}
	for range 300 {
		c.Files = append(c.Files, session.FileChange{Path: long, Added: 100_000, Deleted: 100_000})
		c.Attention, c.Named = append(c.Attention, long), append(c.Named, long)
		c.Contributors = append(c.Contributors, session.Person{Slack: "U1", Name: session.OneLine(long, 80), GitHub: &session.Identity{Login: "somebody"}})
	}
	v := view{id: "abcdefghij", thread: session.Thread{Channel: "C", TS: "1.0"}, approve: "white_check_mark", stop: "octagonal_sign"}
	r := &result{prompt: "1.0", outcome: session.PromptDone, answer: long, card: "c1", patch: "diff"}
	messages := v.outcome(r, &c)
	var keys []string
	for _, m := range messages {
		keys = append(keys, string(m.Op)+" "+m.Title)
	}
	if got := strings.Join(keys, ", "); got != "post , file answer-57f33c.md, file aaaaaaa.diff" {
		t.Errorf("messages: %s", got)
	}
	all, largest := sizes(t, messages[0])
	if all > 12_000 || largest > 3_000 {
		t.Errorf("%d characters, %d in a section", all, largest)
	}
	ask := v.confirm(&session.Approval{ID: "a1", By: c.Asked, State: session.ApprovalNaming}, &c)
	if all, largest := sizes(t, ask); all > 12_000 || largest > 3_000 || utf8.RuneCountInString(textOf(ask)) > 4_000 {
		t.Errorf("a second approval: %d characters, %d in a section", all, largest)
	}
	edit := messages[0]
	edit.TS = "1.1"
	if n := utf8.RuneCountInString(textOf(edit)); n > 4_000 {
		t.Errorf("the text of an edit has %d characters", n)
	}
	if messages[1].Text != long {
		t.Error("the attached answer is not the whole one")
	}
}

func TestFigures(t *testing.T) {
	for d, want := range map[time.Duration]string{
		200 * time.Millisecond: "under 1 s", 59 * time.Second: "59 s", 2 * time.Minute: "2 min", 80 * time.Second: "1 min 20 s", 125 * time.Minute: "2 h 5 min",
	} {
		if got := elapsed(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
	for cost, want := range map[float64]string{0.0042: "under $0.01", 0.123: "about $0.12", 12: "about $12.00"} {
		if got := dollars(cost, true); got != want {
			t.Errorf("%v: %s", cost, got)
		}
	}
}

func TestScopes(t *testing.T) {
	want := "app_mentions:read channels:history channels:read chat:write commands files:read files:write groups:history groups:read " +
		"im:history im:read im:write mpim:history mpim:read reactions:read reactions:write users:read"
	if got := strings.Join(Scopes(), " "); got != want {
		t.Errorf("scopes: %s", got)
	}
}

// Every method that the bot calls has a pace.
func TestEveryMethodHasALimit(t *testing.T) {
	for method := range methods {
		if perMinute[method] == 0 {
			t.Errorf("how often may %s be called?", method)
		}
	}
}

// A status message stays small, whatever the agent does.
func TestStatusStaysSmall(t *testing.T) {
	d := newDigest()
	long := strings.Repeat("<!channel> ", 1_000)
	author := session.Person{Slack: "U1", Name: session.OneLine(long, 80)}
	d.apply(session.Event{Kind: session.KindPrompt, PromptID: "1", Prompt: &session.PromptChange{Author: author, State: session.PromptQueued}})
	d.apply(session.Event{Kind: session.KindTurn, PromptID: "1", Turn: &session.TurnChange{State: session.TurnStarted}})
	d.apply(session.Event{Kind: session.KindTurn, PromptID: "1", Turn: &session.TurnChange{State: session.TurnWorking}})
	input, err := json.Marshal(map[string]string{"command": long})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		call := strings.Repeat("c", n+1)
		d.apply(session.Event{Kind: session.KindTool, PromptID: "1", Tool: &session.Tool{Call: call, Name: "bash", State: session.StepRunning, Input: input}})
		d.apply(session.Event{Kind: session.KindTool, PromptID: "1", Tool: &session.Tool{Call: "x" + call, Name: long, State: session.StepDone, Title: long}})
		d.apply(session.Event{Kind: session.KindTodo, PromptID: "1", Todo: []session.TodoItem{{Text: long, State: "in_progress"}}})
	}
	d.apply(session.Event{Kind: session.KindNote, PromptID: "1", Note: &session.Note{Kind: session.NoteUpdate, Text: long}})
	d.apply(session.Event{Kind: session.KindRetry, PromptID: "1", Retry: &session.Retry{Reason: long}})
	m := view{id: "abcdefghij", stop: "octagonal_sign"}.status(d)
	if all, largest := sizes(t, m); all > 4_000 || largest > 3_000 {
		t.Errorf("%d characters, %d in a section", all, largest)
	}
	if strings.Contains(m.Text, "<!") || strings.Contains(string(m.Blocks), "<!") {
		t.Error("the status message pings a channel")
	}
}

// A log's link is signed anew each time it is made. Messages keep the one they have for an hour, so that they are not edited for it.
func TestLinkStays(t *testing.T) {
	at := newLeap().Now()
	var told teller
	for _, c := range []struct {
		made, want string
		after      time.Duration
	}{{"a", "a", 0}, {"b", "a", time.Hour}, {"", "", time.Hour}, {"c", "c", time.Hour + 1}} {
		if got := told.steady(view{logURL: c.made}, at.Add(c.after)).logURL; got != c.want {
			t.Errorf("after %v: %q, want %q", c.after, got, c.want)
		}
	}
}
