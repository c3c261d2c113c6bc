package gateway

import (
	"strings"
	"testing"

	"openinspect/session/model"
)

// The three formats as their providers write them, less what is not read (platform.openai.com, docs.anthropic.com): cached tokens are a part of
// OpenAI's input and not of Anthropic's, reasoning is a part of the output with both, and until OpenAI knows the usage it is null.
func TestMeter(t *testing.T) {
	for name, c := range map[string]struct {
		json  bool // one object instead of a stream
		lines []string
		want  model.Usage
		broke bool // then want is what the last line breaks off to
		hour  int64
	}{
		"messages": {lines: []string{
			`{"type":"message_start","message":{"id":"m","usage":{"input_tokens":10,"cache_creation_input_tokens":300,"cache_read_input_tokens":2000,"cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":100},"output_tokens":1}}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}`,
			`{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":50}}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":123,"output_tokens_details":{"thinking_tokens":100}}}`,
			`{"type":"message_stop"}`,
		}, want: model.Usage{Input: 10, Output: 123, CacheRead: 2000, CacheWrite: 300}, hour: 100},
		"messages, broken off": {lines: []string{
			`{"type":"message_start","message":{"usage":{"input_tokens":10,"cache_read_input_tokens":2000,"output_tokens":1}}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"eight by"}}`,
			`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"usage\":1}"}}`,
		}, want: model.Usage{Input: 10, Output: 5, CacheRead: 2000}, broke: true},
		"messages, whole": {json: true, lines: []string{
			`{"type":"message","content":[{"type":"text","text":"x"}],"usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":2,"output_tokens":5}}`,
		}, want: model.Usage{Input: 10, Output: 5, CacheRead: 2, CacheWrite: 3}},
		"messages, whole, broken off": {json: true, lines: []string{`{"type":"message","content":[{"type":"text","text":"eight by`},
			want: model.Usage{Input: 100, Output: 15}, broke: true},
		"responses": {lines: []string{
			`{"type":"response.created","response":{"id":"r","usage":null}}`,
			`{"type":"response.output_text.delta","delta":"hello"}`,
			`{"type":"response.completed","response":{"usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":600},"output_tokens":200,"output_tokens_details":{"reasoning_tokens":150},"total_tokens":1200}}}`,
		}, want: model.Usage{Input: 400, Output: 200, CacheRead: 600}},
		"responses, cut at the longest": {lines: []string{
			`{"type":"response.incomplete","response":{"incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":7,"output_tokens":9}}}`,
		}, want: model.Usage{Input: 7, Output: 9}},
		"responses, broken off": {lines: []string{
			`{"type":"response.created","response":{"id":"r","usage":null}}`,
			`{"type":"response.in_progress","response":{"id":"r","usage":null}}`,
			`{"type":"response.output_text.delta","delta":"eight by"}`,
		}, want: model.Usage{Input: 100, Output: 2}, broke: true},
		"chat": {lines: []string{
			`{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}`,
			`{"choices":[{"index":0,"delta":{"content":"hello"}}],"usage":null}`,
			`{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":200,"prompt_tokens_details":{"cached_tokens":600},"completion_tokens_details":{"reasoning_tokens":150}}}`,
			`[DONE]`,
		}, want: model.Usage{Input: 400, Output: 200, CacheRead: 600}},
		"chat, broken off": {lines: []string{
			`{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}`,
			`{"choices":[{"index":0,"delta":{"content":"eight by"}}],"usage":null}`,
		}, want: model.Usage{Input: 100, Output: 2}, broke: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := &meter{stream: !c.json}
			text := "data: " + strings.Join(c.lines, "\n\ndata: ") + "\n\n"
			if c.json {
				text = c.lines[0]
			}
			for len(text) > 0 { // as a network may cut it
				n := min(len(text), 7)
				m.take([]byte(text[:n]))
				text = text[n:]
			}
			got, whole := m.usage(400)
			if got != c.want || whole == c.broke || m.hourly != c.hour {
				t.Errorf("%+v, whole %v, %d for an hour", got, whole, m.hourly)
			}
		})
	}
}

// An answer that broke off before it told anything still costs its input.
func TestEstimate(t *testing.T) {
	m := &meter{stream: true}
	m.take([]byte("data: {\"type\":\"response.output_text.delta\",\"delta\":\"twelve bytes\"}\n"))
	if u, whole := m.usage(4000); whole || u.Output != 3 || u.Input != 1000 {
		t.Errorf("%+v %v", u, whole)
	}
}

// A file in a request is not taken for the text that its base64 is as long as.
func TestWeight(t *testing.T) {
	file := strings.Repeat("iVBORw0K", 128<<10)
	frame := `{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"data":""}},{"type":"text","text":"what is \"it\"?"}]}]}`
	text := strings.Repeat("words of a long answer, with spaces. ", 10_000)
	escaped := strings.Replace(frame, `\"it\"`, `\"data\":\"`+file, 1)
	for body, want := range map[string]int{
		frame: len(frame), "": 0, `"`: 1,
		strings.Replace(frame, `"data":""`, `"data":"`+file+`"`, 1):                       len(frame) + imageWeight,
		strings.Replace(frame, `"data":""`, `"data":"data:image/png;base64,`+file+`"`, 1): len(frame) + imageWeight,
		strings.Replace(frame, "what is", file, 1):                                        len(frame) - len("what is") + len(file),
		escaped: len(escaped),
		strings.Replace(frame, "what is", text, 1): len(frame) - len("what is") + len(text),
	} {
		if got := weight([]byte(body)); got != want {
			t.Errorf("%.80s: %d, want %d", body, got, want)
		}
	}
}
