package bot

import (
	"strings"
	"testing"
)

func TestOptionsInWords(t *testing.T) {
	all := func(string) bool { return true }
	for _, c := range []struct {
		text, rest                 string
		model, effort, branch, why string
	}{
		{text: "fix the test with opus", rest: "fix the test with opus", model: "anthropic/claude-opus-5-5"},
		{text: "fix the test, using Claude Opus 5.", rest: "fix the test, using Claude Opus 5.", model: "anthropic/claude-opus-5"},
		{text: "with sonnet: fix the test", rest: "fix the test", model: "anthropic/claude-sonnet-5"},
		{text: "fix the test with opus at high effort", rest: "fix the test with opus", model: "anthropic/claude-opus-5-5", effort: "high"},
		{text: "fix the test at low effort with sonnet", rest: "fix the test with sonnet", model: "anthropic/claude-sonnet-5", effort: "low"},
		{text: "at max effort, find out why", rest: "find out why", effort: "max"},
		{text: "fix the build on branch release/1.2 with opus", rest: "fix the build on branch release/1.2 with opus", model: "anthropic/claude-opus-5-5", branch: "release/1.2"},
		{text: "rebase it on the dev branch", rest: "rebase it on the dev branch", branch: "dev"},
		{text: "[branch=main] cherry-pick from branch dev", rest: "cherry-pick from branch dev", branch: "main"},

		{text: "add a page that talks with claude", rest: "add a page that talks with claude", model: "anthropic/claude-sonnet-5"}, // the words may be the task's

		// Words that are the task's.
		{text: "fix the test on the failing branch", rest: "fix the test on the failing branch"},
		{text: "start from the branch that works", rest: "start from the branch that works"},
		{text: "fix the encoder with opus files in it", rest: "fix the encoder with opus files in it"},
		{text: "write tests with care", rest: "write tests with care"},
		{text: "do it with little effort", rest: "do it with little effort"},
		{text: "use sonnet as the name of the folder", rest: "use sonnet as the name of the folder"},
		{text: "why is it slow with the cache?", rest: "why is it slow with the cache?"},
	} {
		rest, o, refusal := readOptions(c.text, "anthropic/claude-sonnet-5", all)
		if rest != c.rest || o.model != c.model || o.effort != c.effort || o.branch != c.branch || refusal != c.why {
			t.Errorf("%q: %q, %+v, %q", c.text, rest, o, refusal)
		}
	}
}

// A model that people name, and for which there is no key, is not passed over in silence: they are told what runs instead, and what comes nearest.
func TestModelWithoutAKey(t *testing.T) {
	openai := func(id string) bool { return strings.HasPrefix(id, "openai/") }
	for _, c := range []struct{ text, note, refusal string }{
		{"fix it with opus", "There is no key for Claude Opus 5.5 here, so I use GPT-6 Luna. The nearest that can be used is GPT-5.3 Codex: [model=gpt-5.3-codex].", ""},
		{"with sonnet: fix it", "There is no key for Claude Sonnet 5 here, so I use GPT-6 Luna. The nearest that can be used is GPT-6 Sol: [model=gpt-6-sol].", ""},
		{"fix it [model=fable]", "", "There is no key for Claude Fable 5.1 here. I use openai/gpt-6-luna unless you name another; the nearest that can be used is GPT-6 Astra, [model=gpt-6-astra]."},
		{"fix it [model=opsu]", "", "I do not know the model \"opsu\". I use openai/gpt-6-luna unless you name another; there are gpt-6-sol, gpt-5.3-codex,"},
		{"fix it with luna", "", ""},
	} {
		rest, o, refusal := readOptions(c.text, "openai/gpt-6-luna", openai)
		if o.note != c.note || !strings.Contains(refusal, c.refusal) || c.refusal == "" && refusal != "" || !strings.Contains(rest, "fix it") {
			t.Errorf("%q: %q, %q, %q", c.text, rest, o.note, refusal)
		}
	}
	if _, o, _ := readOptions("fix it with opus", "openai/gpt-5.3-codex", openai); o.note != "There is no key for Claude Opus 5.5 here, so I use GPT-5.3 Codex, which is the nearest there is." {
		t.Error(o.note)
	}
	r := newRig(t, func(r *rig) { r.cfg.ModelAvailable, r.cfg.DefaultModel = openai, "openai/gpt-6-sol" })
	ts := r.mention("alice", "fix acme/web with opus")
	r.told("alice", "There is no key for Claude Opus 5.5 here, so I use GPT-6 Sol.")
	r.ready(r.id(ts), ts)
	if s := r.load(r.id(ts)).Session; s.Model != "openai/gpt-6-sol" {
		t.Errorf("runs with %s", s.Model)
	}
}
