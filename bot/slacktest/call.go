package slacktest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// obj is a JSON object on the wire.
type obj = map[string]any

// args are a call's arguments; nested JSON stays JSON text.
type args map[string]string

func (a args) has(name string) bool { _, ok := a[name]; return ok }

// flag reads a boolean argument, which clients send as true, 1 or t.
func (a args) flag(name string) bool {
	v, err := strconv.ParseBool(a[name])
	return err == nil && v
}

// Call is one call of a Web API method.
type Call struct {
	Method string
	N      int               // 1 for the method's first call
	At     time.Time         // by the workspace's clock
	Args   map[string]string // without the token; nested JSON is JSON text
}

// Response is the answer to a call.
type Response struct {
	Status int // 0 means 200
	Header http.Header
	Body   []byte
	Cut    bool // close the connection instead of answering
	Hang   bool // never answer; the caller has to give up
}

// refusal is an error of a method, told to the caller as a code.
type refusal struct {
	code     string
	messages []string // explanations, shown as errors and response_metadata.messages
}

func (r *refusal) Error() string { return r.code }

func refuse(code string, messages ...string) error { return &refusal{code, messages} }

type method struct {
	appToken bool // wants the app-level token instead of the bot's
	work     func(*Server, args) (obj, error)
}

// methods are run with s.mu held.
var methods = map[string]method{
	"agents.sessions.rename":       {work: (*Server).agentsSessionsRename},
	"agents.sessions.setStatus":    {work: (*Server).agentsSessionsSetStatus},
	"apps.connections.open":        {work: (*Server).appsConnectionsOpen, appToken: true},
	"assistant.threads.setStatus":  {work: (*Server).assistantThreadsSetStatus},
	"auth.test":                    {work: (*Server).authTest},
	"bots.info":                    {work: (*Server).botsInfo},
	"chat.delete":                  {work: (*Server).chatDelete},
	"chat.getPermalink":            {work: (*Server).chatGetPermalink},
	"chat.postEphemeral":           {work: (*Server).chatPostEphemeral},
	"chat.postMessage":             {work: (*Server).chatPostMessage},
	"chat.update":                  {work: (*Server).chatUpdate},
	"conversations.history":        {work: (*Server).conversationsHistory},
	"conversations.info":           {work: (*Server).conversationsInfo},
	"conversations.list":           {work: (*Server).conversationsList},
	"conversations.members":        {work: (*Server).conversationsMembers},
	"conversations.open":           {work: (*Server).conversationsOpen},
	"conversations.replies":        {work: (*Server).conversationsReplies},
	"files.completeUploadExternal": {work: (*Server).filesCompleteUploadExternal},
	"files.getUploadURLExternal":   {work: (*Server).filesGetUploadURLExternal},
	"files.info":                   {work: (*Server).filesInfo},
	"reactions.add":                {work: (*Server).reactionsAdd},
	"reactions.get":                {work: (*Server).reactionsGet},
	"reactions.remove":             {work: (*Server).reactionsRemove},
	"users.info":                   {work: (*Server).usersInfo},
	"users.conversations":          {work: (*Server).usersConversations},
	"users.list":                   {work: (*Server).usersList},
	"users.lookupByEmail":          {work: (*Server).usersLookupByEmail},
	"views.open":                   {work: (*Server).viewsOpen},
	"views.publish":                {work: (*Server).viewsPublish},
	"views.update":                 {work: (*Server).viewsUpdate},
}

func (s *Server) serveMethod(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("method")
	a, parseErr := parseArgs(w, r)
	token := a["token"]
	delete(a, "token")
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token = bearer
	}

	s.answerCall(w, r, name, a, func() Response { return s.perform(name, token, a, parseErr) })
}

// answerCall counts a call, does its work between the hooks and writes the answer.
func (s *Server) answerCall(w http.ResponseWriter, r *http.Request, name string, a args, work func() Response) {
	s.mu.Lock()
	s.counts[name]++
	call := Call{Method: name, N: s.counts[name], At: s.cfg.Now(), Args: a}
	s.count(call)
	if !s.cfg.Forgetful {
		s.calls[name] = append(s.calls[name], call)
	}
	faults := s.faults
	s.touch()
	s.mu.Unlock()
	call.Args = maps.Clone(call.Args)

	answer := s.strike(call, false)
	if answer == nil && faults.Before != nil {
		answer = faults.Before(call)
	}
	if answer != nil {
		s.writeResponse(w, r, *answer)
		return
	}
	resp := work()
	if answer = s.strike(call, true); answer == nil && faults.After != nil {
		answer = faults.After(call, resp)
	}
	if answer != nil {
		resp = *answer
	}
	s.writeResponse(w, r, resp)
}

