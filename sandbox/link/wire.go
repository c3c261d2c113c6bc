package link

import (
	"time"

	"openinspect/session"
)

// Version is the runner's: the bot refuses to talk to another major one. It is stamped on snapshots.
const Version = 1

// Limits on what a sandbox may send; the bot's side enforces them.
const (
	MaxLine     = 1 << 20  // bytes of one journal line
	MaxToolBody = 1 << 20  // bytes of a tool call's body
	MaxUpload   = 10 << 20 // bytes of an uploaded file

	MaxUploadBody = MaxUpload/3*4 + MaxToolBody // bytes of the body that has it
	MaxBundle     = 100 << 20
	MaxPatch      = 16 << 20         // bytes of GET /patch
	Heartbeat     = 15 * time.Second // between lines of GET /events when nothing happens
)

// Boot is what a runner is told at its start, as one JSON object on its standard input. There is no secret in it: TokenHash is the SHA-256 of
// the link's token.
type Boot struct {
	Session      session.ID       `json:"session"`
	Start        string           `json:"start"`            // start id; with the kernel's boot id it makes the journal's id
	TokenHash    string           `json:"token_hash"`       // hex
	Socket       string           `json:"socket,omitempty"` // path to listen on; empty: Listen
	Listen       string           `json:"listen,omitempty"` // TCP address to listen on
	Proxy        string           `json:"proxy,omitempty"`  // path of the bot's socket to the network; empty: the network is there
	Dir          string           `json:"dir"`              // the sandbox's directory: checkout/, home/ and run/ are below it
	Mode         session.BootMode `json:"mode"`
	Repo         session.Repo     `json:"repo,omitzero"`
	CloneURL     string           `json:"clone_url,omitempty"` // without credentials
	Base         string           `json:"base,omitempty"`      // branch
	Anew         bool             `json:"anew,omitempty"`      // what the session did is merged: the checkout leaves it for Base
	Collected    string           `json:"collected,omitempty"` // a fresh clone goes on from there: POST /git/collected
	Patch        bool             `json:"patch,omitempty"`     // and then gets what POST /git/patch answers: 204 if there is none
	Setup        string           `json:"setup,omitempty"`     // repo_image: git's id of the setup.sh that ran when the image was built; another one runs anew
	Bot          session.Author   `json:"bot"`                 // committer
	Agent        string           `json:"agent"`               // path of the agent's binary; "script" for agenttest's
	Catalogue    []byte           `json:"catalogue,omitempty"` // models in models.dev form
	Providers    []string         `json:"providers"`           // model providers that the gateway serves
	SetupTimeout time.Duration    `json:"setup_timeout"`
	StartTimeout time.Duration    `json:"start_timeout"`
	Alone        bool             `json:"alone,omitempty"`       // the pid namespace is the sandbox's: whatever runs there is its own, and process 1 collects orphans
	Processes    int              `json:"processes,omitempty"`   // how many programs may have at once in a namespace of their own; 0: any number
	Bounded      bool             `json:"bounded,omitempty"`     // the kernel holds this sandbox's own to that, if it is told; else the runner looks
	Environment  bool             `json:"environment,omitempty"` // the repository has variables of its own: POST /environment
	LogURL       string           `json:"log_url,omitempty"`     // unsigned, for the Inspect-Session trailer; empty: the id alone
	Warm         bool             `json:"warm,omitempty"`        // nobody's yet: it boots as far as its agent, and is ready once it was claimed
}

// Claim is the body of POST /claim: from now on the sandbox is that session's. 202, also for a session that has it already; 409 for any other.
// What the sandbox has checked out is brought up to date if its sync was over, and then it is ready.
type Claim struct {
	Session session.ID `json:"session"`
	LogURL  string     `json:"log_url,omitempty"` // as in Boot
}

// Line is one line of GET /events. A numbered line has an Event; a line with Delta has no number and is not in the journal; one with nothing is a
// heartbeat. Over ends the journal of an earlier runner: asked after its last number, GET /events answers with the next journal.
type Line struct {
	N     int64          `json:"n,omitempty"`
	Event *session.Event `json:"event,omitempty"`
	Delta *session.Delta `json:"delta,omitempty"`
	Over  bool           `json:"over,omitempty"`
}

// Headers of the answer to GET /events?journal=J&after=N: which journal it is, and after which number it begins. That is J after N if J is the
// runner's own or one that an earlier runner left here with more lines; the journal that follows J, from 0, if J was read to its end; and the
// runner's own, from 0, if it does not know J. The id of a runner's own journal begins with its start id and "-". Asking for a journal tells
// that all before it are stored: the runner deletes them.
const (
	HeaderJournal = "Inspect-Journal"
	HeaderAfter   = "Inspect-After"
)

