package bot

import "testing"

func TestOptionsInWords(t *testing.T) {
	all := func(string) bool { return true }
	for _, c := range []struct {
		text, rest                 string
		model, effort, branch, why string
	}{
		{text: "fix the test with opus", rest: "fix the test", model: "anthropic/claude-opus-5-5"},
		{text: "fix the test, using Claude Opus 5.", rest: "fix the test", model: "anthropic/claude-opus-5"},
		{text: "with sonnet: fix the test", rest: "fix the test", model: "anthropic/claude-sonnet-5"},
		{text: "fix the test with opus at high effort", rest: "fix the test", model: "anthropic/claude-opus-5-5", effort: "high"},
		{text: "fix the test at low effort with sonnet", rest: "fix the test", model: "anthropic/claude-sonnet-5", effort: "low"},
		{text: "at max effort, find out why", rest: "find out why", effort: "max"},
		{text: "fix the build on branch release/1.2 with opus", rest: "fix the build on branch release/1.2", model: "anthropic/claude-opus-5-5", branch: "release/1.2"},
		{text: "rebase it on the dev branch", rest: "rebase it on the dev branch", branch: "dev"},
		{text: "[branch=main] cherry-pick from branch dev", rest: "cherry-pick from branch dev", branch: "main"},

		// Words that are the task's.
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
	if rest, o, _ := readOptions("fix it with opus", "anthropic/claude-sonnet-5", func(string) bool { return false }); o.model != "" || rest != "fix it with opus" {
		t.Errorf("a model without a key: %q, %+v", rest, o)
	}
}