// The names under which requests that are no Web API methods are counted and
// shown to the hooks; their only argument is path.
const (
	UploadCall   = "upload_url"
	DownloadCall = "url_private"
	ResponseCall = "response_url"
)

// counted makes a handler go through answerCall.
func (s *Server) counted(name string, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.answerCall(w, r, name, args{"path": r.URL.Path}, func() Response {
			rec := &recorder{Response{Header: http.Header{}}}
			serve(rec, r)
			return rec.Response
		})
	}
}

// recorder keeps an answer instead of sending it.
type recorder struct{ Response }

func (rec *recorder) Header() http.Header    { return rec.Response.Header }
func (rec *recorder) WriteHeader(status int) { rec.Status = status }
func (rec *recorder) Write(p []byte) (int, error) {
	rec.Body = append(rec.Body, p...)
	return len(p), nil
}

// perform checks the token and does the work of one call.
func (s *Server) perform(name, token string, a args, parseErr error) Response {
	result, err := func() (obj, error) {
		m, known := methods[name]
		if !known {
			return nil, refuse("unknown_method")
		}
		if err := s.checkToken(token, m.appToken); err != nil {
			return nil, err
		}
		if parseErr != nil {
			return nil, parseErr
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return m.work(s, a)
	}()
	if err != nil {
		result = obj{"ok": false, "error": "internal_error"}
		var r *refusal
		if errors.As(err, &r) {
			result["error"] = r.code
			if len(r.messages) > 0 {
				result["errors"] = r.messages
				result["response_metadata"] = obj{"messages": r.messages}
			}
		}
	} else {
		if result == nil {
			result = obj{}
		}
		result["ok"] = true
	}
	body, err := json.Marshal(result)
	if err != nil {
		return Response{Status: http.StatusInternalServerError}
	}
	return Response{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: body}
}

func (s *Server) checkToken(token string, wantApp bool) error {
	right, wrong := s.cfg.BotToken, s.cfg.AppToken
	s.mu.Lock()
	dead := s.deadBot
	if wantApp {
		right, wrong, dead = wrong, right, s.deadApp
	}
	s.mu.Unlock()
	switch token {
	case right:
		if dead != "" {
			return refuse(dead)
		}
		return nil
	case "":
		return refuse("not_authed")
	case wrong:
		return refuse("not_allowed_token_type")
	default:
		return refuse("invalid_auth")
	}
}

// parseArgs reads a call's arguments from its query and its form or JSON body.
func parseArgs(w http.ResponseWriter, r *http.Request) (args, error) {
	a := args{}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
	if err != nil {
		return a, refuse("request_timeout")
	}
	add := func(values url.Values) {
		for k, v := range values {
			a[k] = v[len(v)-1]
		}
	}
	add(r.URL.Query())
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case len(body) == 0:
		return a, nil
	case kind == "application/json":
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(body, &fields); err != nil {
			if string(body) == "null" {
				return a, nil
			}
			return a, refuse("invalid_json")
		}
		for k, v := range fields {
			var text string
			switch {
			case string(v) == "null":
			case json.Unmarshal(v, &text) == nil:
				a[k] = text
			default:
				a[k] = string(v)
			}
		}
		return a, nil
	default:
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return a, refuse("invalid_form_data")
		}
		add(values)
		return a, nil
	}
}

func (s *Server) writeResponse(w http.ResponseWriter, r *http.Request, resp Response) {
	if resp.Hang {
		select {
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
	}
	if resp.Hang || resp.Cut {
		cut(w)
		return
	}
	w.Header().Set("Date", s.cfg.Now().UTC().Format(http.TimeFormat))
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	if resp.Status != 0 {
		w.WriteHeader(resp.Status)
	}
	_, _ = w.Write(resp.Body)
}

// cut closes the connection under a request, so that the client reads a reset.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// page cuts the part of a list that a call's limit and cursor ask for, and
// returns the cursor of the next part, or "".
func page[T any](list []T, a args, most int) ([]T, string, error) {
	start := 0
	if cursor := a["cursor"]; cursor != "" {
		raw, err := base64.StdEncoding.DecodeString(cursor)
		if err != nil {
			return nil, "", refuse("invalid_cursor")
		}
		if _, err := fmt.Sscanf(string(raw), "offset:%d", &start); err != nil || start < 0 || start > len(list) {
			return nil, "", refuse("invalid_cursor")
		}
	}
	limit := most
	if a["limit"] != "" {
		n, err := strconv.Atoi(a["limit"])
		if err != nil || n < 0 {
			return nil, "", refuse("invalid_limit")
		}
		if n > 0 {
			limit = min(n, most)
		}
	}
	end := min(start+limit, len(list))
	next := ""
	if end < len(list) {
		next = base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "offset:%d", end))
	}
	return list[start:end], next, nil
}
