// Package session is the ground of the product: the words everything else is said in, and what a session does.
//
// # A session's life
//
// A thread is a session. Somebody writes to the bot, and Hub.Open makes a Session for the thread; everything people and
// the world do to it from then on is an Input. One goroutine per session, the actor, hands each Input to the Machine, which
// alone decides: it answers with a Ready, what to record, what to tell (Events) and what to do (Effects), and does nothing
// itself. The actor commits the Ready in one transaction, publishes the events to every Feed, and only then carries the
// effects out. What comes of them is the next Input.
//
// # After a crash
//
// An effect stays in the store until the Input that confirms it is committed. So after a restart the actor loads what was
// committed and runs the effects that nobody confirmed once more; each is idempotent by its id. Nothing is decided twice and
// nothing is forgotten.
//
// # One log, many readers
//
// A session's events are numbered without gaps. The Slack thread, the web page and the command line read the same log
// through a Feed, each at its own pace, and resume by number.
//
// # What it does not know
//
// This package imports the standard library alone. Slack, GitHub, sandboxes and the disk are behind the interfaces of
// port.go and store.go.
package session
