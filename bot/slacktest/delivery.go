package slacktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Types of envelopes.
const (
	EventsAPI     = "events_api"
	SlashCommands = "slash_commands"
	Interactive   = "interactive"
)

// ackLimit is where Slack silently drops an acknowledgement: 20 KiB of JSON.
const ackLimit = 20 << 10

// maxRetries is how often Slack repeats an event; retry_attempt stops there.
const maxRetries = 3

var errClosed = errors.New("server closed")

// ErrDispatchFailed is what a person sees whose command or click found no app:
// Slack does not repeat those.
var ErrDispatchFailed = errors.New("dispatch_failed: the app did not respond")

// Envelope is one frame to the app.
type Envelope struct {
	ID                     string          `json:"envelope_id"`
	Type                   string          `json:"type"`
	Payload                json.RawMessage `json:"payload"`
	AcceptsResponsePayload bool            `json:"accepts_response_payload"`
	RetryAttempt           int             `json:"retry_attempt,omitempty"`
	RetryReason            string          `json:"retry_reason,omitempty"`
}

// Delivery is a payload on its way to the app. All of its repetitions have the
// same envelope id, and one acknowledgement settles them.
type Delivery struct {
	s        *Server
	env      Envelope
	inOffice bool    // waiting in the post office
	socket   *socket // the last one it went to
	sends    int
	sentAt   time.Time // first
	took     time.Duration
	acks     int
	ack      json.RawMessage
	failed   error
	onAck    func(json.RawMessage) // with s.mu held
	done     chan struct{}         // closed when acknowledged or failed
}

// DeliveryState is how a payload fares.
type DeliveryState struct {
	Envelope
	Sends  int // frames sent
	Acked  bool
	Acks   int             // acknowledgements received; more than one is the app's mistake or a repetition's
	Ack    json.RawMessage // the payload of the first acknowledgement, or nil
	Failed string          // why it will never arrive
	Took   time.Duration   // from when it was sent first until its first acknowledgement came
}

func (d *Delivery) state() DeliveryState {
	st := DeliveryState{Envelope: d.env, Sends: d.sends, Acked: d.acks > 0, Acks: d.acks, Ack: d.ack, Took: d.took}
	if d.failed != nil {
		st.Failed = d.failed.Error()
	}
	return st
}

