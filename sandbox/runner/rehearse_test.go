package runner_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"openinspect/sandbox/runner"
	"openinspect/sandbox/runner/agenttest"
	"openinspect/session"
)

// rehearser is an agent that calls its model in a rehearsal.
type rehearser struct {
	*agenttest.Agent
	models *runner.Bot
	begun  chan struct{}
	goOn   chan struct{}
	got    []int
}

func (a *rehearser) call(ctx context.Context) int {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://bot/model/anthropic/v1/messages", strings.NewReader("{}"))
	if err != nil {
		return 0
	}
	to, err := a.models.Link(ctx)
	if err != nil {
		return 0
	}
	resp, err := to.RoundTrip(q)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (a *rehearser) Rehearse(ctx context.Context) {
	a.got = append(a.got, a.call(ctx))
	close(a.begun)
	<-a.goOn
	a.got = append(a.got, a.call(ctx))
}

// In a rehearsal no model is called, also once the sandbox is somebody's; the agent's own turns call theirs.
func TestRehearsalCallsNoModel(t *testing.T) {
	b, _ := newWarm(t)
	a := &rehearser{Agent: b.agent, begun: make(chan struct{}), goOn: make(chan struct{})}
	b.change = func(c *runner.Config) {
		c.Agent = a
		c.Models = func(_ context.Context, bot *runner.Bot) (string, string, error) { a.models = bot; return "", "", nil }
	}
	b.start()
	<-a.begun
	equal(t, "claim", b.claim(taker), http.StatusAccepted)
	_ = b.link.Close()
	b.dial() // whoever took it has a link of its own
	b.lines, b.events = b.follow("", 0), nil
	close(a.goOn)
	b.ready()
	equal(t, "calls", len(a.got), 2)
	for _, status := range a.got {
		equal(t, "status in the rehearsal", status, http.StatusForbidden)
	}
	b.mu.Lock()
	equal(t, "calls of the bot", strings.Join(b.calls, " "), "")
	b.mu.Unlock()
	equal(t, "after it", a.call(t.Context()), http.StatusOK)
}

// What was claimed before its agent ran has somebody who waits.
func TestNoRehearsalBeforeSomebody(t *testing.T) {
	b := newBox(t, session.BootFresh, newRemote(t))
	b.change = func(c *runner.Config) { c.Agent = &rehearser{Agent: b.agent} } // which would end the test
	b.start().ready()
}
