// Package weblite is the read-only web view of a session: everything that is in its log, live.
//
// # Who may read
//
// A link names one session, carries its own expiry and is signed (Server.Link). The first visit turns it into a cookie that
// is good for that session's path alone, and redirects to the plain address, so that the token does not stay in the address
// bar or in the history. Without a token nobody learns whether a session exists.
//
// # How the page fills
//
// The page's head comes from the server, the log from a WebSocket that sends what is stored after a number and then what
// happens. A reader that falls behind is closed and resumes by number. The same log is there as plain text, for those
// without JavaScript and for terminals.
//
// Everything in a log may come from a hostile place. The page has no inline script, and a strict content security policy;
// its script writes text nodes only. What an event says to one person alone is taken out before it leaves this package.
package weblite
