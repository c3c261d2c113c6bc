package modeltest

// OpenAI's Chat Completions format: https://platform.openai.com/docs/api-reference/chat-streaming. A stream always ends with its usage, as if
// stream_options.include_usage had been asked for.

func (a answer) chatUsage() object {
	in := a.usage.Input + a.usage.CacheRead + a.usage.CacheWrite
	return object{"prompt_tokens": in, "completion_tokens": a.usage.Output, "total_tokens": in + a.usage.Output,
		"prompt_tokens_details":     object{"cached_tokens": a.usage.CacheRead, "cache_write_tokens": a.usage.CacheWrite},
		"completion_tokens_details": object{"reasoning_tokens": 0}}
}

func (a answer) finishReason() string {
	switch a.finish {
	case Declined:
		return "content_filter"
	case TooLong:
		return "length"
	case Done:
	}
	if len(a.step.Tools) > 0 {
		return "tool_calls"
	}
	return "stop"
}

func (a answer) chunk(choices ...any) object {
	if choices == nil {
		choices = []any{}
	}
	return object{"id": "chatcmpl-" + a.id, "object": "chat.completion.chunk", "created": created, "model": a.model, "choices": choices}
}

func chatEvents(a answer) []event {
	var events []event
	add := func(delta object, finish any, gates ...Gate) {
		events = append(events, event{data: a.chunk(object{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": nil}), gates: gates})
	}
	call := func(i int, o object, gates ...Gate) {
		o["index"] = i
		add(object{"tool_calls": []any{o}}, nil, gates...)
	}
	add(object{"role": "assistant", "content": ""}, nil)
	pieces, held := a.step.pieces()
	for _, c := range pieces {
		add(object{"content": c.text}, nil, c.gates...)
	}
	for i, t := range a.step.Tools {
		held = append(held, a.step.gates(AtTool, i)...)
		call(i, object{"id": "call_" + a.call(i), "type": "function", "function": object{"name": t.Name, "arguments": ""}}, held...)
		held = nil
		for _, c := range split(t.input()) {
			call(i, object{"function": object{"arguments": c}})
		}
		events[len(events)-1].calls = true
	}
	held = append(held, a.step.gates(AtTool, len(a.step.Tools))...)
	add(object{}, a.finishReason(), held...)
	last := a.chunk()
	last["usage"] = a.chatUsage()
	return append(events, event{data: last}, event{data: "[DONE]"})
}

var chatBroken = event{data: object{"error": object{"message": "The server had an error while processing your request.", "type": "server_error", "param": nil, "code": nil}}}

func chatWhole(a answer) any {
	message := object{"role": "assistant", "content": a.step.Text, "refusal": nil}
	var calls []any
	for i, t := range a.step.Tools {
		calls = append(calls, object{"id": "call_" + a.call(i), "type": "function", "function": object{"name": t.Name, "arguments": t.input()}})
	}
	if calls != nil {
		message["tool_calls"] = calls
	}
	whole := a.chunk(object{"index": 0, "message": message, "finish_reason": a.finishReason(), "logprobs": nil})
	whole["object"], whole["usage"] = "chat.completion", a.chatUsage()
	return whole
}
