package modeltest

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
)

const greeting = `
script greeting
match fix the greeting
think I should look at it before I touch anything.
say I will read the file first. Ünïcödé stays whole.
tool bash {"command":"cat hello.txt"}
tool edit {"filePath":"hello.txt","oldString":"helo","newString":"hello"}
usage input=300 output=70 cache_read=9000 cache_write=500
step
say Done.
`

const wantText = "I will read the file first. Ünïcödé stays whole."

func messages(prompt, stream string) string {
	return `{"model":"claude-sonnet-5","max_tokens":1000,"stream":` + stream + `,"messages":[` + prompt + `],"tools":[{"name":"bash"},{"name":"edit"}]}`
}

func responses(input, stream string) string {
	return `{"model":"gpt-6-sol","stream":` + stream + `,"input":[` + input + `],"tools":[{"type":"function","name":"bash"},{"type":"function","name":"edit"}]}`
}

func chat(input, stream string) string {
	return `{"model":"gpt-6-sol","stream":` + stream + `,"messages":[` + input +
		`],"tools":[{"type":"function","function":{"name":"bash"}},{"type":"function","function":{"name":"edit"}}]}`
}

const ask = `{"role":"user","content":"please fix the greeting"}`

func TestMessagesStream(t *testing.T) {
	p := start(t, greeting, Config{})
	resp := post(t, t.Context(), p, "/v1/messages", messages(ask, "true"))
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || !strings.HasPrefix(ct, "text/event-stream") {
		t.Fatalf("%s %s", resp.Status, ct)
	}
	all := stream(resp.Body).all(t)
	block := " content_block_start content_block_delta content_block_stop"
	if got, want := kinds(t, all), "message_start ping"+strings.Repeat(block, 4)+" message_delta message_stop"; got != want {
		t.Errorf("events are\n%s, want\n%s", got, want)
	}
	var text, thinking string
	inputs := map[int64]string{}
	deltas := 0
	for _, e := range all {
		d := e.get(t, "delta")
		switch dig(t, d, "type") {
		case "text_delta":
			text += dig(t, d, "text").(string)
			deltas++
		case "thinking_delta":
			thinking += dig(t, d, "thinking").(string)
		case "input_json_delta":
			inputs[number(e.get(t, "index"))] += dig(t, d, "partial_json").(string)
		}
	}
	if text != wantText || deltas < 3 || thinking != "I should look at it before I touch anything." {
		t.Errorf("text in %d pieces: %q; thinking %q", deltas, text, thinking)
	}
	if inputs[2] != `{"command":"cat hello.txt"}` || !json.Valid([]byte(inputs[3])) {
		t.Errorf("inputs %v", inputs)
	}
	first, last := all[0], all[len(all)-2]
	u := first.get(t, "message", "usage")
	if number(dig(t, u, "input_tokens")) != 300 || number(dig(t, u, "cache_read_input_tokens")) != 9000 || number(dig(t, u, "cache_creation_input_tokens")) != 500 ||
		number(last.get(t, "usage", "output_tokens")) != 70 || last.get(t, "delta", "stop_reason") != "tool_use" {
		t.Errorf("usage %v, end %s", u, last.Data)
	}
}

func TestResponsesStream(t *testing.T) {
	p := start(t, greeting, Config{})
	all := stream(post(t, t.Context(), p, "/v1/responses", responses(ask, "true")).Body).all(t)
	call := "response.output_item.added response.function_call_arguments.delta response.function_call_arguments.done response.output_item.done "
	want := "response.created response.in_progress " +
		"response.output_item.added response.reasoning_summary_part.added response.reasoning_summary_text.delta response.reasoning_summary_text.done response.reasoning_summary_part.done response.output_item.done " +
		"response.output_item.added response.content_part.added response.output_text.delta response.output_text.done response.content_part.done response.output_item.done " +
		call + call + "response.completed"
	if got := kinds(t, all); got != want {
		t.Errorf("events are\n%s, want\n%s", got, want)
	}
	text, arguments := "", map[any]string{}
	for i, e := range all {
		if number(e.get(t, "sequence_number")) != int64(i) {
			t.Errorf("event %d: %s", i, e.Data)
		}
		switch d, _ := e.get(t, "delta").(string); e.Name {
		case "response.output_text.delta":
			text += d
		case "response.function_call_arguments.delta":
			arguments[e.get(t, "item_id")] += d
		}
	}
	end := all[len(all)-1].get(t, "response")
	if text != wantText || dig(t, end, "output", 1, "content", 0, "text") != wantText {
		t.Errorf("text %q", text)
	}
	for i := 2; i < 4; i++ {
		if a := dig(t, end, "output", i, "arguments"); a == nil || a != arguments[dig(t, end, "output", i, "id")] {
			t.Errorf("call %d ends as %v, its pieces are %v", i, a, arguments)
		}
	}
	u := dig(t, end, "usage")
	if number(dig(t, u, "input_tokens")) != 9800 || number(dig(t, u, "input_tokens_details", "cached_tokens")) != 9000 ||
		number(dig(t, u, "output_tokens")) != 70 || number(dig(t, u, "total_tokens")) != 9870 {
		t.Errorf("usage %v", u)
	}
}

