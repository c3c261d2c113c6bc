package sessiontest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"openinspect/session"
)

// Memory is a store that forgets everything with its process. It passes the same suite as boltdb. What it is given and what it
// returns are copies.
type Memory struct {
	// Clock is the store's time; set it before first use. Default: the computer's.
	Clock session.Clock
	// Fail, if set, is asked before each method, by the method's name; the error it returns is the method's, and nothing is
	// done. Set it before first use.
	Fail func(method string) error
	// Page, if set, is how many events Events returns at most, whatever the limit: as a store does where they are large. Set it before first use.
	Page int

	mu          sync.Mutex
	sessions    map[session.ID]*kept
	threads     map[session.Thread]session.ID
	unpresented map[session.ID]bool
	inbox       []session.Received
	seen        map[string]time.Time
	outbox      map[string]session.Message
	order       uint64
	users       map[string]session.User
	channels    map[string]session.Channel
	preferences map[string]session.Preferences
	routes      map[string]session.Route
	rules       map[string]session.MergeRule // by repository, in lower case
	spares      map[session.ID]session.Spare
	images      map[string]session.Image
	prebuilt    map[string]session.Prebuilt // by repository, in lower case
	secrets     map[string][]byte
	audit       []session.AuditRecord
	removed     map[session.ID]session.Removed
	retired     time.Time                // when Retire last came to its end, as it took it to be
	stamps      map[string]time.Time     // of messages, by key
	lived       map[string]time.Duration // by day
}

// kept is one session. Prompts, cards, approvals and effects are in the order in which they first came.
type kept struct {
	session   session.Session
	draft     session.Draft
	prompts   []session.Prompt
	cards     []session.Card
	approvals []session.Approval
	effects   []session.Effect
	events    []session.Event
	files     map[string][]byte // by hash
	patch     []byte
	from      string // the commit that it is against
	presented int64
}

var _ Store = (*Memory)(nil)

// NewStore makes an empty store.
func NewStore() *Memory {
	return &Memory{
		Clock:       session.SystemClock{},
		sessions:    map[session.ID]*kept{},
		threads:     map[session.Thread]session.ID{},
		unpresented: map[session.ID]bool{},
		seen:        map[string]time.Time{},
		outbox:      map[string]session.Message{},
		users:       map[string]session.User{},
		channels:    map[string]session.Channel{},
		preferences: map[string]session.Preferences{},
		routes:      map[string]session.Route{},
		rules:       map[string]session.MergeRule{},
		spares:      map[session.ID]session.Spare{},
		images:      map[string]session.Image{},
		prebuilt:    map[string]session.Prebuilt{},
		secrets:     map[string][]byte{},
		removed:     map[session.ID]session.Removed{},
		stamps:      map[string]time.Time{},
		lived:       map[string]time.Duration{},
	}
}

// begin locks the store for a method, unless the context has ended or Fail says otherwise.
func (m *Memory) begin(ctx context.Context, method string) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, &session.Error{Code: session.Unavailable, Op: "sessiontest." + method, Err: err}
	}
	if m.Fail != nil {
		if err := m.Fail(method); err != nil {
			return nil, session.Wrap("sessiontest."+method, err)
		}
	}
	m.mu.Lock()
	return m.mu.Unlock, nil
}

// clone copies v the way the disk would: as JSON.
func clone[T any](v T) T {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sessiontest: %T cannot be stored: %v", v, err))
	}
	var c T
	if err := json.Unmarshal(b, &c); err != nil {
		panic(fmt.Sprintf("sessiontest: %T cannot be read back: %v", v, err))
	}
	return c
}

func cloneAll[T any](all []T) []T {
	out := make([]T, 0, len(all))
	for _, v := range all {
		out = append(out, clone(v))
	}
	return out
}

// Commit implements session.Store.
func (m *Memory) Commit(ctx context.Context, r session.Ready) error {
	end, err := m.begin(ctx, "Commit")
	if err != nil {
		return err
	}
	defer end()
	s := r.Record.Session
	if s.ID == "" {
		return &session.Error{Code: session.Internal, Op: "sessiontest.Commit", Err: fmt.Errorf("a session without an id")}
	}
	k := m.sessions[s.ID]
	if k == nil {
		if err := m.gone(s.ID); err != nil {
			return err
		}
		if other, taken := m.threads[s.Thread]; taken && m.gone(other) == nil {
			return session.Errorf(session.Conflict, "this thread already has a session; please try again")
		}
		k = &kept{}
	}
	for i, e := range r.Events {
		if want := int64(len(k.events) + i + 1); e.Seq != want {
			return &session.Error{Code: session.Internal, Op: "sessiontest.Commit", Err: fmt.Errorf("event %d where %d comes next", e.Seq, want)}
		}
	}
	if m.sessions[s.ID] == nil {
		m.sessions[s.ID], m.threads[s.Thread] = k, s.ID
	}
	k.session = clone(s)
	if d := r.Record.Draft; d != nil {
		k.draft = clone(*d)
	}
	k.events = append(k.events, cloneAll(r.Events)...)
	k.prompts = merge(k.prompts, r.Record.Prompts, func(p session.Prompt) string { return p.ID })
	k.cards = merge(k.cards, r.Record.Cards, func(c session.Card) string { return c.ID })
	k.approvals = merge(k.approvals, r.Record.Approvals, func(a session.Approval) string { return a.ID })
	m.audit = append(m.audit, r.Audit()...)
	for _, l := range r.Lived {
		m.lived[l.Day] += l.For
	}
	k.effects = merge(k.effects, r.Effects, func(e session.Effect) string { return e.ID })
	k.effects = slices.DeleteFunc(k.effects, func(e session.Effect) bool { return slices.Contains(r.Done, e.ID) })
	if len(r.Events) > 0 {
		m.unpresented[s.ID] = true
	}
	return nil
}

