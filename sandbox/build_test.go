package sandbox_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// A build that hangs is ended; one that the bot's end cuts off is begun anew, once.
func TestStaleBuilds(t *testing.T) {
	y := newYard(t)
	if _, err := y.Build(y.ctx, repo, sessiontest.Ada); err != nil {
		t.Fatal(err)
	}
	start := y.begun("")
	y.until(session.BuildGoesOn)
	y.clock.advance(75 * time.Minute)
	if p := y.until(session.BuildFailed); p.Reason != "It took longer than 75 minutes, and was ended." {
		t.Errorf("got %+v", p)
	}
	<-y.told
	y.clean()

	if _, err := y.Build(y.ctx, repo, sessiontest.Ada); err != nil {
		t.Fatal(err)
	}
	start = y.begun(start)
	cut := y.spares()[0]
	y.restart("1")
	start = y.begun(start)
	if all := y.spares(); len(all) != 1 || all[0].ID == cut.ID {
		t.Errorf("left of the one before: %v", all)
	}
	y.restart("1")
	if p := y.until(session.BuildFailed); !strings.Contains(p.Reason, "cut off twice") {
		t.Errorf("got %+v", p)
	}
	if told := <-y.told; len(told.Asked) != 1 {
		t.Errorf("told %+v", told)
	}
	y.clean()
	if start != y.runner.Boot().Start {
		t.Error("it was begun a third time")
	}
}

// What fails at a commit is tried some times, half an hour apart, and then waits for the branch to move: it costs a sandbox each time.
func TestFailingBuildIsGivenUp(t *testing.T) {
	y := newYard(t)
	y.provider.Fail("Create", session.Errorf(session.Unavailable, "There is no room."))
	y.switched(true)
	fails := func(times int) {
		t.Helper()
		for range times {
			before := y.record().Failed
			y.later()
			eventually(y.bench, "it has failed again", func() bool { p := y.record(); return p.State == session.BuildFailed && p.Failed.After(before) })
		}
	}
	y.until(session.BuildFailed)
	fails(4)
	y.provider.Fail("Create", session.Errorf(session.Internal, "It cannot be made."))
	fails(3)
	n := y.provider.Calls("Create")
	y.later()
	y.later()
	if again := y.provider.Calls("Create"); again != n {
		t.Errorf("%d builds more", again-n)
	}
	y.provider.Fail("Create", nil)
	y.tips.move(repo, "bbb2", nil)
	y.later()
	start := y.begun("")
	p := y.ready()

	// Another bot, with which setup.sh fails: the image of the one before is still good, and still not of this one.
	y.restart("2")
	start = y.begun(start)
	y.runner.Tell(phase(session.PhaseSetup, session.StepFailed))
	y.until(session.BuildFailed)
	y.later()
	y.later()
	if again := y.provider.Calls("Create"); again != n+2 || y.runner.Boot().Start != start {
		t.Errorf("%d builds more", again-n)
	}
	if now := y.record(); now.Image != p.Image || !now.Good() {
		t.Errorf("got %+v", now)
	}
}

// Builds that came to their end do not count as tries of one that the bot's end cuts off; one that is cut off twice waits for the branch to move.
func TestBuildIsCutOffAfterOthers(t *testing.T) {
	y := newYard(t)
	y.switched(true)
	start := y.begun("")
	y.ready()
	for _, commit := range []string{"bbb2", "ccc3"} {
		y.tips.move(repo, commit, nil)
		y.later()
		start = y.begun(start)
		y.runner.Claim(func(st *link.Status) { st.Head = commit })
		y.ready()
		eventually(y.bench, "it is there", func() bool { return y.record().Commit == commit })
	}
	y.tips.move(repo, "ddd4", nil)
	y.later()
	start = y.begun(start)
	y.restart("1")
	start = y.begun(start) // once more
	y.restart("1")
	if p := y.until(session.BuildFailed); !strings.Contains(p.Reason, "cut off twice") {
		t.Errorf("got %+v", p)
	}
	n := y.provider.Calls("Create")
	y.later()
	if again := y.provider.Calls("Create"); again != n || y.runner.Boot().Start != start {
		t.Errorf("%d builds more", again-n)
	}
}

// Whoever switches an image off and on again in the middle of a build hears how the one ended that began then, and not of the one that was cut off.
func TestSwitchedOffAndOnAgain(t *testing.T) {
	y := newYard(t)
	y.switched(true)
	start := y.begun("")
	y.until(session.BuildGoesOn)
	y.switched(false)
	y.switched(true)
	y.begun(start)
	p := y.ready()
	if told := <-y.told; told.State != session.BuildDone || told.Image != p.Image || len(told.Asked) != 1 {
		t.Errorf("told %+v", told)
	}
}

// Nor does one leave a trace that was cut off before it had begun.
func TestSwitchedOffBeforeItBegan(t *testing.T) {
	y := newYard(t)
	asked, once := make(chan bool), sync.Once{}
	y.tips.waits = func(ctx context.Context) (err error) {
		once.Do(func() {
			close(asked)
			<-ctx.Done()
			err = ctx.Err()
		})
		return err
	}
	y.switched(true)
	<-asked
	y.switched(false)
	y.switched(true)
	y.begun("")
	y.ready()
	if told := <-y.told; told.State != session.BuildDone {
		t.Errorf("told %+v", told)
	}
}

// Whoever waits for a build that somebody else switches off hears that.
func TestWhoWaitsHearsOfTheSwitch(t *testing.T) {
	y := newYard(t)
	for _, by := range []session.Person{sessiontest.Ada, sessiontest.Bob} {
		if _, err := y.Build(y.ctx, repo, by); err != nil {
			t.Fatal(err)
		}
	}
	y.begun("")
	y.until(session.BuildGoesOn)
	y.switched(false)
	told := <-y.told
	if told.State != session.BuildFailed || !strings.Contains(told.Reason, "Ada") || len(told.Asked) != 1 || told.Asked[0].Slack != sessiontest.Bob.Slack {
		t.Errorf("told %+v", told)
	}
	eventually(y.bench, "nobody waits any more", func() bool { return len(y.record().Asked) == 0 })
	y.clean()
}
