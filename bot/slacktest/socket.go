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

// pickSocket returns the open sockets in turn, or nil.
func (s *Server) pickSocket() *socket {
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
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	ws.SetReadLimit(1 << 20)
	ctx, cancel := context.WithCancel(s.ctx)
	k := &socket{ws: ws, cancel: cancel, ready: make(chan struct{}, 1)}
	s.admit(k)
	s.wg.Go(func() { s.writeSocket(ctx, k) })
	s.wg.Go(func() { s.pingSocket(ctx, k) })
	for {
		_, frame, err := ws.Read(ctx)
		if err != nil {
			break
		}
		s.receive(frame)
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
		frames := k.frames
		k.frames = nil
		s.mu.Unlock()
		for _, f := range frames {
			if err := k.ws.Write(ctx, websocket.MessageText, f); err != nil {
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

// pingSocket pings at once and then regularly, and ends a connection that does
// not answer in 30 s.
func (s *Server) pingSocket(ctx context.Context, k *socket) {
	tick := time.NewTicker(s.cfg.PingEvery)
	defer tick.Stop()
	for {
		wait, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := k.ws.Ping(wait)
		cancel()
		if err != nil {
			k.cancel()
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
