package boltdb

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// Names inside a session's bucket.
var (
	kRecord     = []byte("record")     // 8 bytes: microseconds of the last activity; then the session as JSON
	kUnfinished = []byte("unfinished") // how many prompts and approvals are; both 8 bytes
	kPresented  = []byte("presented")  // the newest event that messages show
	bPrompts    = []byte("prompts")
	bEvents     = []byte("events")
	bEffects    = []byte("effects")
	bCards      = []byte("cards")
	bApprovals  = []byte("approvals")
)

// commit is a Ready in the form in which it is stored.
type commit struct {
	id        []byte
	thread    []byte
	record    []byte
	first     uint64  // number of the first event
	text      *[]byte // the events, one a line; of texts
	events    []entry
	large     []large // those of them that are kept as blobs
	draft     []byte  // as JSON, if it changed
	prompts   []item
	cards     []item
	approvals []item
	effects   []item
	done      []string
	audit     []session.AuditRecord
	lived     []session.Lived
	followed  []byte // as JSON, if its pull request is open
	busy      bool   // the session itself says that it is not at rest
}

// texts are for events on their way to the disk.
var texts = sync.Pool{New: func() any { return new([]byte) }}

const (
	usual   = 1 << 10 // bytes of an event
	maxText = 1 << 20 // of texts that are kept
)

// Commit implements session.Store. Besides, a session whose log grew is unpresented until Present says otherwise.
func (db *DB) Commit(ctx context.Context, r session.Ready) error {
	const op = "boltdb.Commit"
	c, err := newCommit(r)
	if err != nil {
		return wrap(op, err)
	}
	defer c.forget()
	release, err := db.shelter(c)
	if err != nil {
		return wrap(op, err)
	}
	defer release()
	return wrap(op, db.update(ctx, func(tx *bbolt.Tx) error { return c.store(tx, db.keys) }))
}

// newCommit encodes r, so that the writer has nothing to do but to put bytes.
func newCommit(r session.Ready) (*commit, error) {
	s := r.Record.Session
	if s.ID == "" {
		return nil, &session.Error{Code: session.Internal, Err: fmt.Errorf("a session without an id")}
	}
	c := &commit{
		id:     []byte(s.ID),
		thread: threadKey(s.Thread),
		done:   r.Done,
		audit:  r.Audit(),
		lived:  r.Lived,
		busy:   !session.State{Session: s}.AtRest(),
	}
	body, err := encode(s)
	if err != nil {
		return nil, err
	}
	if f, ok := s.Follows(); ok {
		if c.followed, err = encode(f); err != nil {
			return nil, err
		}
	}
	c.record = append(number(uint64(s.Updated.UnixMicro())), body...)
	c.events = make([]entry, 0, len(r.Events))
	c.text = texts.Get().(*[]byte)
	*c.text = slices.Grow(*c.text, usual*len(r.Events))
	for i := range r.Events {
		e := &r.Events[i]
		if i == 0 {
			c.first = uint64(e.Seq)
		}
		if want := c.first + uint64(i); uint64(e.Seq) != want {
			return nil, outOfOrder(want, uint64(e.Seq))
		}
		if err := c.event(e); err != nil {
			return nil, err
		}
	}
	if r.Record.Draft != nil {
		if c.draft, err = encode(r.Record.Draft); err != nil {
			return nil, err
		}
	}
	if c.prompts, err = items(r.Record.Prompts, func(p session.Prompt) (string, bool) { return p.ID, p.State.Finished() }); err != nil {
		return nil, err
	}
	if c.cards, err = items(r.Record.Cards, func(c session.Card) (string, bool) { return c.ID, false }); err != nil {
		return nil, err
	}
	if c.approvals, err = items(r.Record.Approvals, func(a session.Approval) (string, bool) { return a.ID, a.State.Finished() }); err != nil {
		return nil, err
	}
	c.effects, err = items(r.Effects, func(e session.Effect) (string, bool) { return e.ID, false })
	return c, err
}

// event encodes an event behind the one before.
func (c *commit) event(e *session.Event) error {
	from := len(*c.text)
	text, err := e.AppendJSON(*c.text)
	if err != nil {
		return &session.Error{Code: session.Internal, Err: err}
	}
	*c.text = append(text, '\n')
	in := entry{from: from, to: len(text)}
	switch size := in.to - from; {
	case size > maxBlob:
		in.apart, err = encode(without(*e, fmt.Sprintf("This entry of the log (%s, %d MiB) was not kept: at most %d MiB are.", e.Kind, size>>20, maxBlob>>20)))
	case size > maxInline:
		c.large = append(c.large, large{at: len(c.events), e: *e, body: text[from:]})
	}
	c.events = append(c.events, in)
	return err
}