func TestChatStream(t *testing.T) {
	p := start(t, greeting, Config{})
	all := stream(post(t, t.Context(), p, "/v1/chat/completions", chat(ask, "true")).Body).all(t)
	if last := all[len(all)-1]; last != (sent{Data: "[DONE]"}) {
		t.Fatalf("the stream ends with %+v", last)
	}
	text, arguments, names := "", map[int64]string{}, map[int64]any{}
	var finish any
	for _, e := range all[:len(all)-1] {
		d := e.get(t, "choices", 0, "delta")
		if s, ok := dig(t, d, "content").(string); ok {
			text += s
		}
		if c := dig(t, d, "tool_calls", 0); c != nil {
			i := number(dig(t, c, "index"))
			if n := dig(t, c, "function", "name"); n != nil {
				names[i] = n
			}
			arguments[i] += dig(t, c, "function", "arguments").(string)
		}
		if f := e.get(t, "choices", 0, "finish_reason"); f != nil {
			finish = f
		}
	}
	if text != wantText || finish != "tool_calls" || names[0] != "bash" || names[1] != "edit" || arguments[0] != `{"command":"cat hello.txt"}` {
		t.Errorf("%q, %v, %v, %v", text, finish, names, arguments)
	}
	u := all[len(all)-2].get(t, "usage")
	if number(dig(t, u, "prompt_tokens")) != 9800 || number(dig(t, u, "prompt_tokens_details", "cached_tokens")) != 9000 || number(dig(t, u, "completion_tokens")) != 70 {
		t.Errorf("usage %v", u)
	}
}

func TestAnswersThatAreNotStreams(t *testing.T) {
	p := start(t, greeting, Config{})
	for _, test := range []struct {
		path, body string
		text       []any
		usage      string
	}{
		{"/v1/messages", messages(ask, "false"), []any{"content", 1, "text"}, "input_tokens"},
		{"/v1/responses", responses(ask, "false"), []any{"output", 1, "content", 0, "text"}, "input_tokens"},
		{"/v1/chat/completions", chat(ask, "false"), []any{"choices", 0, "message", "content"}, "prompt_tokens"},
	} {
		resp := post(t, t.Context(), p, test.path, test.body)
		b, err := io.ReadAll(resp.Body)
		var v any
		if err != nil || json.Unmarshal(b, &v) != nil || dig(t, v, test.text...) != wantText || number(dig(t, v, "usage", test.usage)) < 300 {
			t.Errorf("%s: %v %s", test.path, err, b)
		}
	}
}

// The step that is due is counted from the conversation alone.
func TestStepsFollowTheConversation(t *testing.T) {
	p := start(t, greeting, Config{})
	results := `{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"x"}]}`
	turn := `{"role":"assistant","content":[{"type":"text","text":"hm"},{"type":"tool_use","id":"toolu_1","name":"bash","input":{}}]}`
	both := `{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"x"},{"type":"text","text":"fix the greeting again"}]}`
	item := `{"type":"reasoning","id":"rs_1","summary":[]},{"role":"assistant","content":[{"type":"output_text","text":"hm"}]},` +
		`{"type":"function_call","call_id":"c","name":"bash","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"x"}`
	list := `{"role":"user","content":[{"type":"input_text","text":"fix the greeting"}]}`
	tests := []struct {
		path, body string
		step       int
	}{
		{"/v1/messages", messages(ask, "false"), 0},
		{"/v1/messages", messages(ask+","+turn+","+results, "false"), 1},
		{"/v1/messages", messages(ask+","+turn+","+both, "false"), 0},
		{"/v1/responses", responses(list, "false"), 0},
		{"/v1/responses", responses(list+","+item, "false"), 1},
		{"/v1/responses", responses(list+","+item+","+item, "false"), 2},
		{"/v1/responses", responses(list+","+item+","+list, "false"), 0},
		{"/v1/chat/completions", chat(ask+`,{"role":"assistant","content":"hm"},{"role":"tool","content":"x"}`, "false"), 1},
	}
	for i, test := range tests {
		post(t, t.Context(), p, test.path, test.body)
		if r := p.Requests()[i]; r.Step != test.step || r.Script != "greeting" {
			t.Errorf("%s with %s: step %d of %q, want %d", test.path, test.body, r.Step, r.Script, test.step)
		}
	}
}
