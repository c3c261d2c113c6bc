package opencode

import (
	"context"
	"strings"

	"openinspect/sandbox/runner"
	"openinspect/session/model"
)

var _ runner.Rehearser = (*Agent)(nil)

// rehearsal is a prompt that nobody reads.
const rehearsal = "This is a rehearsal: nobody reads the answer."

// Rehearse implements runner.Rehearser: it prompts in a session of its own, once for each provider, and deletes that. On the way OpenCode loads the
// provider's library, its tools and ours: half a second, of which a second prompt takes a tenth.
func (a *Agent) Rehearse(ctx context.Context) {
	a.mu.Lock()
	s, c := a.server, a.agent
	a.mu.Unlock()
	if s == nil {
		return
	}
	var made struct{ ID string }
	if s.call(ctx, "POST", "/session", map[string]any{"title": "Rehearsal"}, &made) != nil {
		return
	}
	for _, provider := range c.Providers {
		for _, m := range model.All() {
			name, ok := strings.CutPrefix(m.ID, provider+"/")
			if !ok {
				continue
			}
			_ = s.call(ctx, "POST", "/session/"+made.ID+"/message", map[string]any{
				"model": map[string]any{"providerID": provider, "modelID": name},
				"parts": []any{map[string]any{"type": "text", "text": rehearsal}},
			}, nil) // whatever it says
			break
		}
	}
	ctx = context.WithoutCancel(ctx)
	_ = s.call(ctx, "POST", "/session/"+made.ID+"/abort", nil, nil) // if that took too long
	_ = s.call(ctx, "DELETE", "/session/"+made.ID, nil, nil)        // one that stays is nobody's, and says nothing
}
