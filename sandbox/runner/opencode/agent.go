package opencode

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"openinspect/sandbox/runner"
	"openinspect/session"
)

// Config is what an Agent is made of.
type Config struct {
	Binary string        // path of OpenCode's
	Clock  session.Clock // nil: the computer's
}

// Agent is OpenCode as a runner's agent.
type Agent struct {
	c Config

	mu      sync.Mutex
	agent   runner.AgentConfig
	server  *server
	session string // OpenCode's own
	version string
	closed  bool
}

var _ runner.Agent = (*Agent)(nil)

// New makes an agent; Start starts it.
func New(c Config) *Agent {
	if c.Clock == nil {
		c.Clock = session.SystemClock{}
	}
	return &Agent{c: c}
}

// Start implements runner.Agent.
func (a *Agent) Start(ctx context.Context, c runner.AgentConfig) error {
	if err := makeDir(serverDir(c)); err != nil {
		return err
	}
	if err := stagePlugins(c); err != nil {
		return err
	}
	_, err := a.launch(ctx, c)
	return err
}

// launch starts a server.
func (a *Agent) launch(ctx context.Context, c runner.AgentConfig) (*server, error) {
	config, err := settings(c)
	if err != nil {
		return nil, err
	}
	password := session.OwnToken + rand.Text()
	s, err := start(ctx, a.c.Binary, serverDir(c), c.Dir, password, environ(c, config, password), c.Processes)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		s.stop(shells{})
		return nil, errClosed
	}
	a.agent, a.server, a.version, a.session = c, s, s.version, ""
	return s, nil
}

var errClosed = session.Errorf(session.Conflict, "The agent does not run.")

// running returns the server. One that ended, by a crash or because a turn could not be stopped otherwise, is started anew: its conversation is
// on disk.
func (a *Agent) running(ctx context.Context) (*server, error) {
	a.mu.Lock()
	s, c := a.server, a.agent
	a.mu.Unlock()
	if s == nil {
		return nil, errClosed
	}
	select {
	case <-s.exited:
		return a.launch(ctx, c)
	default:
		return s, nil
	}
}

// Version implements runner.Agent.
func (a *Agent) Version() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return "opencode " + a.version
}

// Words implements runner.Agent.
func (a *Agent) Words() string {
	a.mu.Lock()
	s := a.server
	a.mu.Unlock()
	if s == nil {
		return ""
	}
	return s.log.words()
}

// Close implements runner.Agent. An abort has the agent write down that its turn was stopped; what the turn runs ends with the server.
func (a *Agent) Close() error {
	a.mu.Lock()
	s, id := a.server, a.session
	a.server, a.closed = nil, true
	a.mu.Unlock()
	if s == nil {
		return nil
	}
	commands := shells{}
	commands.look(s)
	if id != "" {
		ctx, cancel := context.WithTimeout(context.Background(), killGrace)
		_ = s.call(ctx, "POST", "/session/"+id+"/abort", nil, nil) // best effort: the process is ended next
		cancel()
	}
	s.stop(commands)
	return nil
}

// Run implements runner.Agent.
func (a *Agent) Run(ctx context.Context, d session.Delivery, out runner.Output) error {
	s, err := a.running(ctx)
	if err != nil {
		return err
	}
	if err := a.own(); err != nil {
		return err
	}
	id, err := a.conversation(ctx, s)
	if err != nil {
		return err
	}
	t := newTurn(a.c, s, id, d, out)
	return t.run(ctx)
}

// own tells the agent's shells whose sandbox this is.
func (a *Agent) own() error {
	a.mu.Lock()
	c := a.agent
	a.mu.Unlock()
	return session.Wrap("opencode.own", os.WriteFile(filepath.Join(configDir(c), "owner"), []byte(c.Owner()), 0o600))
}

// conversation returns OpenCode's session for ours: the one this directory had, if it is still there, else a new one.
func (a *Agent) conversation(ctx context.Context, s *server) (string, error) {
	a.mu.Lock()
	id, c := a.session, a.agent
	a.mu.Unlock()
	if id != "" {
		return id, nil
	}
	file := sessionFile(c)
	if b, err := os.ReadFile(file); err == nil {
		kept := strings.TrimSpace(string(b))
		if conversationID(kept) && s.call(ctx, "GET", "/session/"+kept, nil, nil) == nil {
			id = kept
		}
	}
	if id == "" {
		var made struct{ ID string }
		// With a title of its own it does not ask a model for one.
		if err := s.call(ctx, "POST", "/session", map[string]any{"title": "Session " + string(c.Owner())}, &made); err != nil {
			return "", err
		}
		id = made.ID
		if err := os.WriteFile(file, []byte(id+"\n"), 0o600); err != nil {
			return "", session.Wrap("opencode.conversation", err)
		}
	}
	a.mu.Lock()
	a.session = id
	a.mu.Unlock()
	return id, nil
}

// conversationID reports whether s has the form of OpenCode's session ids. The file it is read from is the sandbox's to write.
func conversationID(s string) bool {
	return strings.HasPrefix(s, "ses_") && len(s) < 80 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// messageID makes an id as OpenCode does: time, then chance.
func messageID(now time.Time) string {
	const hexDigits = "0123456789abcdef"
	n := uint64(now.UnixMilli())<<12 | 1
	var b [12]byte
	for i := range b {
		b[len(b)-1-i] = hexDigits[n&15]
		n >>= 4
	}
	return "msg_" + string(b[:]) + rand.Text()[:14]
}
