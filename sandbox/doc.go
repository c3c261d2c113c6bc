// Package sandbox is where agents work, as a session sees it: session.Sandboxes, made of a Provider and links.
//
// # Who does what
//
// A Provider makes computers, or directories, with a runner in them; it knows nothing of sessions. The Manager gives each runner its
// token, keeps a link to it, hands on what comes over it and puts the sandbox away. What an agent does inside is package runner's
// business, how both ends talk is package link's.
//
// A Builder makes repositories' images, each in a sandbox that is no session's (a session.Spare) and is followed as a session's is. A pool keeps such
// sandboxes warm for sessions to take. What a session's sandbox begins from, Start decides: a warm one, the session's own files, its repository's image, or
// the provider's base.
//
// # A link's life
//
// Attach dials, and dials again with growing pauses, until the sandbox is gone or put away. On each connection one goroutine reads the
// runner's journal after the cursor; every batch is redacted, sent to the session, and only when that is committed the next is read.
// So nothing is lost or doubled when either side ends at any moment: the cursor and the events are one transaction of the session's.
//
// # Judging silence
//
// A runner that says nothing for 90 seconds (120 before its first word) is asked for its status, with five seconds of real time to
// answer; only without an answer it is dialled anew, and only when that fails too, while its provider says that it is there, it is lost.
// The deadlines run on the session's clock, so a computer that slept does not lose its sandboxes.
//
// # What is kept
//
// Keep makes an image of a sandbox, and with it a patch of what the bot does not hold yet, while it goes on or before it is ended. The session says
// which images may still be begun from; the others of its are deleted, and Sweep deletes those whose session is gone. docs/adr/0033 says why.
//
// # The end of the bot
//
// Close ends links in good order: no new calls are taken, running model streams are answered (the caller bounds that), and then
// the connection closes. It comes before the hub stops, because the last calls' costs are inputs. Sandboxes live on and are attached
// again by the next start.
package sandbox