// HeaderCall names a call of a tool, the same each time that the runner asks again because the answer did not come. A call that the bot has
// taken is not taken twice.
const HeaderCall = "Inspect-Call"

// MaxCall is how many bytes of a call's name the bot looks at; one that is longer is none.
const MaxCall = 64

// HeaderRestarting marks a refusal that is none of the provider's: the bot is stopping in good order, or it held the call without keeping it.
// Whoever asked holds the request and asks again.
const HeaderRestarting = "Inspect-Restarting"

// Status is the answer to GET /status.
type Status struct {
	Version  int           `json:"version"`
	Start    string        `json:"start"`
	Journal  string        `json:"journal"`
	N        int64         `json:"n"` // newest number
	Phase    session.Phase `json:"phase"`
	PromptID string        `json:"prompt_id,omitempty"` // that runs
	Tools    int           `json:"tools,omitempty"`     // of that turn, that run
	Models   int           `json:"models,omitempty"`    // model calls under way
	Settling bool          `json:"settling,omitempty"`  // the agent is done; what it left is being committed
	Words    string        `json:"words,omitempty"`     // the agent's last log lines, while a turn runs
	Agent    string        `json:"agent"`               // name and version
	Head     string        `json:"head,omitempty"`
	Branch   string        `json:"branch,omitempty"`
	Setup    string        `json:"setup,omitempty"`   // git's id of Head's setup.sh; empty: there is none, or Head is empty
	Warm     bool          `json:"warm,omitempty"`    // booted as far as it goes for nobody
	Claimed  session.ID    `json:"claimed,omitempty"` // whose it is, of one that was nobody's
}

// Stop is the body of POST /stop.
type Stop struct {
	PromptID string `json:"prompt_id"`
}

// PUT /files?prompt=ID&n=N&name=NAME brings the Nth file, from 0, of a prompt that follows: 204.

// The body of POST /prompts is a session.Delivery: 202 when accepted, also for one that was accepted before; 409 while another runs;
// 425 (Too Early) before the runner is ready; 503 while one of its files has not come.

// CredentialRequest is the body of POST /git/credential, as git asks its helper.
type CredentialRequest struct {
	Protocol string `json:"protocol"`
	Host     string `json:"host"`
	Path     string `json:"path"`
}

// GET /patch?from=SHA answers with a patch, as git makes one, of what the checkout has beyond a commit: committed or not, but for what git ignores. Without
// one, beyond where it left the base branch, or of all its files. 204 when that is nothing, 409 when the commit is not there, 413 beyond MaxPatch.

// CollectedRef is the one ref of the bundle with which the bot answers POST /git/collected: the commit that Boot names, and what the base branch
// lacks of its history. 204 when the base branch has it; 404 when the bot does not hold it any more.
const CollectedRef = "refs/inspect/collected"

// Credential is the answer: a read token for the session's own repository. 403 for any other.
type Credential struct {
	Username string    `json:"username"`
	Password string    `json:"password"`
	Expires  time.Time `json:"expires"`
}

// ProposeRequest is the body of POST /tools/propose_pull_request.
type ProposeRequest struct {
	Title string `json:"title"`
	Body  string `json:"body"`
	Tests string `json:"tests,omitempty"` // what the agent ran, and what came of it
	Draft bool   `json:"draft,omitempty"`
}

// UpdateRequest is the body of POST /tools/post_update.
type UpdateRequest struct {
	Text string `json:"text"`
}

// AskRequest is the body of POST /tools/ask.
type AskRequest struct {
	Question string   `json:"question"`
	Options  []string `json:"options,omitempty"`
}

// UploadRequest is the body of POST /tools/upload: an image that the agent shows. The runner has read it from the path that the agent named.
type UploadRequest struct {
	Name    string `json:"name"`
	Alt     string `json:"alt"` // what there is to see
	Content []byte `json:"content"`
}

// ToolAnswer is the answer to a tool call: words for the agent.
type ToolAnswer struct {
	Text string `json:"text"`
}

// Problem is the body of every refusal on the link, with the status that suits its code.
type Problem struct {
	Code    session.Code `json:"code"`
	Message string       `json:"message"`
}

// StatusOf returns the HTTP status for an error code.
func StatusOf(c session.Code) int {
	switch c {
	case session.Invalid:
		return 400
	case session.NotFound:
		return 404
	case session.Conflict:
		return 409
	case session.Forbidden:
		return 403
	case session.Unavailable:
		return 503
	case session.Internal:
		return 500
	}
	return 500
}
