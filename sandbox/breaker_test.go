package sandbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"openinspect/session"
)

var (
	errDefect  = session.Errorf(session.Internal, "no such image")
	errPassing = session.Errorf(session.Unavailable, "not now")
)

// tripped is a breaker that has just opened, and what it told the operator.
func tripped(t *testing.T) (*breaker, *[]string) {
	t.Helper()
	var told []string
	b := &breaker{clock: session.SystemClock{}, report: func(err error) { told = append(told, err.Error()) }}
	for range breakerFailures {
		leave, err := b.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave(errDefect)
	}
	if len(told) != 1 || !strings.Contains(told[0], "open: ") || !strings.Contains(told[0], "no such image") {
		t.Fatalf("told %q", told)
	}
	return b, &told
}

// One tries when the time has come. The others wait for what comes of it, and all go on when it succeeds.
func TestBreakerHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, told := tripped(t)
		_, err := b.enter(t.Context())
		later, ok := errors.AsType[*session.Later](err)
		if !ok || !later.At.Equal(time.Now().Add(breakerWindow)) {
			t.Fatalf("%v", err)
		}
		time.Sleep(breakerWindow)
		entered := 0
		leaves := make(chan func(error), 5)
		refused := make(chan error, 5)
		for range 5 {
			go func() {
				leave, err := b.enter(t.Context())
				if err != nil {
					refused <- err
					return
				}
				leaves <- leave
			}()
		}
		synctest.Wait()
		if entered = len(leaves); entered != 1 {
			t.Fatalf("%d try at once", entered)
		}
		(<-leaves)(errDefect) // open again: the four others are put off, and none of them has failed
		synctest.Wait()
		if len(leaves) != 0 || len(refused) != 4 {
			t.Fatalf("%d entered, %d were put off", len(leaves), len(refused))
		}
		for range 4 {
			if _, ok := errors.AsType[*session.Later](<-refused); !ok {
				t.Error("one was refused otherwise")
			}
		}
		time.Sleep(breakerWindow)
		for range 3 {
			go func() {
				leave, err := b.enter(t.Context())
				if err != nil {
					refused <- err
					return
				}
				leaves <- leave
			}()
		}
		synctest.Wait()
		(<-leaves)(errPassing) // says nothing: the next one tries
		synctest.Wait()
		if len(leaves) != 1 {
			t.Fatalf("%d try after an outcome that said nothing", len(leaves))
		}
		(<-leaves)(nil)
		synctest.Wait()
		if len(leaves) != 1 || len(refused) != 0 {
			t.Errorf("%d entered, %d were put off after a success", len(leaves), len(refused))
		}
		(<-leaves)(nil)
		if got := (*told)[len(*told)-1]; len(*told) != 3 || !strings.Contains(got, "closed") {
			t.Errorf("told %q", *told)
		}
	})
}

// A start that was given up while it waited for another's outcome ends at once.
func TestBreakerWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := tripped(t)
		time.Sleep(breakerWindow)
		leave, err := b.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := b.enter(ctx)
			ended <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		leave(nil)
	})
}

// Only failures close together, and the provider's own, open it.
func TestBreakerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{clock: session.SystemClock{}, report: func(err error) { t.Errorf("told %v", err) }}
		for _, err := range []error{errDefect, errDefect, nil, errDefect, errPassing, session.Errorf(session.NotFound, "gone"), errDefect} {
			leave, refused := b.enter(t.Context())
			if refused != nil {
				t.Fatal(refused)
			}
			leave(err)
		}
		time.Sleep(breakerWindow)
		b.note(errDefect)
		b.note(errDefect)
	})
}

// A start that was under way when the breaker opened, and succeeds, closes it.
func TestBreakerLateSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := tripped(t)
		b.note(errDefect) // no news
		b.note(nil)
		if leave, err := b.enter(t.Context()); err != nil {
			t.Error(err)
		} else {
			leave(nil)
		}
	})
}