// Acked waits for the app's acknowledgement and returns its payload, nil if it
// has none. The error is ErrDispatchFailed if the payload cannot arrive any more.
func (d *Delivery) Acked(ctx context.Context) (json.RawMessage, error) {
	select {
	case <-d.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("slacktest: %s %s not acknowledged: %w", d.env.Type, d.env.ID, context.Cause(ctx))
	case <-d.s.ctx.Done():
		return nil, fmt.Errorf("slacktest: %s %s not acknowledged: %w", d.env.Type, d.env.ID, errClosed)
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	return d.ack, d.failed
}

// emit is the only way to the app. With no socket open, events wait for one and
// everything else fails. Callers hold s.mu.
func (s *Server) emit(kind string, acceptsResponse bool, payload obj, onAck func(json.RawMessage)) *Delivery {
	raw, err := json.Marshal(payload)
	d := &Delivery{
		s: s, onAck: onAck, done: make(chan struct{}),
		env: Envelope{ID: s.nextID("env"), Type: kind, Payload: raw, AcceptsResponsePayload: acceptsResponse},
	}
	s.deliveries[d.env.ID] = d
	s.delivOrder = append(s.delivOrder, d)
	switch {
	case err != nil:
		s.fail(d, fmt.Errorf("slacktest: encode %s: %w", kind, err))
	case s.openSockets() > 0:
		s.enqueue(d)
	case kind != EventsAPI:
		s.fail(d, ErrDispatchFailed)
	}
	s.touch()
	return d
}

func (s *Server) enqueue(d *Delivery) {
	d.inOffice = true
	s.outgoing = append(s.outgoing, d.env)
	wake(s.post)
}

func (s *Server) fail(d *Delivery, err error) {
	if d.acks == 0 && d.failed == nil {
		d.failed = err
		close(d.done)
		s.touch()
	}
}

// runPostOffice passes envelopes, one at a time and in order, through the Deliver
// hook to a socket.
func (s *Server) runPostOffice() {
	for {
		s.mu.Lock()
		var next Envelope
		some := len(s.outgoing) > 0
		if some {
			next, s.outgoing = s.outgoing[0], s.outgoing[1:]
		}
		hook := s.faults.Deliver
		s.mu.Unlock()
		switch {
		case some && hook != nil:
			hook(next, s.send)
			s.mu.Lock()
			if d := s.deliveries[next.ID]; d != nil && !slices.ContainsFunc(s.outgoing, func(e Envelope) bool { return e.ID == next.ID }) {
				d.inOffice = false // also if it was kept back
			}
			s.mu.Unlock()
			continue
		case some:
			s.send(next)
			continue
		}
		select {
		case <-s.post:
		case <-s.ctx.Done():
			return
		}
	}
}

// send hands an envelope to one of the open sockets.
func (s *Server) send(e Envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deliveries[e.ID]
	if d != nil {
		d.inOffice = false // and not before: a connection that opens meanwhile takes what waits for one
	}
	sock := s.pickSocket()
	if sock == nil {
		if d != nil && d.env.Type != EventsAPI {
			s.fail(d, ErrDispatchFailed)
		}
		return
	}
	frame, err := json.Marshal(e)
	if err != nil {
		return
	}
	if d != nil {
		d.socket = sock
		if d.sends++; d.sends == 1 {
			d.sentAt = time.Now()
		}
	}
	sock.push(frame)
	s.touch()
}

// retry sends events again that were not acknowledged. Without all, only those
// that no open socket has. Callers hold s.mu.
func (s *Server) retry(all bool) int {
	n := 0
	for _, d := range s.delivOrder {
		if d.env.Type != EventsAPI || d.acks > 0 || d.failed != nil || d.inOffice {
			continue
		}
		if !all && d.socket != nil && d.socket.open {
			continue
		}
		d.env.RetryReason = "timeout"
		if d.sends == 0 {
			d.env.RetryReason = "connection_failed"
		}
		d.env.RetryAttempt = min(d.env.RetryAttempt+1, maxRetries)
		s.enqueue(d)
		n++
	}
	return n
}

// Unacked counts the payloads the app has not acknowledged and may still.
func (s *Server) Unacked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, d := range s.delivOrder {
		if d.acks == 0 && d.failed == nil {
			n++
		}
	}
	return n
}

// Redeliver sends every event again that the app has not acknowledged, with
// retry_attempt one higher (3 at most), and returns how many those are. With no
// socket open it does nothing: they are sent when one opens.
func (s *Server) Redeliver() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.openSockets() == 0 {
		return 0
	}
	return s.retry(true)
}

// ErrGivenUp is what becomes of an event that Slack has sent often enough.
var ErrGivenUp = errors.New("slack has given the event up")

// GiveUp ends the repetitions of every event that the app has not acknowledged, as Slack does after some minutes.
func (s *Server) GiveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.delivOrder {
		s.fail(d, ErrGivenUp)
	}
}

// receive takes a frame from the app.
func (s *Server) receive(frame []byte) {
	if len(frame) >= ackLimit {
		return
	}
	var ack struct {
		EnvelopeID string          `json:"envelope_id"`
		Payload    json.RawMessage `json:"payload"`
	}
	if json.Unmarshal(frame, &ack) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deliveries[ack.EnvelopeID]
	if d == nil || d.failed != nil {
		return
	}
	d.acks++
	if d.acks == 1 {
		d.took = time.Since(d.sentAt)
		if p := string(ack.Payload); p != "" && p != "null" && p != "{}" {
			d.ack = ack.Payload
		}
		if d.onAck != nil {
			d.onAck(d.ack)
		}
		close(d.done)
		s.forget(d)
	}
	s.touch()
}

// forget drops what is settled, if the server is forgetful: in bulk, so that each costs little. Callers hold s.mu.
func (s *Server) forget(d *Delivery) {
	if !s.cfg.Forgetful {
		return
	}
	delete(s.deliveries, d.env.ID)
	if s.settled++; s.settled > 1_000 && s.settled > len(s.delivOrder)/2 {
		s.delivOrder = slices.DeleteFunc(s.delivOrder, func(d *Delivery) bool { return d.acks > 0 })
		s.settled = 0
	}
}
