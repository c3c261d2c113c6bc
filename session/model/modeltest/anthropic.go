package modeltest

// The Messages format: https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/docs/build-with-claude/streaming.

// object is a JSON object.
type object = map[string]any

// signature stands for the provider's signature of its reasoning, which the agent must send back and nobody else can read.
const signature = "c2NyaXB0ZWQ="

func (a answer) stopReason() string {
	switch a.finish {
	case Declined:
		return "refusal"
	case TooLong:
		return "max_tokens"
	case Done:
	}
	if len(a.step.Tools) > 0 {
		return "tool_use"
	}
	return "end_turn"
}

func (a answer) messagesUsage(output int64) object {
	return object{"input_tokens": a.usage.Input, "cache_creation_input_tokens": a.usage.CacheWrite, "cache_read_input_tokens": a.usage.CacheRead,
		"output_tokens": output}
}

func messagesEvents(a answer) []event {
	var events []event
	index := 0
	add := func(kind string, o object, gates ...Gate) {
		o["type"] = kind
		events = append(events, event{name: kind, data: o, gates: gates})
	}
	start := func(block object, gates ...Gate) {
		add("content_block_start", object{"index": index, "content_block": block}, gates...)
	}
	delta := func(kind, key, value string, gates ...Gate) {
		add("content_block_delta", object{"index": index, "delta": object{"type": kind, key: value}}, gates...)
	}
	stop := func() {
		add("content_block_stop", object{"index": index})
		index++
	}

	add("message_start", object{"message": object{"id": "msg_" + a.id, "type": "message", "role": "assistant", "model": a.model, "content": []any{},
		"stop_reason": nil, "stop_sequence": nil, "usage": a.messagesUsage(1)}})
	add("ping", object{})
	if a.step.Reasoning != "" {
		start(object{"type": "thinking", "thinking": "", "signature": ""})
		for _, c := range split(a.step.Reasoning) {
			delta("thinking_delta", "thinking", c)
		}
		delta("signature_delta", "signature", signature)
		stop()
	}
	pieces, held := a.step.pieces()
	if len(pieces) > 0 {
		start(object{"type": "text", "text": ""})
		for _, c := range pieces {
			delta("text_delta", "text", c.text, c.gates...)
		}
		stop()
	}
	for i, t := range a.step.Tools {
		held = append(held, a.step.gates(AtTool, i)...)
		start(object{"type": "tool_use", "id": "toolu_" + a.call(i), "name": t.Name, "input": object{}}, held...)
		held = nil
		for _, c := range split(t.input()) {
			delta("input_json_delta", "partial_json", c)
		}
		stop()
		events[len(events)-1].calls = true
	}
	held = append(held, a.step.gates(AtTool, len(a.step.Tools))...)
	add("message_delta", object{"delta": object{"stop_reason": a.stopReason(), "stop_sequence": nil}, "usage": object{"output_tokens": a.usage.Output}}, held...)
	add("message_stop", object{})
	return events
}

var messagesBroken = event{name: "error", data: object{"type": "error", "error": object{"type": "overloaded_error", "message": "Overloaded"}}}

func messagesWhole(a answer) any {
	content := []any{}
	if a.step.Reasoning != "" {
		content = append(content, object{"type": "thinking", "thinking": a.step.Reasoning, "signature": signature})
	}
	if a.step.Text != "" {
		content = append(content, object{"type": "text", "text": a.step.Text})
	}
	for i, t := range a.step.Tools {
		content = append(content, object{"type": "tool_use", "id": "toolu_" + a.call(i), "name": t.Name, "input": t.Input})
	}
	return object{"id": "msg_" + a.id, "type": "message", "role": "assistant", "model": a.model, "content": content,
		"stop_reason": a.stopReason(), "stop_sequence": nil, "usage": a.messagesUsage(a.usage.Output)}
}
