package sandbox_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"openinspect/session"
)

// left is a runner of which a line was read before the bot ended. What it tells next is in its journal.
func left(t *testing.T) (*bench, session.Cursor) {
	t.Helper()
	b := attached(t)
	b.runner.Tell(text("read"))
	_, at := b.texts(1)
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	return b, at
}

// again is the next bot, which reads on from a place.
func (b *bench) again(start string, at session.Cursor) {
	b.t.Helper()
	b.Manager = b.manager()
	if err := b.Attach(b.ctx, b.request(start, at), b.send); err != nil {
		b.t.Fatal(err)
	}
}

// A runner that dies leaves lines that nobody has read. Its successor hands them out first, marked as what they are.
func TestEarlierJournal(t *testing.T) {
	b := attached(t)
	b.runner.Tell(text("read"))
	_, at := b.texts(1)
	if err := b.Close(b.ctx); err != nil { // the bot is away
		t.Fatal(err)
	}
	b.runner.Tell(text("unread"))
	b.start("s2")
	b.runner.Tell(text("of the next, unread too"))
	b.start("s3")
	b.runner.Tell(text("new"))
	b.again("s3", at)
	for i, want := range []string{"unread", "of the next, unread too", "new"} {
		j := next[session.Journaled](b)
		if len(j.Events) != 1 || j.Events[0].Text.Text != want || j.Start != "s3" || j.Earlier != (i < 2) || !strings.HasPrefix(j.Cursor.Journal, fmt.Sprintf("s%d-", i+1)) {
			t.Errorf("got %+v, want %s", j, want)
		}
	}
}

// However bot and runner die, every line comes once and in order.
func TestEarlierJournalsLoseNothing(t *testing.T) {
	b := attached(t)
	random := rand.New(rand.NewPCG(3, 5))
	told, read, start := 0, 0, 1
	at := session.Cursor{}
	take := func() {
		t.Helper()
		for read < told {
			j := next[session.Journaled](b)
			for _, e := range j.Events {
				if e.Text.Text != fmt.Sprint(read) {
					t.Fatalf("line %s came, not %d", e.Text.Text, read)
				}
				read++
			}
			if own := strings.HasPrefix(j.Cursor.Journal, fmt.Sprintf("s%d-", start)); own == j.Earlier {
				t.Fatalf("%v is marked earlier: %v, at start %d", j.Cursor, j.Earlier, start)
			}
			at = j.Cursor
		}
	}
	tell := func() {
		for range random.IntN(5) {
			b.runner.Tell(text(fmt.Sprint(told)))
			told++
		}
	}
	for range 60 {
		tell()
		take()
		if err := b.Close(b.ctx); err != nil {
			t.Fatal(err)
		}
		for range random.IntN(4) { // runners that live and die while the bot is away
			tell()
			start++
			b.start(fmt.Sprintf("s%d", start))
		}
		tell()
		b.again(fmt.Sprintf("s%d", start), at)
	}
	take()
	if read < 200 {
		t.Errorf("only %d lines were told", read)
	}
}

// A damaged journal of a runner that is dead is given up, once and with a word, and does not stand before the living.
func TestDamagedEarlierJournal(t *testing.T) {
	b, at := left(t)
	b.runner.Tell(text("whole"))
	b.runner.Raw(`{"n":7`)
	b.runner.Tell(text("after the damage"))
	b.start("s2")
	b.runner.Tell(text("new"))
	b.again("s2", at)
	if j := next[session.Journaled](b); !j.Earlier || len(j.Events) != 1 || j.Events[0].Text == nil || j.Cursor.N != 2 {
		t.Errorf("got %+v", j)
	}
	j := next[session.Journaled](b)
	if !j.Earlier || len(j.Events) != 1 || j.Events[0].Error == nil || !strings.Contains(j.Events[0].Error.Message, "is lost") || j.Cursor.N != 0 || !strings.HasPrefix(j.Cursor.Journal, "s2-") {
		t.Errorf("got %+v", j)
	}
	if got, _ := b.texts(1); got[0] != "new" {
		t.Errorf("got %v", got)
	}
	if n := b.runner.Dials(); n != 2 {
		t.Errorf("%d links", n)
	}
}

// A disk that refuses the rest of an old journal does not make it lost.
func TestRefusedEarlierJournalComesAgain(t *testing.T) {
	b, at := left(t)
	b.runner.Tell(text("whole"))
	b.runner.Raw(`damaged`)
	b.start("s2")
	refusals := 0
	b.refusing(func(in session.Input) error {
		if refusals++; refusals < 3 {
			return session.Errorf(session.Unavailable, "disk full")
		}
		return nil
	})
	b.again("s2", at)
	if got, at := b.texts(1); got[0] != "whole" || at.N != 2 {
		t.Errorf("got %v at %v", got, at)
	}
	if j := next[session.Journaled](b); j.Events[0].Error == nil {
		t.Errorf("got %+v", j)
	}
}