// forget gives back where the events were: after their transaction nobody looks there.
func (c *commit) forget() {
	if cap(*c.text) <= maxText {
		*c.text = (*c.text)[:0]
		texts.Put(c.text)
	}
	c.text, c.events, c.large = nil, nil, nil
}

func items[T any](records []T, about func(T) (id string, finished bool)) ([]item, error) {
	out := make([]item, 0, len(records))
	for _, r := range records {
		body, err := encode(r)
		if err != nil {
			return nil, err
		}
		id, finished := about(r)
		out = append(out, item{[]byte(id), finished, body})
	}
	return out, nil
}

func outOfOrder(want, got uint64) error {
	return &session.Error{Code: session.Internal, Err: fmt.Errorf("event %d where %d comes next", got, want)}
}

func (c *commit) store(tx *bbolt.Tx, k keys) error {
	s := tx.Bucket(bSessions).Bucket(c.id)
	if s == nil {
		var err error
		if s, err = c.claim(tx); err != nil {
			return err
		}
	}
	if err := s.Put(kRecord, c.record); err != nil {
		return err
	}
	if err := follow(tx, c.id, c.followed); err != nil {
		return err
	}
	if c.draft != nil {
		if err := tx.Bucket(bDrafts).Put(c.id, c.draft); err != nil {
			return err
		}
	}
	if err := c.appendEvents(tx, s.Bucket(bEvents)); err != nil {
		return err
	}
	prompts, err := shelveAll(s.Bucket(bPrompts), c.prompts)
	if err != nil {
		return err
	}
	approvals, err := shelveAll(s.Bucket(bApprovals), c.approvals)
	if err != nil {
		return err
	}
	if err := k.record(tx, c.audit...); err != nil {
		return err
	}
	if _, err := shelveAll(s.Bucket(bCards), c.cards); err != nil {
		return err
	}
	if err := addLived(tx.Bucket(bMeta), c.lived); err != nil {
		return err
	}
	effects := s.Bucket(bEffects)
	if _, err := shelveAll(effects, c.effects); err != nil {
		return err
	}
	for _, id := range c.done {
		if err := effects.Delete([]byte(id)); err != nil {
			return err
		}
	}
	waiting, err := count(s, prompts, approvals)
	if err != nil {
		return err
	}
	effect, _ := effects.Cursor().First()
	return mark(tx.Bucket(bOpen), c.id, c.busy || waiting || effect != nil)
}

// claim makes the session's bucket and gives it its thread.
func (c *commit) claim(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	if gone := tombstone(tx, session.ID(c.id)); gone != nil {
		return nil, notKept(gone)
	}
	threads := tx.Bucket(bThreads)
	if other := threads.Get(c.thread); other != nil && tombstone(tx, session.ID(other)) == nil {
		return nil, session.Errorf(session.Conflict, "this thread already has a session; please try again")
	}
	if err := threads.Put(c.thread, c.id); err != nil {
		return nil, err
	}
	s, err := tx.Bucket(bSessions).CreateBucket(c.id)
	if err != nil {
		return nil, err
	}
	for _, name := range [][]byte{bPrompts, bEvents, bEffects, bCards, bApprovals} {
		if _, err := s.CreateBucket(name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func shelveAll(shelf *bbolt.Bucket, all []item) (change int, err error) {
	for _, it := range all {
		d, err := shelve(shelf, it)
		if err != nil {
			return 0, err
		}
		change += d
	}
	return change, nil
}

// count adds to the numbers of unfinished prompts and approvals and reports whether there are any.
func count(s *bbolt.Bucket, prompts, approvals int) (bool, error) {
	var p, a uint64
	if old := s.Get(kUnfinished); old != nil {
		p, a = numberOf(old), numberOf(old[8:])
	}
	p, a = p+uint64(prompts), a+uint64(approvals)
	if prompts == 0 && approvals == 0 {
		return p+a > 0, nil
	}
	return p+a > 0, s.Put(kUnfinished, append(number(p), number(a)...))
}

// mark puts a key without a value into a set, or takes it out; what is right already is not written again.
func mark(set *bbolt.Bucket, key []byte, in bool) error {
	switch was := set.Get(key) != nil; {
	case in && !was:
		return set.Put(key, []byte{})
	case !in && was:
		return set.Delete(key)
	}
	return nil
}

func threadKey(t session.Thread) []byte { return join(t.Team, t.Channel, t.TS) }

// keysOf copies the keys of a set.
func keysOf(set *bbolt.Bucket) [][]byte {
	var keys [][]byte
	c := set.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}
