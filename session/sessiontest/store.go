// Package sessiontest has what tests of sessions need: a clock that moves when told, a store in memory, and the suite that every
// store has to pass.
package sessiontest

import (
	"context"
	"time"

	"openinspect/session"
)

// Store is everything the bot keeps, as its packages see it together. Each of them declares the few methods it calls.
// Errors are NotFound for what is not there, Unavailable when the disk refuses or the context has ended; a write that returned
// an error has changed nothing.
type Store interface {
	session.Store
	session.Hours
	Log
	Past
	Inbox
	Outbox
	People
	Pulls
	Files
	Spares
	Images
	Secrets
	Audit
	Retention
}

// Log is how far a session's log is shown in its thread.
type Log interface {
	// Present stores messages as Put does and moves the presented cursor on to seq, in one transaction. Invalid for an event that does not exist.
	Present(ctx context.Context, id session.ID, seq int64, messages []session.Message) error
	// Presented returns the cursor, 0 at first.
	Presented(ctx context.Context, id session.ID) (int64, error)
	// Unpresented returns the sessions with events beyond their cursor.
	Unpresented(ctx context.Context) ([]session.ID, error)
}

// Past is what is remembered of messages that are over.
type Past interface {
	// Prompts returns all prompts of a session, in order of arrival.
	Prompts(ctx context.Context, id session.ID) ([]session.Prompt, error)
	// Seen returns when an event with an identity was stored, as its Key or its Also, within a day; NotFound if none was.
	Seen(ctx context.Context, identity string) (time.Time, error)
}

// Inbox is what came from Slack.
type Inbox interface {
	// Receive stores an event unless its Key or Also was seen within a day, and reports whether it was fresh.
	Receive(ctx context.Context, r session.Received) (bool, error)
	// Inbox returns what is not handled, in order of arrival.
	Inbox(ctx context.Context) ([]session.Received, error)
	// Handled takes an event out of the inbox; its identities stay known.
	Handled(ctx context.Context, key string) error
	// Prune forgets what is over a day old and what has expired.
	Prune(ctx context.Context) error
}

// Outbox is what is to be in Slack.
type Outbox interface {
	// Put stores messages by key: other content than the known one is a new version, the same is nothing.
	Put(ctx context.Context, messages ...session.Message) error
	// Pending returns what Slack does not have in its newest version, less what it refused, in order.
	Pending(ctx context.Context) ([]session.Message, error)
	// Sent records that Slack has a version, at ts unless empty, or refused it for good.
	Sent(ctx context.Context, key string, version int64, ts, failed string) error
	// Refused returns what Slack refused for good, in order.
	Refused(ctx context.Context) ([]session.Message, error)
	// TryAgain has refused messages tried again.
	TryAgain(ctx context.Context, keys ...string) error
	// Message returns a message by its key.
	Message(ctx context.Context, key string) (session.Message, error)
	// MessageAt returns the message posted in a channel at ts.
	MessageAt(ctx context.Context, channel, ts string) (session.Message, error)
}

// People is what is remembered of people and channels.
type People interface {
	User(ctx context.Context, slack string) (session.User, error)
	// PutUser stores a user. Conflict if the GitHub account is another's.
	PutUser(ctx context.Context, u session.User) error
	// LinkUser links one to one. Conflict, with a sentence for the user, if either has another link. The secrets change with it or not at all.
	LinkUser(ctx context.Context, slack string, id session.Identity, secrets ...session.SecretChange) error
	// UnlinkUser takes the link away, if there is one, and changes the secrets.
	UnlinkUser(ctx context.Context, slack string, secrets ...session.SecretChange) error
	Channel(ctx context.Context, id string) (session.Channel, error)
	PutChannel(ctx context.Context, c session.Channel) error
	// Routes returns the routes by keyword.
	Routes(ctx context.Context) ([]session.Route, error)
	// PutRoute sets the route of a keyword, or forgets it if it has no repository. NotFound if there is none to forget, Conflict if there are too many.
	PutRoute(ctx context.Context, r session.Route) error
	Preferences(ctx context.Context, slack string) (session.Preferences, error)
	PutPreferences(ctx context.Context, p session.Preferences) error
}

