package modelport

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
)

// pass copies an answer line by line, each at once, and reports whether a complete tool call was among them. A line that broke off is not
// passed on.
func pass(w http.ResponseWriter, r *bufio.Reader) (called bool, err error) {
	flush := http.NewResponseController(w)
	var calls scanner
	for {
		line, err := r.ReadBytes('\n')
		if err == nil || err == io.EOF {
			if _, err := w.Write(line); err != nil {
				return false, err // the agent is gone; there is nothing to end well
			}
			// What is there of the next line may not be whole for a while.
			if next, _ := r.Peek(r.Buffered()); bytes.IndexByte(next, '\n') < 0 {
				if err := flush.Flush(); err != nil {
					return false, err
				}
			}
			calls.line(line)
		}
		if err == io.EOF {
			return calls.complete, nil
		}
		if err != nil {
			return calls.complete, err
		}
	}
}

// scanner notices complete tool calls in a stream of any of the three formats.
type scanner struct {
	complete bool
	open     map[int]bool // Anthropic: content blocks that are tool calls and have begun
}

func (s *scanner) line(line []byte) {
	data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data:"))
	if !ok || s.complete || !bytes.Contains(data, []byte(`"type"`)) && !bytes.Contains(data, []byte(`"finish_reason"`)) {
		return
	}
	var e struct {
		Type    string                `json:"type"`
		Index   int                   `json:"index"`
		Block   struct{ Type string } `json:"content_block"`
		Item    struct{ Type string } `json:"item"`
		Choices []struct {
			FinishReason string `json:"finish_reason"`
		} `json:"choices"`
	}
	if json.Unmarshal(data, &e) != nil {
		return
	}
	switch e.Type {
	case "content_block_start":
		if e.Block.Type == "tool_use" {
			if s.open == nil {
				s.open = map[int]bool{}
			}
			s.open[e.Index] = true
		}
	case "content_block_stop":
		s.complete = s.open[e.Index]
	case "response.output_item.done":
		s.complete = e.Item.Type == "function_call" || e.Item.Type == "custom_tool_call"
	}
	for _, c := range e.Choices { // chat completions tell the end of all calls at once
		s.complete = s.complete || c.FinishReason == "tool_calls"
	}
}