// merge puts changed records in the place of those with their id, new ones at the end.
func merge[T any](all, changed []T, id func(T) string) []T {
	for _, c := range changed {
		i := slices.IndexFunc(all, func(v T) bool { return id(v) == id(c) })
		if i < 0 {
			all = append(all, clone(c))
		} else {
			all[i] = clone(c)
		}
	}
	return all
}

func (m *Memory) find(id session.ID) (*kept, error) {
	if k := m.sessions[id]; k != nil {
		return k, nil
	}
	if err := m.gone(id); err != nil {
		return nil, err
	}
	return nil, session.Errorf(session.NotFound, "there is no session %q", string(id))
}

func (k *kept) state() session.State {
	st := session.State{Session: clone(k.session), Draft: clone(k.draft), Cards: cloneAll(k.cards), Effects: cloneAll(k.effects)}
	for _, p := range k.prompts {
		if !p.State.Finished() {
			st.Prompts = append(st.Prompts, clone(p))
		}
	}
	for _, a := range k.approvals {
		if !a.State.Finished() {
			st.Approvals = append(st.Approvals, clone(a))
		}
	}
	return st
}

// Prompts implements Past.
func (m *Memory) Prompts(ctx context.Context, id session.ID) ([]session.Prompt, error) {
	end, err := m.begin(ctx, "Prompts")
	if err != nil {
		return nil, err
	}
	defer end()
	k, err := m.find(id)
	if err != nil {
		return nil, err
	}
	return cloneAll(k.prompts), nil
}

// Load implements session.Store.
func (m *Memory) Load(ctx context.Context, id session.ID) (session.State, error) {
	end, err := m.begin(ctx, "Load")
	if err != nil {
		return session.State{}, err
	}
	defer end()
	k, err := m.find(id)
	if err != nil {
		return session.State{}, err
	}
	return k.state(), nil
}

// Events implements session.Store.
func (m *Memory) Events(ctx context.Context, id session.ID, after int64, limit int) ([]session.Event, error) {
	end, err := m.begin(ctx, "Events")
	if err != nil {
		return nil, err
	}
	defer end()
	k, err := m.find(id)
	if err != nil {
		return nil, err
	}
	if m.Page > 0 {
		limit = min(limit, m.Page)
	}
	rest := k.events[min(max(after, 0), int64(len(k.events))):]
	return cloneAll(rest[:min(len(rest), max(limit, 0))]), nil
}

// Find implements session.Store.
func (m *Memory) Find(ctx context.Context, t session.Thread) (session.ID, error) {
	end, err := m.begin(ctx, "Find")
	if err != nil {
		return "", err
	}
	defer end()
	id, ok := m.threads[t]
	if !ok {
		return "", session.Errorf(session.NotFound, "this thread has no session")
	}
	if err := m.gone(id); err != nil {
		return "", err
	}
	return id, nil
}

// Open implements session.Store.
func (m *Memory) Open(ctx context.Context) ([]session.ID, error) {
	end, err := m.begin(ctx, "Open")
	if err != nil {
		return nil, err
	}
	defer end()
	var ids []session.ID
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		if !m.sessions[id].state().AtRest() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// List implements session.Store.
func (m *Memory) List(ctx context.Context, limit int) ([]session.Session, error) {
	end, err := m.begin(ctx, "List")
	if err != nil {
		return nil, err
	}
	defer end()
	var all []session.Session
	for _, k := range m.sessions {
		all = append(all, k.session)
	}
	slices.SortFunc(all, func(a, b session.Session) int {
		return cmp.Or(b.Updated.Compare(a.Updated), cmp.Compare(a.ID, b.ID))
	})
	return cloneAll(all[:min(len(all), max(limit, 0))]), nil
}

// Lived implements session.Hours.
func (m *Memory) Lived(ctx context.Context, day string) (time.Duration, error) {
	end, err := m.begin(ctx, "Lived")
	if err != nil {
		return 0, err
	}
	defer end()
	return m.lived[day], nil
}
