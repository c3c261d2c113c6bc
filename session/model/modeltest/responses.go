package modeltest

// OpenAI's Responses format: https://platform.openai.com/docs/api-reference/responses-streaming.

// created is the time all answers claim to be from, in seconds since 1970: nobody looks at it, and so answers are the same every time.
const created = 1_790_000_000

func (a answer) responsesUsage() object {
	in := a.usage.Input + a.usage.CacheRead + a.usage.CacheWrite // OpenAI counts the cached ones as input
	return object{"input_tokens": in, "output_tokens": a.usage.Output, "total_tokens": in + a.usage.Output,
		"input_tokens_details":  object{"cached_tokens": a.usage.CacheRead, "cache_write_tokens": a.usage.CacheWrite},
		"output_tokens_details": object{"reasoning_tokens": 0}}
}

func (a answer) response(status string, output []any, usage any) object {
	return object{"id": "resp_" + a.id, "object": "response", "created_at": created, "status": status, "model": a.model, "output": output,
		"usage": usage, "error": nil, "incomplete_details": nil, "parallel_tool_calls": true, "tool_choice": "auto", "store": false}
}

// reasoning, message and functionCall are the items of an output, complete.
func (a answer) reasoning() object {
	return object{"id": "rs_" + a.id, "type": "reasoning", "encrypted_content": signature,
		"summary": []any{object{"type": "summary_text", "text": a.step.Reasoning}}}
}

func (a answer) message() object {
	return object{"id": "msg_" + a.id, "type": "message", "status": "completed", "role": "assistant",
		"content": []any{object{"type": "output_text", "text": a.step.Text, "annotations": []any{}, "logprobs": []any{}}}}
}

func (a answer) functionCall(i int) object {
	t := a.step.Tools[i]
	return object{"id": "fc_" + a.call(i), "type": "function_call", "status": "completed", "call_id": "call_" + a.call(i), "name": t.Name,
		"arguments": t.input()}
}

func responsesEvents(a answer) []event {
	var events []event
	output := []any{}
	add := func(kind string, o object, gates ...Gate) {
		o["type"], o["sequence_number"] = kind, len(events)
		events = append(events, event{name: kind, data: o, gates: gates})
	}
	// at adds the place in the output, which all but the outermost events name.
	at := func(id, kind string, o object, gates ...Gate) {
		o["item_id"], o["output_index"] = id, len(output)
		add(kind, o, gates...)
	}
	done := func(item object) {
		add("response.output_item.done", object{"output_index": len(output), "item": item})
		output = append(output, item)
	}

	add("response.created", object{"response": a.response("in_progress", []any{}, nil)})
	add("response.in_progress", object{"response": a.response("in_progress", []any{}, nil)})
	if a.step.Reasoning != "" {
		id := "rs_" + a.id
		add("response.output_item.added", object{"output_index": len(output), "item": object{"id": id, "type": "reasoning", "summary": []any{}, "encrypted_content": ""}})
		at(id, "response.reasoning_summary_part.added", object{"summary_index": 0, "part": object{"type": "summary_text", "text": ""}})
		for _, c := range split(a.step.Reasoning) {
			at(id, "response.reasoning_summary_text.delta", object{"summary_index": 0, "delta": c})
		}
		at(id, "response.reasoning_summary_text.done", object{"summary_index": 0, "text": a.step.Reasoning})
		at(id, "response.reasoning_summary_part.done", object{"summary_index": 0, "part": object{"type": "summary_text", "text": a.step.Reasoning}})
		done(a.reasoning())
	}
	pieces, held := a.step.pieces()
	if len(pieces) > 0 {
		id := "msg_" + a.id
		empty := object{"type": "output_text", "text": "", "annotations": []any{}, "logprobs": []any{}}
		add("response.output_item.added", object{"output_index": len(output), "item": object{"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []any{}}})
		at(id, "response.content_part.added", object{"content_index": 0, "part": empty})
		for _, c := range pieces {
			at(id, "response.output_text.delta", object{"content_index": 0, "delta": c.text, "logprobs": []any{}}, c.gates...)
		}
		at(id, "response.output_text.done", object{"content_index": 0, "text": a.step.Text, "logprobs": []any{}})
		at(id, "response.content_part.done", object{"content_index": 0, "part": a.message()["content"].([]any)[0]})
		done(a.message())
	}
	for i, t := range a.step.Tools {
		id := "fc_" + a.call(i)
		held = append(held, a.step.gates(AtTool, i)...)
		add("response.output_item.added", object{"output_index": len(output), "item": object{"id": id, "type": "function_call", "status": "in_progress",
			"call_id": "call_" + a.call(i), "name": t.Name, "arguments": ""}}, held...)
		held = nil
		for _, c := range split(t.input()) {
			at(id, "response.function_call_arguments.delta", object{"delta": c})
		}
		at(id, "response.function_call_arguments.done", object{"arguments": t.input()})
		done(a.functionCall(i))
		events[len(events)-1].calls = true
	}
	held = append(held, a.step.gates(AtTool, len(a.step.Tools))...)
	last := a.ended(output)
	add("response."+last["status"].(string), object{"response": last}, held...)
	return events
}

var responsesBroken = event{name: "error", data: object{"type": "error", "code": "server_error", "message": "The server had an error while processing your request.", "param": nil, "sequence_number": 99}}

func responsesWhole(a answer) any {
	output := []any{}
	if a.step.Reasoning != "" {
		output = append(output, a.reasoning())
	}
	if a.step.Text != "" {
		output = append(output, a.message())
	}
	for i := range a.step.Tools {
		output = append(output, a.functionCall(i))
	}
	return a.ended(output)
}

// ended is a response at its end, for whatever reason it ends.
func (a answer) ended(output []any) object {
	last := a.response("completed", output, a.responsesUsage())
	switch a.finish {
	case Declined:
		last["status"], last["incomplete_details"] = "incomplete", object{"reason": "content_filter"}
	case TooLong:
		last["status"], last["incomplete_details"] = "incomplete", object{"reason": "max_output_tokens"}
	case Done:
	}
	return last
}
