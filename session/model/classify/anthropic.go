package classify

import (
	"context"
	"errors"
	"net/http"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"openinspect/session/model"
)

// anthropicAsker asks by the Messages API. The service is made by hand: a client of the SDK's would read keys and addresses out of the
// environment.
func anthropicAsker(client *http.Client, base, key string, m model.Model) func(context.Context, question) (reply, error) {
	messages := anthropic.NewMessageService(option.WithBaseURL(base), option.WithAPIKey(key), option.WithHTTPClient(client), option.WithMaxRetries(0))
	return func(ctx context.Context, q question) (reply, error) {
		answer, err := messages.New(ctx, anthropic.MessageNewParams{
			Model:     m.Name,
			MaxTokens: maxAnswer,
			System:    []anthropic.TextBlockParam{{Text: q.system}},
			Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(q.data))},
			Tools: []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{Name: toolName, Description: anthropic.String(toolHelp),
				InputSchema: anthropic.ToolInputSchemaParam{Properties: q.schema["properties"], Required: q.schema["required"].([]string)}}}},
			ToolChoice: anthropic.ToolChoiceParamOfTool(toolName),
		})
		if refusal, ok := errors.AsType[*anthropic.Error](err); ok {
			return reply{}, answered(refusal.StatusCode)
		}
		if err != nil {
			return reply{}, err
		}
		u := answer.Usage
		r := reply{usage: model.Usage{Input: u.InputTokens, Output: u.OutputTokens, CacheRead: u.CacheReadInputTokens, CacheWrite: u.CacheCreationInputTokens}}
		if answer.StopReason != anthropic.StopReasonToolUse {
			return r, errNoAnswer
		}
		for _, block := range answer.Content {
			if block.Type == "tool_use" && block.Name == toolName {
				r.input = block.Input
				return r, nil
			}
		}
		return r, errNoAnswer
	}
}
