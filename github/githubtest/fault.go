package githubtest

import (
	"maps"
	"net/http"
	"strconv"
	"time"
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
	// Stall answers nothing, until the caller goes away or the server closes.
	Stall bool
	// Cut sends the real answer up to its middle and then closes the connection. It is for faults after the work.
	Cut bool
}

// What GitHub says when things go wrong; docs.github.com, "Troubleshooting the REST API".

// Busy is a GitHub that does not work: a page for people, also where JSON was asked for.
func Busy(status int) *Response {
	return &Response{Status: status, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html><body><p>We're having a really bad day.</p></body></html>")}
}

// Refusal is GitHub's error body.
func Refusal(status int, message string, details ...any) *Response {
	return &Response{Status: status, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: marshal(fail(status, message, details...).body)}
}

// SSO is what a person's token gets in an organization with SAML single sign-on, as long as they have no session there.
func SSO(organization string) *Response {
	r := Refusal(http.StatusForbidden, "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this organization.")
	r.Header.Set("X-Github-Sso", "required; url=https://github.com/orgs/"+organization+"/sso?authorization_request=AABPPMVA")
	return r
}

// PrimaryLimit is the hourly limit, used up; status is 403 or 429. GitHub dates its answers by its own clock.
func PrimaryLimit(status int, now time.Time, reset time.Duration) *Response {
	r := Refusal(status, "API rate limit exceeded for installation ID 1. If you reach out to GitHub Support for help, please include the request ID.")
	r.Header.Set("Date", now.UTC().Format(http.TimeFormat))
	(&limit{max: 5000, used: 5000, reset: now.Add(reset)}).describe(r.Header)
	return r
}

// SecondaryLimit is the limit of haste; status is 403 or 429. after is what Retry-After says; 0 leaves it out, as GitHub does at times.
func SecondaryLimit(status int, after time.Duration) *Response {
	r := Refusal(status, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
	if after > 0 {
		r.Header.Set("Retry-After", strconv.Itoa(int(after.Seconds())))
	}
	return r
}

// Fail makes the next n calls of a route go wrong, before their work or after it. It comes before Config.Fault. Route is as in Call.
func (s *Server) Fail(route string, n int, after bool, r *Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, &failure{route, n, after, r})
}

// Mend forgets what Fail asked for and has not happened yet.
func (s *Server) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = nil
}

// failure is a fault that was asked for by Fail.
type failure struct {
	route  string
	left   int
	after  bool
	answer *Response
}

// failing takes a failure that is meant for c off the list. The caller holds mu.
func (s *Server) failing(c Call) *Response {
	for i, f := range s.failures {
		if f.route == c.Route && f.after == c.After {
			if f.left--; f.left == 0 {
				s.failures = append(s.failures[:i:i], s.failures[i+1:]...)
			}
			return f.answer
		}
	}
	return nil
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

// faulted asks the fault hook about c and, if it answers, writes that answer. It reports whether it did. whole is the real answer, after the work.
func (s *Server) faulted(w http.ResponseWriter, c Call, whole *buffer) bool {
	s.mu.Lock()
	answer, fault := s.failing(c), s.fault
	s.mu.Unlock()
	if answer == nil && fault != nil {
		answer = fault(c)
	}
	switch {
	case answer == nil:
		return false
	case answer.Drop:
		panic(http.ErrAbortHandler)
	case answer.Stall:
		select {
		case <-c.Request.Context().Done():
		case <-s.closing:
		}
		panic(http.ErrAbortHandler)
	case answer.Cut && whole != nil:
		maps.Copy(w.Header(), whole.header)
		w.Header().Set("Content-Length", strconv.Itoa(whole.body.Len()))
		w.WriteHeader(whole.status)
		_, _ = w.Write(whole.body.Bytes()[:whole.body.Len()/2]) // it is cut in any case
		_ = http.NewResponseController(w).Flush()
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
