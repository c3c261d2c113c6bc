package session

import (
	"context"
	"io"
	"time"
)

// Sandboxes is what a session asks of the place where agents work. Every method is idempotent by the ids in its request.
type Sandboxes interface {
	// Start makes the sandbox r.Name, or finds it, and starts runner r.Start in it; for a session without files of its own it may hand over another
	// one in which a runner works already. Unavailable may be tried again; other codes are final.
	Start(ctx context.Context, r StartRequest) (Begun, error)
	// Attach keeps a link to a runner, redialling as long as its sandbox lives, and sends its journal and its tools' calls as inputs.
	// It returns when the link is first up; the link's life is not bound to ctx. A second Attach of the same start is no second link. A sandbox that is gone is told by a Lost input and a NotFound error.
	Attach(ctx context.Context, r AttachRequest, send Send) error
	// Prompt hands a prompt to the session's runner. Conflict while another runs; Unavailable while there is no link.
	Prompt(ctx context.Context, id ID, d Delivery) error
	// Stop stops the run of one prompt. A prompt that does not run is not an error.
	Stop(ctx context.Context, id ID, promptID string) error
	// Bundle returns a git bundle of what the checkout's HEAD has beyond have; nil when there is nothing. The caller closes it.
	Bundle(ctx context.Context, id ID, have []string) (io.ReadCloser, error)
	// Keep makes an image of the sandbox's files, while it goes on or, with r.End, before it is ended. Nothing is kept of one that is gone: no error with
	// r.End, else NotFound.
	Keep(ctx context.Context, id ID, r KeepRequest) (Kept, error)
}

// Send hands an input to the session a link belongs to and returns when what it led to is committed, with the machine's refusal if it refused.
type Send func(ctx context.Context, in Input) error

// StartRequest asks for a sandbox with a runner.
type StartRequest struct {
	Session ID        `json:"session"`
	Name    string    `json:"name"`            // of the sandbox, unique in the installation, stored before the provider is called
	Start   string    `json:"start"`           // of the runner: new for each start
	Mode    BootMode  `json:"mode"`            // fresh: nothing of the session's own; it begins from the best that there is
	At      time.Time `json:"at,omitzero"`     // when it was asked for: before anything of it lived
	Image   string    `json:"image,omitempty"` // with snapshot_restore
	Repo    Repo      `json:"repo,omitzero"`   // zero: an empty checkout
	Base    string    `json:"base,omitempty"`
	Model   string    `json:"model,omitempty"`
	// Anew: what the session did is merged; the checkout leaves it for the newest commit of Base.
	Anew bool `json:"anew,omitempty"`
	// Collected is the newest commit that the bot holds of the session: where a checkout without the session's files goes on from.
	Collected string `json:"collected,omitempty"`
	// Patch: and then gets the patch that is kept of the session.
	Patch bool `json:"patch,omitempty"`
	// Bad is an image of the repository's from which the session's sandbox did not become ready: it does not begin from that again.
	Bad string `json:"bad,omitempty"`
}

// Begun is the sandbox that a start came to, which need not be the one that was asked for.
type Begun struct {
	Handle Handle   `json:"handle"`
	Start  string   `json:"start"`           // of the runner in it
	Mode   BootMode `json:"mode"`            // what it began from
	Image  string   `json:"image,omitempty"` // which one
	// Ends is when the provider will have ended it, and its files with it, never later than it really does; zero: the provider lets it live.
	Ends time.Time `json:"ends,omitzero"`
}

// KeepRequest asks for the files of a sandbox to be kept. Images that were made of the session's sandboxes and are neither Image nor From are deleted:
// nothing begins from them any more.
type KeepRequest struct {
	Handle
	End   bool   `json:"-"`               // then the sandbox is ended; the effect's kind says it
	Same  bool   `json:"same,omitempty"`  // Image has all that is in it: no other is made
	Bare  bool   `json:"bare,omitempty"`  // no image is made: there is nothing in it, or it could not be made
	Soon  bool   `json:"soon,omitempty"`  // the provider will have ended it soon
	Image string `json:"image,omitempty"` // the session's newest
	From  string `json:"from,omitempty"`  // what the sandbox began from
	Work  int    `json:"work,omitempty"`  // of how many prompts it has all that the agent did
	// Patch asks for a patch, too, of what the checkout has beyond Collected: enough to go on from where there is no image.
	Patch     bool   `json:"patch,omitempty"`
	Collected string `json:"collected,omitempty"`
}

// Kept is what was kept of a sandbox.
type Kept struct {
	Image string `json:"image,omitempty"`
	Patch *Patch `json:"patch,omitempty"` // the newest; nil: none was asked for, or to be had
}

// Patch is what a checkout had beyond a commit, except for what git ignores. The bot keeps a session's newest.
type Patch struct {
	From string `json:"from,omitempty"` // the commit, of those that the bot holds; empty: where the base branch was left
	Size int    `json:"size,omitempty"` // bytes; 0: there was nothing
}

