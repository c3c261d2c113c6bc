package session

import (
	"context"
	"sync"
)

// feedBuffer is how many items a reader may lag behind before it is closed.
const feedBuffer = 64

// historyPage is how many stored events a feed reads at a time.
const historyPage = 500

// Item is what a Feed delivers: committed events in order, or one live delta.
type Item struct {
	Events []Event
	Delta  *Delta
}

// ErrSlow ends a feed whose reader fell too far behind. It resumes by subscribing again after the last number it has.
var ErrSlow = &Error{Code: Unavailable, Op: "session.Feed", Message: "This reader fell too far behind; read on from the last event it has."}

// ErrStopped tells that the hub has stopped.
var ErrStopped = &Error{Code: Unavailable, Op: "session", Message: "The bot is stopping; please try again in a moment."}

// Feed is one reader's subscription to a session's log: what is stored after a number, then what comes, without gap or repeat.
type Feed struct {
	log   *log
	store Store
	id    ID
	last  int64         // newest number delivered
	until int64         // history is read from the store up to here
	wake  chan struct{} // has room for one signal: queue or err has changed

	// Guarded by log.mu.
	queue []Item
	err   error // why nothing more comes
}

// Next blocks for the next item. It returns ErrSlow, ErrStopped, ctx's error or the store's.
func (f *Feed) Next(ctx context.Context) (Item, error) {
	if f.last < f.until {
		events, err := f.store.Events(ctx, f.id, f.last, historyPage)
		if err != nil {
			return Item{}, Wrap("session.Feed.Next", err)
		}
		if len(events) > 0 {
			f.last = events[len(events)-1].Seq
			return Item{Events: events}, nil
		}
		f.until = f.last
	}
	for {
		item, err := f.log.pop(f)
		switch {
		case err != nil:
			return Item{}, err
		case item.Delta != nil:
			return item, nil
		case item.Events == nil:
			select {
			case <-f.wake:
			case <-ctx.Done():
				return Item{}, ctx.Err()
			}
			continue
		}
		// A page of history may have read past the moment of subscription.
		for len(item.Events) > 0 && item.Events[0].Seq <= f.last {
			item.Events = item.Events[1:]
		}
		if len(item.Events) == 0 {
			continue
		}
		f.last = item.Events[len(item.Events)-1].Seq
		return item, nil
	}
}

// Last returns the number of the newest event delivered.
func (f *Feed) Last() int64 { return f.last }

// Close ends the subscription. It may be called more than once.
func (f *Feed) Close() {
	f.log.drop(f, ErrStopped)
	if f.log.released != nil {
		f.log.released()
	}
}

// log is the live end of one session's log: the readers that follow it.
type log struct {
	released func() // called after a feed was closed by its reader

	mu    sync.Mutex
	seq   int64 // newest published
	feeds map[*Feed]bool
}

// reached tells the log of a number that is known to be stored.
func (l *log) reached(seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq = max(l.seq, seq)
}

func (l *log) readers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.feeds)
}

func (l *log) subscribe(store Store, id ID, after int64) *Feed {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &Feed{log: l, store: store, id: id, last: after, until: l.seq, wake: make(chan struct{}, 1)}
	if l.feeds == nil {
		l.feeds = map[*Feed]bool{}
	}
	l.feeds[f] = true
	return f
}

// publish hands an item to every reader. One that cannot take it is closed, never waited for; a delta it cannot take is left out.
func (l *log) publish(item Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(item.Events); n > 0 {
		l.seq = item.Events[n-1].Seq
	}
	for f := range l.feeds {
		switch {
		case len(f.queue) < feedBuffer:
			f.queue = append(f.queue, item)
			f.signal()
		case item.Delta == nil:
			l.end(f, ErrSlow)
		}
	}
}

// pop takes the oldest item of a reader's queue; the zero Item when there is none, why it was closed when there never will be.
func (l *log) pop(f *Feed) (Item, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(f.queue) == 0 {
		f.queue = nil
		return Item{}, f.err
	}
	item := f.queue[0]
	f.queue[0] = Item{}
	f.queue = f.queue[1:]
	return item, nil
}

func (f *Feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (l *log) drop(f *Feed, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(f, why)
}

func (l *log) end(f *Feed, why error) {
	if l.feeds[f] {
		delete(l.feeds, f)
		f.err = why
		f.signal()
	}
}

func (l *log) endAll(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.feeds {
		l.end(f, why)
	}
}
