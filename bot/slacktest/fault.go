package slacktest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Faults are hooks that make Slack misbehave. They run without any lock held, so
// they may call the Server, and may block to delay. Nil hooks do nothing.
type Faults struct {
	// Before is asked ahead of the work; an answer replaces it.
	Before func(Call) *Response
	// After is asked when the work is done; an answer replaces the real one.
	After func(Call, Response) *Response
	// Deliver stands between an envelope and its socket. It calls send as often
	// as the envelope should arrive: not at all, twice, later, or in another
	// order. Envelopes pass one at a time, so blocking delays those behind.
	Deliver func(e Envelope, send func(Envelope))
}

// RateLimited is Slack's answer to too many calls: 429 with Retry-After, in
// whole seconds.
func RateLimited(after time.Duration) *Response {
	return &Response{
		Status: http.StatusTooManyRequests,
		Header: http.Header{"Retry-After": {strconv.Itoa(int((after + time.Second - 1) / time.Second))}},
		Body:   []byte(`{"ok":false,"error":"ratelimited"}`),
	}
}

// Refusal is an answer that carries one of Slack's error codes, and what it
// explains.
func Refusal(code string, messages ...string) *Response {
	answer := obj{"ok": false, "error": code}
	if len(messages) > 0 {
		answer["response_metadata"] = obj{"messages": messages}
	}
	body, _ := json.Marshal(answer)
	return &Response{Body: body}
}

// MissingScope is the refusal of a call for which the app lacks a scope.
func MissingScope(needed string) *Response {
	body, _ := json.Marshal(obj{"ok": false, "error": "missing_scope", "needed": needed, "provided": "chat:write"})
	return &Response{Body: body}
}

// Failure is an answer that is none of Slack's methods': a status and a page.
func Failure(status int) *Response {
	return &Response{Status: status, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>" + http.StatusText(status) + "</html>")}
}

// Cut is no answer at all: the connection is closed.
func Cut() *Response { return &Response{Cut: true} }

// Hang is no answer at all: the connection stays open.
func Hang() *Response { return &Response{Hang: true} }

// Fault is an answer that strikes calls instead of the real one.
type Fault struct {
	Method  string // empty: every method
	Channel string // id of the channel that is named in the call; empty: any, or none
	After   bool   // when the work is done, not instead of it
	Times   int    // how many calls it strikes; 0: all, until Heal
	Answer  *Response
}

// Inject adds a fault. Of several that fit a call, the one that was added first strikes. Faults come ahead of the hooks.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.injected = append(s.injected, &f)
}

// Heal takes back every fault that was injected.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.injected = nil
}

// strike returns the answer of the fault that fits a call, or nil.
func (s *Server) strike(c Call, after bool) *Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.injected {
		if f.After != after || f.Method != "" && f.Method != c.Method || f.Channel != "" && f.Channel != c.Args["channel"] {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.injected = slices.Delete(s.injected, i, i+1)
			}
		}
		return f.Answer
	}
	return nil
}

// Revoke makes one of the app's tokens good for nothing: calls with it are refused with a code, such as token_revoked, token_expired,
// account_inactive or invalid_auth. An empty code makes it good again.
func (s *Server) Revoke(token, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token == s.cfg.AppToken {
		s.deadApp = code
	} else {
		s.deadBot = code
	}
}
