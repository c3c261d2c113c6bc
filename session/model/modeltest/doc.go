// Package modeltest is a model provider on loopback that says what a script tells it to.
//
// It speaks the wire formats of Anthropic (Messages) and OpenAI (Responses and Chat Completions), streamed or not, well enough that the real
// agent, and the gateway in front of it, cannot tell: keys are checked, unknown models refused, errors have each provider's own shape, and
// every answer reports the tokens that its script says, so that costs can be asserted. Tests use it, and so does the demo.
//
// # Scripts
//
// A script is the answers to one prompt, a [Step] for each time the model is asked on the way: the first step answers the prompt, the second
// the results of the first's tool calls, and so on. Which step is due is counted from the conversation in the request, so a request that is
// sent again gets the same answer again, and nothing is kept between requests. Scripts are Go values, or text read by [Parse]:
//
//	# Fixes the greeting.
//	script greeting
//	match fix the greeting
//
//	think I should look at it first.
//	say Let me see.
//	tool bash {"command":"cat hello.txt","description":"Show the file"}
//
//	step
//	say Now I change it.
//	gate changing
//	tool edit {"filePath":"hello.txt","oldString":"helo","newString":"hello"}
//
//	step
//	say Done, it says hello now.
//	usage input=300 output=12 cache_read=9000
//
// A tool is named exactly as the agent offers it, which differs: OpenCode gives GPT models apply_patch in place of edit and write, and a tool of
// an MCP server is called <server>_<tool>. A call to a tool that was not offered is answered with an error, so that a script that cannot work
// fails at once and says why.
//
// # Holding an answer
//
// A gate holds an answer at its place until the test opens it: [Provider.Waiting] tells when it was reached, [Provider.Open] lets it go on.
// That is how a test keeps a turn in its middle without sleeping.
package modeltest
