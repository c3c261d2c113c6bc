package opencode

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"openinspect/session"
)

// event is one server-sent event, as much of it as is read.
type event struct {
	Type       string `json:"type"`
	Properties struct {
		SessionID string     `json:"sessionID"`
		MessageID string     `json:"messageID"`
		PartID    string     `json:"partID"`
		Field     string     `json:"field"`
		Delta     string     `json:"delta"`
		Info      info       `json:"info"`
		Part      part       `json:"part"`
		Status    status     `json:"status"`
		Error     *fault     `json:"error"`
		Todos     []todoItem `json:"todos"`
	} `json:"properties"`
}

// info is a message's head, or a session's.
type info struct {
	ID        string `json:"id"`
	SessionID string `json:"sessionID"`
	Role      string `json:"role"`
	Mode      string `json:"mode"`     // build, compaction, …
	ParentID  string `json:"parentID"` // of a message: the prompt's id; of a session: the session that started it
	Finish    string `json:"finish"`
	Error     *fault `json:"error"`
	Time      struct {
		Created   int64 `json:"created"` // ms
		Completed int64 `json:"completed"`
	} `json:"time"`
}

// part is a piece of a message.
type part struct {
	ID        string `json:"id"`
	SessionID string `json:"sessionID"`
	MessageID string `json:"messageID"`
	Type      string `json:"type"` // text, reasoning, tool, step-start, step-finish, patch, …
	Text      string `json:"text"`
	Synthetic bool   `json:"synthetic"`
	Tool      string `json:"tool"`
	CallID    string `json:"callID"`
	State     state  `json:"state"`
	Time      struct {
		Start int64 `json:"start"`
		End   int64 `json:"end"`
	} `json:"time"`
}

// state is how far a tool call is.
type state struct {
	Status   string          `json:"status"` // pending, running, completed, error
	Input    json.RawMessage `json:"input"`
	Output   string          `json:"output"`
	Title    string          `json:"title"`
	Error    string          `json:"error"`
	Metadata struct {
		Exit   *int   `json:"exit"`
		Diff   string `json:"diff"`
		Output string `json:"output"`
	} `json:"metadata"`
	Time struct {
		Start int64 `json:"start"`
		End   int64 `json:"end"`
	} `json:"time"`
}

// status is what a session does.
type status struct {
	Type    string  `json:"type"` // busy, idle, retry
	Attempt int     `json:"attempt"`
	Message string  `json:"message"`
	Next    float64 `json:"next"` // ms
}

type todoItem struct {
	Content string `json:"content"`
	Status  string `json:"status"`
}

// message is a whole message, as GET /session/{id}/message has it.
type message struct {
	Info  info   `json:"info"`
	Parts []part `json:"parts"`
}

// maxEvent is the longest event that is read: a tool's output is in it.
const maxEvent = 32 << 20

// subscribe opens the server's event stream. The channel is closed when the stream ends; the first event is server.connected.
func (s *server) subscribe(ctx context.Context) (<-chan event, error) {
	r, err := s.request(ctx, "GET", "/event", nil)
	if err != nil {
		return nil, session.Wrap("opencode.subscribe", err)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, &session.Error{Code: session.Unavailable, Op: "opencode.subscribe", Message: "The agent's server does not answer.", Err: err}
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, &session.Error{Code: session.Internal, Op: "opencode.subscribe", Message: "The agent's server refused a call.", Err: &statusError{resp.StatusCode, ""}}
	}
	events := make(chan event)
	go func() {
		defer close(events)
		defer resp.Body.Close()
		read(ctx, resp.Body, events)
	}()
	return events, nil
}

// read decodes a stream of events until it ends or ctx does.
func read(ctx context.Context, body io.Reader, events chan<- event) {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 64<<10), maxEvent)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue
		}
		var e event
		if err := json.Unmarshal(data, &e); err != nil {
			// A field that means something else in another kind of event, or in another tool's metadata, is left out; the rest is read.
			if _, ok := errors.AsType[*json.UnmarshalTypeError](err); !ok {
				continue
			}
		}
		select {
		case events <- e:
		case <-ctx.Done():
			return
		}
	}
}