// Pulls is what is remembered of pull requests.
type Pulls interface {
	// Followed returns those that are open, as far as is known, in no order.
	Followed(ctx context.Context) ([]session.Followed, error)
	// MergeRule returns a repository's rule; NotFound if it has none.
	MergeRule(ctx context.Context, repo session.Repo) (session.MergeRule, error)
	// MergeRules returns all rules by repository.
	MergeRules(ctx context.Context) ([]session.MergeRule, error)
	// PutMergeRule sets a repository's rule.
	PutMergeRule(ctx context.Context, r session.MergeRule) error
}

// Files is what people attached, beside their sessions.
type Files interface {
	// KeepFile stores a file of a session and returns its SHA-256 in hexadecimal.
	KeepFile(ctx context.Context, id session.ID, body []byte) (string, error)
	// File returns one; NotFound if that session has no such file.
	File(ctx context.Context, id session.ID, hash string) ([]byte, error)
	// KeepPatch keeps what a session's checkout has beyond a commit, in the place of what was kept before; an empty patch is none.
	KeepPatch(ctx context.Context, id session.ID, from string, patch []byte) error
	// Patch returns it, and the commit; NotFound if there is none.
	Patch(ctx context.Context, id session.ID) (from string, patch []byte, err error)
}

// Spares is what is remembered of sandboxes that are no session's.
type Spares interface {
	// PutSpare stores one by its id.
	PutSpare(ctx context.Context, s session.Spare) error
	// Spares returns all, in order of their ids.
	Spares(ctx context.Context) ([]session.Spare, error)
	// ForgetSpare forgets one that is gone, if it is there, and adds what it lived to the sums of its days.
	ForgetSpare(ctx context.Context, id session.ID, lived ...session.Lived) error
}

// Images is what is remembered of images.
type Images interface {
	// PutImage remembers an image, by its id; one that is known stays as it is.
	PutImage(ctx context.Context, i session.Image) error
	// Images returns all that are remembered, in order of their ids.
	Images(ctx context.Context) ([]session.Image, error)
	// ForgetImage forgets one that was deleted, if it is there.
	ForgetImage(ctx context.Context, id string) error
	// Prebuilt returns what is known of a repository's image; NotFound if nothing is.
	Prebuilt(ctx context.Context, r session.Repo) (session.Prebuilt, error)
	// Prebuilts returns all by repository.
	Prebuilts(ctx context.Context) ([]session.Prebuilt, error)
	// PutPrebuilt stores what is known of a repository's image. That it was switched on or off is audited.
	PutPrebuilt(ctx context.Context, p session.Prebuilt) error
}

// Secrets are values nobody may read on the disk.
type Secrets interface {
	PutSecret(ctx context.Context, key string, value []byte) error
	Secret(ctx context.Context, key string) ([]byte, error)
	// DeleteSecret forgets a secret, if it is there.
	DeleteSecret(ctx context.Context, key string) error
	// Secrets returns the keys with a prefix, sorted.
	Secrets(ctx context.Context, prefix string) ([]string, error)
}

// Audit is who did what, for good.
type Audit interface {
	session.Auditor
	Audit(ctx context.Context, r session.AuditRecord) error
	// AuditOnce is Audit, unless it was called with that key within a day.
	AuditOnce(ctx context.Context, key string, r session.AuditRecord) error
	// AuditLog returns records, oldest first.
	AuditLog(ctx context.Context, q session.AuditQuery) ([]session.AuditEntry, error)
	// VerifyAudit returns the log's head; Internal if the log was changed from outside, or heads that it had once are not in it.
	VerifyAudit(ctx context.Context, heads ...session.AuditHead) (session.AuditHead, error)
}

// Retention is what is not kept for ever.
type Retention interface {
	// Retire removes some sessions that are at rest and had no activity for days, and returns their ids; it is called until there are none, and is then at most a day later than the time before.
	// What knows a session by its id or thread gets NotFound from then on, with a session.Removed in the chain. Messages of removed
	// sessions, and of none, go when they are as old and nothing of them is to be sent. The audit log stays.
	Retire(ctx context.Context, days int) ([]session.ID, error)
}
