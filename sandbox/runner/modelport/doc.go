// Package modelport is the sandbox's end of model calls: a port on loopback that the agent takes for its model provider. It passes each call
// over the link to the bot's gateway, which adds the key.
//
// A restart of the bot does not fail a turn. While the link is down the port holds the calls that were not answered yet. An answer that broke
// in the middle is cut, so that the agent asks again; but if a complete tool call has passed, the agent runs that tool already, and would run
// it twice: then the answer is ended cleanly, and the agent goes on with the tool's result.
package modelport
