package runner

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// toolNames are the tools that the bot serves: POST /tools/{name}.
var toolNames = []string{toolPropose, toolUpdate, toolAsk}

const (
	toolPropose = "propose_pull_request"
	toolUpdate  = "post_update"
	toolAsk     = "ask"
	toolUpload  = "upload_image" // the runner reads the file, and the bot takes it as upload
)

const proposeHelp = `Propose the title and description of a pull request for the work you have committed in this session. ` +
	`Call it near the end of a turn that changed files, after you committed; call it again when the work has changed since. ` +
	`It does not open anything: when your turn ends, people in the Slack thread see your commits with these words and one of them decides. ` +
	`Never run git push and never open a pull request yourself; both are refused here.`

const updateHelp = `Tell the people in the Slack thread in one short sentence what you are doing or what you found, while you work. ` +
	`It replaces the previous update in the status message. Use it for news that matters in long work, a few times at most; your final answer is posted by itself.`

const askHelp = `Ask the people in the Slack thread a question that you cannot answer from the code and that decides how to go on. ` +
	`It returns at once, without the answer: end your turn right after it. The answer comes as your next prompt. ` +
	`Ask one question at a time, and give options when there are only a few sensible answers.`

const uploadHelp = `Show the people in the Slack thread an image: a screenshot, a chart, a diagram. Give the path of a PNG, JPEG, GIF or WebP file in ` +
	`the checkout or in the directory for temporary files, of at most 10 MiB, and say in one sentence what there is to see. ` +
	`It is posted below your answer when your turn ends. Use it when a picture says more than words, five times in a turn at most.`

// The tools' arguments: the jsonschema tags are what the model reads.
type (
	proposeArguments struct {
		Title string `json:"title" jsonschema:"one line in the imperative, at most 72 characters, such as: Retry the payment call once"`
		Body  string `json:"body" jsonschema:"Markdown: what changed and why; no greeting"`
		Tests string `json:"tests,omitempty" jsonschema:"what you ran in this turn to see that it works, and what came of it: the commands, and the lines of their output that show it. It is shown as reported by you. Leave it out if you ran nothing"`
		Draft bool   `json:"draft,omitempty" jsonschema:"true if somebody asked for a draft pull request, or if the work is not ready for review"`
	}
	updateArguments struct {
		Text string `json:"text" jsonschema:"one sentence, plain text"`
	}
	uploadArguments struct {
		Path string `json:"path" jsonschema:"relative to the checkout, or absolute"`
		Alt  string `json:"alt" jsonschema:"what there is to see, in one sentence; also for people who cannot see it"`
	}
	askArguments struct {
		Question string   `json:"question" jsonschema:"the question, with what one has to know to answer it"`
		Options  []string `json:"options,omitempty" jsonschema:"up to five short answers to choose from, optional"`
	}
)

// MCP is the command "runner mcp": a server of the Model Context Protocol on in and out, with the session's tools. It serves until in
// ends or ctx does. No call takes longer than 50 s.
func MCP(ctx context.Context, socket string, in io.ReadCloser, out io.WriteCloser) error {
	server := mcp.NewServer(&mcp.Implementation{Name: "openinspect", Version: strconv.Itoa(link.Version)}, nil)
	addTool(server, socket, toolPropose, proposeHelp, "Noted.", func(a proposeArguments) any { return link.ProposeRequest(a) })
	addTool(server, socket, toolUpdate, updateHelp, "Posted.", func(a updateArguments) any { return link.UpdateRequest(a) })
	addTool(server, socket, toolAsk, askHelp, "Asked. End your turn now; the answer comes as your next prompt.", func(a askArguments) any { return link.AskRequest(a) })
	addTool(server, socket, toolUpload, uploadHelp, "It is posted below your answer when your turn ends.", func(a uploadArguments) any { return a })
	return server.Run(ctx, &mcp.IOTransport{Reader: in, Writer: out})
}

// addTool makes a tool that passes its arguments to the bot. A refusal becomes the tool's error, in the bot's words.
func addTool[In any](server *mcp.Server, socket, name, help, otherwise string, request func(In) any) {
	mcp.AddTool(server, &mcp.Tool{Name: name, Description: help}, func(ctx context.Context, _ *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
		ctx, cancel := context.WithTimeout(ctx, toolTimeout)
		defer cancel()
		answer := link.ToolAnswer{}
		if err := callInside(ctx, socket, "/tools/"+name, request(in), &answer); err != nil {
			return nil, nil, toolError(err)
		}
		if answer.Text == "" {
			answer.Text = otherwise
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: answer.Text}}}, nil, nil
	})
}

// toolError is an error in the words that are meant for its reader, the model.
func toolError(err error) error { return errors.New(session.Sentence(err)) }
