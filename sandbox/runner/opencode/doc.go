// Package opencode drives OpenCode, the coding agent, through the HTTP server it brings along, and fetches it where it is missing.
//
// The server runs beside the runner in the sandbox, on loopback, behind a password of its own. Its models are ours alone: every provider it
// is offered is the runner's model port. What it tells as server-sent events becomes the events of a session's log.
package opencode
