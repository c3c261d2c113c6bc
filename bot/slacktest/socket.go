package slacktest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// maxSockets is how many connections an app may have at once.
const maxSockets = 10

// socket is one Socket Mode connection. Its fields, ws apart, belong to s.mu.
type socket struct {
	ws     *websocket.Conn
	cancel context.CancelFunc
	open   bool // payloads may go to it
	mute   bool // half-open: it takes what is written, and nothing comes of it
	frames [][]byte
	ready  chan struct{} // there are frames
}

func (k *socket) push(frame []byte) {
	k.frames = append(k.frames, frame)
	wake(k.ready)
}

func (s *Server) openSockets() int {
	n := 0
	for _, k := range s.sockets {
		if k.open {
			n++
		}
	}
	return n
}

// pickSocket returns the oldest open socket, or with [Config.Spread] the open ones in turn; nil if there is none.
func (s *Server) pickSocket() *socket {
	if !s.cfg.Spread {
		s.nextSocket = 0
	}
	for range s.sockets {
		k := s.sockets[s.nextSocket%len(s.sockets)]
		s.nextSocket++
		if k.open {
			return k
		}
	}
	return nil
}

func (s *Server) appsConnectionsOpen(args) (obj, error) {
	ticket := strings.ToLower(s.nextID("ticket-"))
	s.tickets[ticket] = true
	return obj{"url": "ws" + strings.TrimPrefix(s.base, "http") + "/link/?ticket=" + ticket + "&app_id=" + s.cfg.AppID}, nil
}

// serveSocket is one connection's life. A ticket opens one connection only.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	ticket := r.URL.Query().Get("ticket")
	s.mu.Lock()
	valid := s.tickets[ticket] && !s.closed
	delete(s.tickets, ticket)
	if valid {
		s.wg.Add(1)
		defer s.wg.Done()
	}
	s.mu.Unlock()
	if !valid {
		http.Error(w, "invalid ticket", http.StatusForbidden)
		return
	}
	// Clients name api.slack.com as their origin; the ticket is what admits them.
	ctx, cancel := context.WithCancel(s.ctx)
	k := &socket{cancel: cancel, ready: make(chan struct{}, 1)}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true,
		OnPingReceived: func(context.Context, []byte) bool { return !s.muted(k) }})
	if err != nil {
		cancel()
		return
	}
	ws.SetReadLimit(1 << 20)
	k.ws = ws
	s.admit(k)
	s.wg.Go(func() { s.writeSocket(ctx, k) })
	s.wg.Go(func() { s.pingSocket(ctx, k) })
	for {
		_, frame, err := ws.Read(ctx)
		if err != nil {
			break
		}
		if !s.muted(k) {
			s.receive(frame)
		}
	}
	cancel()
	// The close handshake, if the client began one, is over: TCP goes at once.
	_ = ws.CloseNow()
	s.dismiss(k)
}

// admit greets a new connection and sends it what waits.
func (s *Server) admit(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tooMany := s.openSockets() >= maxSockets
	s.sockets = append(s.sockets, k)
	k.open = !tooMany
	s.touch()
	if tooMany {
		k.push(disconnectFrame("too_many_websockets"))
		return
	}
	hello, _ := json.Marshal(obj{
		"type": "hello", "num_connections": s.openSockets(),
		"debug_info":      obj{"host": "applink-slacktest", "build_number": 1, "approximate_connection_time": 18060},
		"connection_info": obj{"app_id": s.cfg.AppID},
	})
	k.push(hello)
	s.retry(false)
}

// dismiss forgets a connection that ended. What it did not acknowledge goes to
// another one, if there is any.
func (s *Server) dismiss(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.open = false
	s.sockets = slices.DeleteFunc(s.sockets, func(o *socket) bool { return o == k })
	for _, d := range s.delivOrder {
		if d.socket == k && d.env.Type != EventsAPI && !d.inOffice {
			s.fail(d, ErrDispatchFailed)
		}
	}
	if s.openSockets() > 0 {
		s.retry(false)
	}
	s.touch()
}

func (s *Server) writeSocket(ctx context.Context, k *socket) {
	for {
		s.mu.Lock()
		frames, split := k.frames, s.split
		k.frames = nil
		if k.mute {
			frames = nil
		}
		s.mu.Unlock()
		for _, f := range frames {
			if err := writeFrame(ctx, k.ws, f, split); err != nil {
				k.cancel()
				return
			}
		}
		if len(frames) > 0 {
			continue
		}
		select {
		case <-k.ready:
		case <-ctx.Done():
			return
		}
	}
}

// writeFrame sends a message, whole or in pieces.
func writeFrame(ctx context.Context, ws *websocket.Conn, frame []byte, split bool) error {
	if !split {
		return ws.Write(ctx, websocket.MessageText, frame)
	}
	w, err := ws.Writer(ctx, websocket.MessageText)
	if err != nil {
		return err
	}
	for piece := range slices.Chunk(frame, 1+len(frame)/5) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return w.Close()
}

func (s *Server) muted(k *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return k.mute
}

// pingSocket pings at once and then regularly, and ends a connection that does
// not answer in 30 s.
func (s *Server) pingSocket(ctx context.Context, k *socket) {
	tick := time.NewTicker(s.cfg.PingEvery)
	defer tick.Stop()
	for {
		if s.muted(k) {
			return
		}
		wait, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := k.ws.Ping(wait)
		cancel()
		if err != nil {
			if !s.muted(k) {
				k.cancel()
			}
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func disconnectFrame(reason string) []byte {
	frame, _ := json.Marshal(obj{"type": "disconnect", "reason": reason, "debug_info": obj{"host": "applink-slacktest"}})
	return frame
}

// Disconnect asks the app to leave every open connection: warning,
// refresh_requested, link_disabled or too_many_websockets. Nothing is sent on
// them afterwards; closing is the client's part.
func (s *Server) Disconnect(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.sockets {
		if k.open {
			k.open = false
			k.push(disconnectFrame(reason))
		}
	}
	s.touch()
}

// Renew asks the app to leave its oldest open connection, as Slack does with each after some hours.
func (s *Server) Renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.sockets {
		if k.open {
			k.open = false
			k.push(disconnectFrame("refresh_requested"))
			break
		}
	}
	s.touch()
}

// CutSockets cuts every connection without a close handshake, as a lost network
// does.
func (s *Server) CutSockets() {
	s.mu.Lock()
	sockets := slices.Clone(s.sockets)
	for _, k := range sockets {
		k.open = false
	}
	s.touch()
	s.mu.Unlock()
	for _, k := range sockets {
		k.cancel()
	}
}

// HalfOpen makes every open connection one whose other end is gone without a word: it takes what is written, nothing comes from it, not
// even pings, and events that go to it are lost until Slack sends them again. A connection that is opened later works.
func (s *Server) HalfOpen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.sockets {
		k.mute = true
	}
	s.touch()
}

// Split makes every later message on the sockets come in several WebSocket frames, or whole again.
func (s *Server) Split(split bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.split = split
}

// SendFrame writes any text to every open connection, for payloads that a client
// cannot read.
func (s *Server) SendFrame(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.sockets {
		if k.open {
			k.push(slices.Clone(frame))
		}
	}
}
