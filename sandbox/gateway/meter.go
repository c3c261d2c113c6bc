package gateway

import (
	"bytes"
	"encoding/json"
	"slices"

	"openinspect/session/model"
)

// maxMeterLine is the longest line that is read for its usage: OpenAI's response.completed carries the whole answer in one.
const maxMeterLine = 8 << 20

// bytesPerToken is how much text a token is taken for when an answer broke off before it told. platform.openai.com says about four
// characters of English.
const bytesPerToken = 4

// An image, or another file in base64, is taken for so many bytes of text whatever its size: docs.anthropic.com, "Vision", gives about 1,600
// tokens for a large one. A string is taken for such a file if it is longer than any word, and stands where files stand: an agent may write words
// that long.
const (
	imageWeight = 1600 * bytesPerToken
	longestWord = 4 << 10
)

// fileFields are the fields of a request in which providers take files, or their own sealed thoughts.
var fileFields = []string{"data", "url", "image_url", "file_data", "signature", "encrypted_content"}

// weight is how many bytes of text a request, without spaces between its tokens, is taken for: its length, but for the files in it.
func weight(body []byte) int {
	n := len(body)
	for at := 0; ; {
		quote := bytes.IndexByte(body[at:], '"')
		if quote < 0 {
			return n
		}
		begin := at + quote + 1
		end := begin
		for end < len(body) && body[end] > ' ' && body[end] != '"' && body[end] != '\\' {
			end++
		}
		if end-begin > longestWord && inFileField(body[:begin]) {
			n -= end - begin - min(end-begin, imageWeight)
		}
		at = min(end+1, len(body))
		if end < len(body) && body[end] != '"' {
			at = end
		}
	}
}

// inFileField reports whether what ends with a string's opening quote is the name of such a field. Inside of a string it cannot be: quotes are escaped.
func inFileField(before []byte) bool {
	name, ok := bytes.CutSuffix(before, []byte(`":"`))
	return ok && slices.ContainsFunc(fileFields, func(f string) bool {
		rest, ok := bytes.CutSuffix(name, []byte(f))
		return ok && bytes.HasSuffix(rest, []byte{'"'})
	})
}

// meter reads the tokens out of an answer that passes, in all three wire formats. It keeps one line at most.
type meter struct {
	stream bool // server-sent events; else one JSON object
	line   []byte
	long   bool // the line is longer than is kept
	seen   model.Usage
	text   int   // bytes of text, thoughts and tool input so far; of one object all its bytes
	whole  bool  // the final usage was told
	hourly int64 // of seen.CacheWrite, what is kept for an hour
}

func (m *meter) take(p []byte) {
	if !m.stream {
		m.text += len(p)
	}
	for len(p) > 0 {
		head, tail, ended := bytes.Cut(p, []byte("\n"))
		if len(m.line)+len(head) <= maxMeterLine {
			m.line = append(m.line, head...)
		} else {
			m.long = true
		}
		if ended && m.stream {
			m.read()
		}
		p = tail
	}
}

// reported is the usage object of all three formats.
type reported struct {
	Input      int64 `json:"input_tokens"`
	Output     int64 `json:"output_tokens"`
	CacheRead  int64 `json:"cache_read_input_tokens"`     // Anthropic: not part of the input
	CacheWrite int64 `json:"cache_creation_input_tokens"` // Anthropic: likewise
	Creation   struct {
		Hourly int64 `json:"ephemeral_1h_input_tokens"`
	} `json:"cache_creation"` // Anthropic: how CacheWrite is divided
	Prompt      int64      `json:"prompt_tokens"` // chat completions
	Completion  int64      `json:"completion_tokens"`
	InputParts  inputParts `json:"input_tokens_details"`
	PromptParts inputParts `json:"prompt_tokens_details"`
}

// inputParts are the parts of OpenAI's input that have prices of their own.
type inputParts struct {
	Cached  int64 `json:"cached_tokens"`
	Written int64 `json:"cache_write_tokens"`
}

// part is as much of an event, or of a whole answer, as is read.
type part struct {
	Type    string    `json:"type"`
	Usage   *reported `json:"usage"`
	Message struct {
		Usage *reported `json:"usage"`
	} `json:"message"` // Anthropic's message_start
	Response struct {
		Usage *reported `json:"usage"`
	} `json:"response"` // OpenAI's response.completed, .incomplete and .failed
}

// read takes one line.
func (m *meter) read() {
	line := bytes.TrimSpace(m.line)
	defer func() { m.line, m.long = m.line[:0], false }()
	if m.stream {
		var ok bool
		if line, ok = bytes.CutPrefix(line, []byte("data:")); !ok {
			return
		}
	}
	if m.long {
		return
	}
	var p part
	if bytes.Contains(line, []byte(`"usage"`)) && json.Unmarshal(line, &p) != nil {
		return
	}
	if p.Message.Usage == nil && p.Usage == nil && p.Response.Usage == nil {
		m.text += deltaBytes(line) // OpenAI writes "usage":null until it knows
		return
	}
	for _, r := range []*reported{p.Message.Usage, p.Usage, p.Response.Usage} {
		if r == nil {
			continue
		}
		cached, written := r.InputParts.Cached+r.PromptParts.Cached, r.InputParts.Written+r.PromptParts.Written
		m.seen.Input = max(m.seen.Input, r.Input+r.Prompt-cached-written)
		m.seen.CacheRead = max(m.seen.CacheRead, r.CacheRead+cached)
		m.seen.CacheWrite = max(m.seen.CacheWrite, r.CacheWrite+written)
		m.hourly = max(m.hourly, min(r.Creation.Hourly, r.CacheWrite))
		m.seen.Output = max(m.seen.Output, r.Output+r.Completion) // Anthropic counts from the start each time: the last is the sum
	}
	// Anthropic's message_start has the input alone; everything else that carries a usage is the last word.
	m.whole = m.whole || p.Type != "message_start"
}

// deltaBytes is how many bytes of text, thoughts or tool input a streamed line adds.
func deltaBytes(line []byte) int {
	var d struct {
		Delta   json.RawMessage `json:"delta"`
		Choices []struct {
			Delta json.RawMessage `json:"delta"`
		} `json:"choices"` // chat completions
	}
	if !bytes.Contains(line, []byte(`"delta"`)) || json.Unmarshal(line, &d) != nil {
		return 0
	}
	n := textBytes(d.Delta)
	for _, c := range d.Choices {
		n += textBytes(c.Delta)
	}
	return n
}

// textBytes is the length of a delta: a string, or an object of which one field is the text.
func textBytes(raw json.RawMessage) int {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return len(text)
	}
	var object map[string]json.RawMessage
	_ = json.Unmarshal(raw, &object) // anything else adds nothing
	n := 0
	for name, v := range object {
		if name != "type" && name != "role" && json.Unmarshal(v, &text) == nil {
			n += len(text)
		}
	}
	return n
}

// usage returns what was counted, and whether the provider told all of it; otherwise what it did not tell is an estimate: output from what came
// of it, input from the weight of the request.
func (m *meter) usage(weight int) (model.Usage, bool) {
	if len(m.line) > 0 {
		m.read()
	}
	u := m.seen
	if !m.whole {
		u.Output = max(u.Output, int64((m.text+bytesPerToken-1)/bytesPerToken))
		if u.Input+u.CacheRead+u.CacheWrite == 0 {
			u.Input = int64(weight / bytesPerToken)
		}
	}
	return u, m.whole
}
