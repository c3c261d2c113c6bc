//go:build linux

package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/session/model"
	"openinspect/session/model/modeltest"
)

// model script FILE: what the model answers. model at GATE: waits until an answer has come to it. model open GATE. model refuse: the
// provider refuses the key from now on. model fail FAULT [TIMES]: its next answers go wrong. model asked N: it was asked so often for an answer of an
// agent's; model waits N: waits until it was. model read PATTERN: a request of
// an agent's has it.
func (p *play) cmdModel(ctx context.Context, ts *testscript.TestScript, args []string) error {
	m := p.stage.model
	switch {
	case len(args) == 2 && args[0] == "script":
		scripts, err := modeltest.Parse(args[1], ts.ReadFile(args[1]))
		if err != nil {
			return err
		}
		return m.Add(scripts...)
	case len(args) == 2 && args[0] == "at":
		select {
		case <-m.Waiting(args[1]):
			return nil
		case <-ctx.Done():
			return fmt.Errorf("no answer came to %s: %w", args[1], ctx.Err())
		}
	case len(args) == 2 && args[0] == "open":
		m.Open(args[1])
		return nil
	case len(args) == 1 && args[0] == "refuse":
		m.Fail(modeltest.Refused())
		return nil
	}
	if len(args) >= 2 && args[0] == "fail" {
		f, ok := modelFaults[args[1]]
		times := 1
		if len(args) > 2 {
			times, _ = strconv.Atoi(args[2])
		}
		if !ok || times < 1 {
			return usage("model fail FAULT [TIMES]")
		}
		m.Fail(slices.Repeat([]modeltest.Fault{f}, times)...)
		return nil
	}
	asked := func(all []modeltest.Request) (n int) {
		for _, r := range all {
			if len(r.Tools) > 0 {
				n++
			}
		}
		return n
	}
	if len(args) == 2 && args[0] == "asked" {
		if n := asked(m.Requests()); strconv.Itoa(n) != args[1] {
			return fmt.Errorf("the model was asked %d times", n)
		}
		return nil
	}
	if len(args) == 2 && args[0] == "read" {
		re, err := regexp.Compile(args[1])
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(m.Requests(), func(r modeltest.Request) bool { return len(r.Tools) > 0 && re.Match(r.Body) }) {
			return fmt.Errorf("no request has %q in it", args[1])
		}
		return nil
	}
	if len(args) == 2 && args[0] == "waits" {
		return m.Wait(ctx, func(all []modeltest.Request) bool { return strconv.Itoa(asked(all)) == args[1] })
	}
	return usage("model script FILE, model at|open GATE, model refuse, model fail FAULT [TIMES], model asked|waits N, model read PATTERN")
}

// modelFaults are what the verb "model fail" can do.
var modelFaults = map[string]modeltest.Fault{
	"away":            {Drop: true},
	"cut-at-start":    {CutAtStart: true},
	"cut-in-text":     {CutAfterEvents: 4},
	"cut-after-tool":  {CutAfterTool: true},
	"error-in-text":   {ErrorAfterEvents: 5},
	"stall":           {Stall: true},
	"declined":        {Finish: modeltest.Declined},
	"too-long":        {Finish: modeltest.TooLong},
	"blocked":         modeltest.Blocked(model.Anthropic),
	"no-credit":       modeltest.OutOfCredit(model.Anthropic),
	"no-context":      modeltest.OutOfContext(model.Anthropic),
	"limited":         modeltest.RateLimited(3),
	"limited-an-hour": modeltest.RateLimited(3600),
	"overloaded":      modeltest.Overloaded(20 * time.Millisecond),
	"broken":          {Status: 500, Header: map[string][]string{"Retry-After-Ms": {"20"}}},
	"unknown-model":   {Status: 404, Message: "model: claude-sonnet-5"},
	"gpt-blocked":     modeltest.Blocked(model.OpenAI),
	"gpt-no-credit":   modeltest.OutOfCredit(model.OpenAI),
	"gpt-no-context":  modeltest.OutOfContext(model.OpenAI),
}
