package modeltest

import "net/http"

// gate is a place in an answer that a test opens.
type gate struct {
	reached, open chan struct{} // each closed once
	isReached     bool
	isOpen        bool
}

func (p *Provider) gate(name string) *gate {
	g := p.gates[name]
	if g == nil {
		g = &gate{reached: make(chan struct{}), open: make(chan struct{})}
		p.gates[name] = g
	}
	return g
}

// Waiting returns a channel that is closed when an answer has reached the gate of that name for the first time.
func (p *Provider) Waiting(name string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gate(name).reached
}

// Open opens a gate, for every answer that waits at it or comes to it later. Opening it again does nothing.
func (p *Provider) Open(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.gate(name); !g.isOpen {
		g.isOpen = true
		close(g.open)
	}
}

// pass waits at a gate. It returns false if the caller went away, or the Provider was closed, before it opened.
func (p *Provider) pass(r *http.Request, name string) bool {
	p.mu.Lock()
	g := p.gate(name)
	if !g.isReached {
		g.isReached = true
		close(g.reached)
	}
	p.mu.Unlock()
	select {
	case <-g.open:
		return true
	case <-r.Context().Done():
		return false
	case <-p.closed.Done():
		return false
	}
}
