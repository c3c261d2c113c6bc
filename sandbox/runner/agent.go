package runner

import (
	"context"

	"openinspect/session"
)

// Agent does the work: OpenCode, or a scripted one in tests. One runner has one agent.
type Agent interface {
	// Start starts the agent and returns when prompts are accepted. It is called once, before the first Run.
	Start(ctx context.Context, c AgentConfig) error
	// Run gives the agent one prompt and returns when the turn has ended: nil when it answered; ctx's error after ctx was
	// cancelled, when nothing of the turn runs any more; otherwise a session.Error whose sentence says why it failed.
	Run(ctx context.Context, d session.Delivery, out Output) error
	// Version names the agent, such as "opencode 1.18.33".
	Version() string
	// Words is a sentence with the last lines of its log; "" if there are none.
	Words() string
	// Close ends the agent and every process it started.
	Close() error
}

// Rehearser is an Agent that comes to its first prompt sooner when it has gone through one for nobody: in a warm sandbox there is time for that.
type Rehearser interface {
	// Rehearse goes through a prompt as far as a model's answer, which is a refusal. It leaves nothing behind, and is best effort.
	Rehearse(ctx context.Context)
}

// Output takes what an agent tells during a Run. Events have At and Kind and their payload; the runner adds the prompt's id and numbers them.
type Output interface {
	Event(e session.Event)
	Delta(d session.Delta)
}

// AgentConfig is what an agent needs to know of the sandbox it works in.
type AgentConfig struct {
	Owner     func() session.ID // whose agent it is now
	Start     string            // start id of the runner
	Dir       string            // the checkout
	Home      string            // its HOME
	Env       func() []string   // environment of what starts now, whole, KEY=value; nothing secret of the bot's is in it
	Model     string            // default provider/model
	Providers []string          // model providers to offer
	Gateway   string            // base URL of the model port on loopback; provider P is at Gateway/P (without /v1)
	Token     string            // what the model port takes as API key
	Catalogue string            // path of the model catalogue in models.dev form; empty: the agent's own
	Processes int               // how many it and its programs may have; 0: any number
	Tools     []string          // command line of the MCP server with our tools
}
