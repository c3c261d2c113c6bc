package sessiontest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestClockRunsTimersInOrder(t *testing.T) {
	var c Clock
	var got []string
	at := func(d time.Duration, name string) func() bool {
		return c.AfterFunc(d, func() { got = append(got, name+"@"+c.Now().Sub(Epoch).String()) })
	}
	at(3*time.Second, "late")
	at(time.Second, "early")
	at(time.Second, "early too")
	at(10*time.Second, "beyond")
	stop := at(2*time.Second, "stopped")
	c.AfterFunc(time.Second, func() { at(time.Second, "nested") })
	if !stop() {
		t.Error("stop of a waiting timer reported false")
	}
	if stop() {
		t.Error("a second stop reported true")
	}
	if d, ok := c.Next(); !ok || d != time.Second {
		t.Errorf("Next = %v, %v; want 1s", d, ok)
	}
	c.Advance(5 * time.Second)
	want := []string{"early@1s", "early too@1s", "nested@2s", "late@3s"}
	if !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
	if d := c.Now().Sub(Epoch); d != 5*time.Second {
		t.Errorf("the clock shows %v, want 5s", d)
	}
	if d, ok := c.Next(); !ok || d != 5*time.Second {
		t.Errorf("Next = %v, %v; want 5s", d, ok)
	}
}

func TestClockStopInsideATimer(t *testing.T) {
	var c Clock
	var stop func() bool
	ran := false
	c.AfterFunc(time.Second, func() {
		if !stop() {
			t.Error("stop of a timer due later in the same Advance reported false")
		}
	})
	stop = c.AfterFunc(time.Second, func() { ran = true })
	c.Advance(time.Minute)
	if ran {
		t.Error("a stopped timer ran")
	}
	if _, ok := c.Next(); ok {
		t.Error("a timer is left")
	}
}

func TestClockRunsADeadlineThatHasPassed(t *testing.T) {
	var c Clock
	ran := make(chan struct{})
	stop := c.AfterFunc(0, func() { close(ran) })
	<-ran
	if stop() {
		t.Error("stop of a timer that ran reported true")
	}
}

func TestClockWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		waited := false
		go func() {
			c.Wait(2)
			waited = true
		}()
		c.AfterFunc(time.Second, func() {})
		synctest.Wait()
		if waited {
			t.Error("Wait(2) returned with one timer set")
		}
		c.AfterFunc(time.Second, func() {})
		synctest.Wait()
		if !waited {
			t.Error("Wait(2) did not return with two timers set")
		}
	})
}
