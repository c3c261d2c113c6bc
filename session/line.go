package session

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"
)

// line is who has a sandbox and who waits for one, of all sessions together. It counts nothing: it keeps what was committed last of each
// session that has a sandbox or waits, and looks at that whenever something is to be decided. After a restart the store tells it the same.
type line struct {
	room int // sandboxes that may live at once; 0: any number

	mu      sync.Mutex
	seats   map[ID]seat
	asking  map[ID]bool // sessions in the middle of a step that was told there is room
	waiting []waiter    // first come, first served
	changed chan struct{}
}

// seat is a sandbox that takes room.
type seat struct {
	since   time.Time // when it began to live
	idle    bool
	idleAt  time.Time // when it is put away anyway: the earlier, the longer it is idle already
	leaving bool      // it is being put away
}

// waiter is a session in line.
type waiter struct {
	id    ID
	asked time.Time
	place int // as it was told
}

func newLine(room int) *line {
	return &line{room: room, seats: map[ID]seat{}, asking: map[ID]bool{}, changed: make(chan struct{}, 1)}
}

// note takes what was committed last of a session.
func (l *line) note(s Session) {
	if l.room == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := s.Sandbox
	was, taken := l.seats[s.ID]
	changed := l.asking[s.ID]
	delete(l.asking, s.ID)
	if b.Occupied() {
		is := seat{
			since: b.Since, idle: b.State == SandboxReady && s.Turn == nil && !b.Kept, idleAt: s.IdleAt,
			leaving: b.State == SandboxSnapshotting || b.State == SandboxFailed,
		}
		l.seats[s.ID] = is
		changed = changed || is != was
	} else {
		delete(l.seats, s.ID)
		changed = changed || taken
	}
	i := l.index(s.ID)
	switch waits := b.State == SandboxPending; {
	case waits && i < 0:
		l.waiting = append(l.waiting, waiter{s.ID, b.Asked, b.Place})
	case waits:
		l.waiting[i].place = b.Place
	case i >= 0:
		l.waiting = slices.Delete(l.waiting, i, i+1)
	case !changed:
		return // as most commits: nothing of it concerns the line
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// sort puts those who waited already when the bot started into the order in which they came.
func (l *line) sort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortFunc(l.waiting, func(a, b waiter) int { return cmp.Or(a.asked.Compare(b.asked), cmp.Compare(a.id, b.id)) })
}

func (l *line) index(id ID) int {
	return slices.IndexFunc(l.waiting, func(w waiter) bool { return w.id == id })
}

// skip takes a session out of the line that cannot be told anything, until it is noted again. A sandbox that it has keeps its room.
func (l *line) skip(id ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asking, id)
	if s, ok := l.seats[id]; ok {
		s.idle = false
		l.seats[id] = s
	}
	if i := l.index(id); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
}

// look tells the terms of a session's next step. Room that it is told of stays free for it until the step is noted.
func (l *line) look(id ID) Terms {
	if l.room == 0 {
		return Terms{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, taken := l.seats[id]
	others := len(l.seats) + len(l.asking)
	if taken {
		others--
	}
	// Whoever comes now comes after those who wait.
	t := Terms{Full: len(l.waiting) > 0 || others >= l.room, Place: len(l.waiting) + 1}
	if !t.Full && !taken {
		l.asking[id] = true
	}
	if len(l.waiting) > 0 {
		if served := l.coming(); served < len(l.waiting) {
			t.Since = l.waiting[served].asked
		}
	}
	return t
}

// free returns for how many there is room when everybody has a sandbox who has, or waits for, one.
func (l *line) free() int {
	if l.room == 0 {
		return math.MaxInt
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.room-len(l.seats)-len(l.asking)-len(l.waiting))
}

// coming returns for how many there is room, or soon will be: sandboxes that leave, and idle ones, which will be told to.
func (l *line) coming() int {
	n := l.room - len(l.seats)
	for _, s := range l.seats {
		if s.leaving || s.idle {
			n++
		}
	}
	return max(0, n)
}

// next returns what the line has to tell a session now; false if nothing.
func (l *line) next() (ID, Input, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 && len(l.seats)+len(l.asking) < l.room {
		return l.waiting[0].id, RoomGranted{}, true
	}
	staying, idle := 0, ID("")
	for id, s := range l.seats {
		if s.leaving {
			continue
		}
		staying++
		if s.idle && (idle == "" || cmp.Or(s.idleAt.Compare(l.seats[idle].idleAt), cmp.Compare(id, idle)) < 0) {
			idle = id
		}
	}
	if idle != "" && staying+len(l.waiting) > l.room {
		return idle, RoomNeeded{}, true
	}
	for i, w := range l.waiting {
		if w.place != i+1 {
			return w.id, Moved{Place: i + 1}, true
		}
	}
	return "", nil, false
}

// lived returns how long the sandboxes that live have done so on the day of now.
func (l *line) lived(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum time.Duration
	for _, s := range l.seats {
		for _, d := range lived(s.since, now) {
			if d.Day == dayOf(now) {
				sum += d.For
			}
		}
	}
	return sum
}
