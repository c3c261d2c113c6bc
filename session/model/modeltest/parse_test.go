package modeltest

import (
	"reflect"
	"strings"
	"testing"

	"openinspect/session/model"
)

func TestParse(t *testing.T) {
	got, err := Parse("x", `
# A comment.
script one
  match fix it
match mend it

think First.
think Second.
gate thought
say Hello.
say
say World.
gate said
tool bash {"command":"echo ${HOME}"}
gate called
tool todoread
step
gate two
say Done.
usage output=3

match another
say Yes.
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Script{
		{Name: "one", Match: []string{"fix it", "mend it"}, Steps: []Step{
			{Reasoning: "First.\nSecond.", Text: "Hello.\n\nWorld.",
				Tools: []ToolCall{{"bash", map[string]any{"command": "echo ${HOME}"}}, {"todoread", map[string]any{}}},
				Gates: []Gate{{"thought", AtText, 0}, {"said", AtText, 14}, {"called", AtTool, 1}}},
			{Text: "Done.", Gates: []Gate{{"two", AtStart, 0}}, Usage: &model.Usage{Output: 3}},
		}},
		{Match: []string{"another"}, Steps: []Step{{Text: "Yes."}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("parsed\n%+v, want\n%+v", got, want)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "f: there is no script in it",
		"say hi":                                "f:1: say before the first script",
		"script a b":                            `f:1: "a b" is no name`,
		"script a\n\nsya hi":                    `f:3: "sya" is no directive; there are script, match`,
		"script a\ntool":                        "f:2: tool needs something after it",
		"script a\ntool bash {":                 "f:2: the input of tool bash is not a JSON object",
		"script a\ntool bash null":              "f:2: the input of tool bash is not a JSON object",
		"script a\ntool x {}\nsay hi":           "f:3: say comes before tool",
		"script a\nsay x\nthink y":              "f:3: think comes before say",
		"script a\nsay x\ntoolless":             "f:3: toolless belongs before the first step",
		"script a\nstep one":                    "f:2: step takes nothing after it",
		"script a\nstep\nstep":                  "f:3: the step before this one is empty",
		"script a\nmatchre (":                   "f:2: error parsing regexp",
		"script a\nusage inptu=1":               `f:2: "inptu=1" is no usage`,
		"script a\nusage input=-1":              `f:2: "input=-1" is no usage`,
		"script a":                              `f: script "a" has no step`,
		"script a\nsay x\nstep":                 `f: step 2 of script "a" says nothing`,
		"script a\nmatchre x\nmatchre y\nsay z": "f:3: a second matchre",
	} {
		if _, err := Parse("f", text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := New(Config{Scripts: []Script{{Steps: []Step{{Text: "x"}}}}}); err == nil {
		t.Error("a script that can never be chosen was taken")
	}
}
