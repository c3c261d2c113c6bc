package githubtest

import (
	"maps"
	"net/http"
	"strconv"
)

// Call is one request as Config.Fault sees it.
type Call struct {
	// Route names what is called, as the keys of Server.Calls do: the method and pattern of a REST or OAuth route
	// ("POST /repos/{owner}/{repo}/pulls"), or "git info/refs git-upload-pack", "git git-receive-pack" and so on.
	Route string
	// N counts the calls of this Route, from 1.
	N int
	// Request is the call's request; its body has been read already.
	Request *http.Request
	// Body is the request's body, as sent.
	Body []byte
	// Repo is "owner/name" if the path names one.
	Repo string
	// After is false before the work is done and true after it, when what was asked for has happened.
	After bool
	// Status is the answer the work came to; 0 before it.
	Status int
}

// Response is the answer a fault gives in the server's place.
type Response struct {
	// Status is the HTTP status; 0 means 500.
	Status int
	// Header is added to the answer.
	Header http.Header
	// Body is sent as it is. For a REST call, nil means GitHub's error body with the status's text as the message.
	Body []byte
	// Drop closes the connection without an answer.
	Drop bool
}

// SetFault replaces Config.Fault; nil means none.
func (s *Server) SetFault(f func(Call) *Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Calls returns how often each route was called, by Call.Route.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// begin counts a call and describes it.
func (s *Server) begin(route string, r *http.Request, body []byte, repo string) Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[route]++
	return Call{Route: route, N: s.calls[route], Request: r, Body: body, Repo: repo}
}

// faulted asks the fault hook about c and, if it answers, writes that answer. It reports whether it did.
func (s *Server) faulted(w http.ResponseWriter, c Call) bool {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	if fault == nil {
		return false
	}
	answer := fault(c)
	if answer == nil {
		return false
	}
	if answer.Drop {
		panic(http.ErrAbortHandler)
	}
	status := answer.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	body := answer.Body
	if body == nil {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		body = marshal(fail(status, http.StatusText(status)).body)
	}
	maps.Copy(w.Header(), answer.Header)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that left is its own affair
	return true
}
