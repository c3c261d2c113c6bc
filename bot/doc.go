// Package bot is the product's side of Slack, and the only package that knows Slack's API.
//
// # In
//
// A connection (socket.go) is kept to Slack whatever happens to it. What comes on it is looked at in its raw form (envelope.go): if it
// concerns us it is stored in the inbox; then it is acknowledged, and handed to a lane: one per thread, so that a thread's events are handled
// in order (inbox.go). A lane turns an event into one input
// for the session of its thread, or into an answer for the person who sent it, and marks it handled only when that outcome is
// stored. Everything is named after the event it came from, so that handling it twice after a crash changes nothing.
//
//	mention.go    messages: what is addressed to us, and the prompt in it
//	edit.go       what people do to messages that are there
//	control.go    !status, !retry and their like; what a stop is about
//	standing.go   how things stand, for !status
//	why.go        what became of a message
//	stop.go       Slack's own stop button
//	file.go       what people attach
//	thread.go     what was said in a thread before and while its session opened
//	reaction.go   ✅ on a card, 🛑 on a turn
//	command.go    /inspect
//	shortcut.go   message shortcuts, and the form that one opens (form.go)
//	behalf.go     a request that is no message is posted in its author's name, and then is one
//	link.go       linking a GitHub account
//	who.go        who may act
//	repository.go which repository a session works on
//	options.go    [repo=… branch=… model=… effort=…]
//	text.go       Slack's markup, read and written
//
// # Out
//
// The presenter (presenter.go) follows each session's log and turns events into messages: the digest (digest.go, steps.go, status.go)
// condenses a turn into one status message that is edited in place, cards.go renders the answer and its card. What should be in Slack
// is committed to the outbox together with the number of the event it came from; the sender (outbox.go, send.go) makes it so, at the
// pace Slack allows, and posts nothing twice; what cannot be said in a channel any more takes a detour (detour.go) and is said
// there when it can be (reopened.go), and what somebody deleted is left alone (loss.go). refusal.go knows what
// Slack's errors mean, courtesy.go waits where Slack limits what is read. manifest.go lists the events and scopes that all this needs.
package bot