// AttachRequest asks for a link to a runner that was started.
type AttachRequest struct {
	Session ID     `json:"session"`
	Repo    Repo   `json:"repo,omitzero"`
	Start   string `json:"start"`
	Handle  Handle `json:"handle"`
	Cursor  Cursor `json:"cursor,omitzero"` // where to read on; the actor sets it to the newest when it runs the effect
	// Collected is the commit that the runner may ask for, and Base the branch that it has already; both empty: none.
	Collected string `json:"collected,omitempty"`
	Base      string `json:"base,omitempty"`
	Patch     bool   `json:"patch,omitempty"` // the runner may ask for the patch that is kept
}

// Delivery is a prompt on its way to a runner.
type Delivery struct {
	ID         string   `json:"id"`
	Text       string   `json:"text"`             // as the agent reads it: the author's name, the context marked as data
	Recall     bool     `json:"recall,omitempty"` // the agent knows nothing of the thread: the actor puts before the text what was said in it
	Files      []File   `json:"files,omitempty"`
	Model      string   `json:"model"` // provider/model
	Effort     string   `json:"effort,omitempty"`
	Author     Author   `json:"author"`               // of commits made in this turn
	Credit     Credit   `json:"credit,omitzero"`      // that they carry
	Log        string   `json:"log,omitempty"`        // what their Inspect-Session says; the Sandboxes fill it in
	Identities []Author `json:"identities,omitempty"` // every author that commits of this session may have
}

// Forge is what a session asks of GitHub.
type Forge interface {
	// Collect fetches a bundle, checks every new commit of it and keeps them. Nil when there is nothing new.
	// Invalid, with a sentence that names what, when a check refuses.
	Collect(ctx context.Context, r CollectRequest, bundle Bundler) (*Changes, error)
	// Open pushes the commit that was collected and opens a pull request as r.By, or adopts the one that is open for the branch.
	// Forbidden when the person's account may not; Conflict when the branch or base moved, or r.Expect is not open any more: then nothing was
	// pushed; each with a sentence for that person.
	Open(ctx context.Context, r OpenRequest) (PullRequest, error)
	// Review submits an approving review as r.By at r.Commit, if that is still the head; one that is there already is as good. Forbidden when their
	// account may not; Conflict when the pull request has moved on.
	Review(ctx context.Context, r ReviewRequest) (Review, error)
	// Merge merges as r.By at r.Commit, if nothing blocks it, and returns the commit on the base; of one that is merged at that commit already, too.
	// Forbidden when their account may not; Conflict, with what blocks it; ErrTakenBack when they do not want it any more.
	Merge(ctx context.Context, r MergeRequest) (commit string, err error)
}

// Bundler fetches a bundle of what a sandbox has beyond have; nil when there is nothing.
type Bundler func(ctx context.Context, have []string) (io.ReadCloser, error)

// CollectRequest says what may come out of a sandbox.
type CollectRequest struct {
	Session    ID       `json:"session"`
	Repo       Repo     `json:"repo"`
	Base       string   `json:"base"`
	Collected  string   `json:"collected,omitempty"` // what was collected before
	Opening    []string `json:"opening,omitempty"`   // earlier commits that are being pushed
	Pushed     string   `json:"pushed,omitempty"`    // what was approved and pushed before
	Identities []Author `json:"identities"`          // who may be an author; the bot may always
	Known      []string `json:"known,omitempty"`     // who may be named as a prompter without an account
	Credits    []Credit `json:"credits,omitempty"`   // that the commits since Collected carry, one of them; none: they name whom they like of Identities and Known
}

// Changes is what the bot holds of a session: computed from the bytes it collected.
type Changes struct {
	Repo      Repo         `json:"repo,omitzero"` // what it is called now, if it was asked for by an earlier name
	Head      string       `json:"head"`
	Commits   int          `json:"commits"`         // not on the remote
	Subject   string       `json:"subject"`         // first line of the head's message
	Files     []FileChange `json:"files"`           // against the merge base with the base branch
	Patch     string       `json:"patch,omitempty"` // unified, cut at 256 KiB
	Attention []string     `json:"attention,omitempty"`
	Named     []string     `json:"named,omitempty"` // those of them that need an approval that names them
}

// OpenRequest asks for a pull request.
type OpenRequest struct {
	Session      ID       `json:"session"`
	Approval     string   `json:"approval"`
	Card         string   `json:"card"`
	Repo         Repo     `json:"repo"`
	Base         string   `json:"base"`
	Branch       string   `json:"branch"`
	Commit       string   `json:"commit"`
	Pushed       string   `json:"pushed,omitempty"`   // what the branch must be at; empty: it must not exist
	Expect       int      `json:"expect,omitempty"`   // the pull request that it is pushed to; 0: one is opened, or adopted
	OpenedBy     Person   `json:"opened_by,omitzero"` // with Expect
	Title        string   `json:"title"`
	Body         string   `json:"body,omitempty"`  // the agent's words
	Tests        string   `json:"tests,omitempty"` // likewise
	Draft        bool     `json:"draft,omitempty"`
	By           Person   `json:"by"`
	Asked        []Asking `json:"asked"`
	Contributors []Person `json:"contributors"`
	// Audit is the audit log when it is carried out, for the pull request to carry; the actor sets it.
	Audit AuditHead `json:"audit,omitzero"`
}

// Asking is who asked for what, for the pull request's body.
type Asking struct {
	By   Person `json:"by"`
	Text string `json:"text"`
}
