package session

// Ready is what a Step decided: committed in one transaction, then published, then acted on.
type Ready struct {
	Record  Record
	Events  []Event       // numbered, in order
	Effects []Effect      // to carry out after the commit
	Done    []string      // ids of effects that need not run again
	Acts    []AuditRecord // what people did
	Lived   []Lived       // how long a sandbox lived that lives no more
}

// Record is what of a session a Step changed. The Session is always there; of the others only what changed.
type Record struct {
	Session   Session
	Prompts   []Prompt
	Cards     []Card
	Approvals []Approval
	Draft     *Draft
}

// EffectKind is what an effect asks of the world.
type EffectKind string

const (
	EffectStart    EffectKind = "start"    // Sandboxes.Start, then Started or StartFailed
	EffectAttach   EffectKind = "attach"   // Sandboxes.Attach, then Attached
	EffectPrompt   EffectKind = "prompt"   // Sandboxes.Prompt, then Delivered or DeliveryFailed
	EffectStop     EffectKind = "stop"     // Sandboxes.Stop, then Confirmed
	EffectCollect  EffectKind = "collect"  // Forge.Collect, then Collected or CollectFailed
	EffectOpen     EffectKind = "open"     // Forge.Open, then PullRequestOpened or OpenFailed
	EffectReview   EffectKind = "review"   // Forge.Review, then Reviewed or ReviewFailed
	EffectMerge    EffectKind = "merge"    // Forge.Merge, then Merged or MergeFailed
	EffectSuspend  EffectKind = "suspend"  // Sandboxes.Keep with End, then Suspended or SuspendFailed
	EffectSnapshot EffectKind = "snapshot" // Sandboxes.Keep, then Snapshotted or SnapshotFailed
)

// Effect is one thing to do. ID is unique in its session and makes doing it twice harmless. The field of the kind's name is set;
// suspend and stop have Start and PromptID alone.
type Effect struct {
	ID       string          `json:"id"`
	Kind     EffectKind      `json:"kind"`
	Start    string          `json:"start,omitempty"` // the start id of the runner it is about
	PromptID string          `json:"prompt_id,omitempty"`
	Boot     *StartRequest   `json:"boot,omitempty"`
	Attach   *AttachRequest  `json:"attach,omitempty"`
	Prompt   *Delivery       `json:"prompt,omitempty"`
	Collect  *CollectRequest `json:"collect,omitempty"`
	Open     *OpenRequest    `json:"open,omitempty"`
	Review   *ReviewRequest  `json:"review,omitempty"`
	Merge    *MergeRequest   `json:"merge,omitempty"`
	Suspend  *KeepRequest    `json:"suspend,omitempty"`
	Snapshot *KeepRequest    `json:"snapshot,omitempty"`
}

// State is all of a session that its machine needs: what a Store loads.
type State struct {
	Session   Session
	Draft     Draft
	Prompts   []Prompt   // those not finished, in order of arrival
	Cards     []Card     // all, in order
	Approvals []Approval // those not finished (linking, merging or accepted)
	Effects   []Effect   // those not confirmed, in order
}
