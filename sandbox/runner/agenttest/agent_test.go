package agenttest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"openinspect/sandbox/runner"
	"openinspect/session"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "[]",
		"hello":                                "[]",
		"!say hi":                              "[{say hi}]",
		"> quoted !say no\nplease !say yes":    "[{say yes}]",
		"!write a b !say c ;; and !run d ;; e": "[{write a b !say c} {run d}]",
		"!status\n!crash":                      "[{crash }]",
	} {
		if got := fmt.Sprint(parse(text)); got != want {
			t.Errorf("parse(%q) = %s, want %s", text, got, want)
		}
	}
}

type recorder []session.Event

func (r *recorder) Event(e session.Event) { *r = append(*r, e) }
func (r *recorder) Delta(session.Delta)   {}

func TestRun(t *testing.T) {
	crashed := false
	a := &Agent{Crash: func() { crashed = true }}
	if err := a.Start(context.Background(), runner.AgentConfig{Dir: t.TempDir(), Home: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	var out recorder
	if err := a.Run(context.Background(), session.Delivery{ID: "1", Text: "nothing in particular"}, &out); err != nil || len(out) != 1 || out[0].Text.Text != "Done." {
		t.Errorf("got %v, %v", out, err)
	}
	if err := a.Run(context.Background(), session.Delivery{ID: "2", Text: "!crash"}, &out); err == nil || !crashed {
		t.Errorf("crashed %v, error %v", crashed, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.Run(ctx, session.Delivery{ID: "3", Text: "!wait never"}, &out); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped wait returned %v", err)
	}
}
