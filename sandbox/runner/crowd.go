package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"openinspect/sandbox/runner/proc"
	"openinspect/session"
)

// crowdLook is how often processes are counted where the kernel does not.
const crowdLook = time.Second

// errCrowded cancels a turn whose programs had too many processes.
var errCrowded = errors.New("too many processes")

func (r *runner) crowdWords() string {
	return fmt.Sprintf("Programs in the sandbox had too many processes at once (there may be %d), so all of them were ended.", r.cfg.Boot.Processes)
}

// guard looks for a crowd, until ctx ends, where the kernel does not hold programs to their limit.
func (r *runner) guard(ctx context.Context) {
	if r.cfg.Boot.Processes < 1 || r.cfg.Boot.Bounded {
		return
	}
	var look func()
	look = func() {
		if ctx.Err() != nil {
			return
		}
		if r.crowded() && !r.disperse() && r.atRest() {
			r.tell(session.Event{Kind: session.KindError, Error: &session.Failure{Code: session.Conflict, Message: r.crowdWords()}})
		}
		r.cfg.Clock.AfterFunc(crowdLook, look)
	}
	r.cfg.Clock.AfterFunc(crowdLook, look)
}

// crowded reports whether programs have as many processes as they may, or, where the kernel counts, so many that hardly any can be begun: it counts
// threads, too, those of the runner with them.
func (r *runner) crowded() bool {
	n := r.cfg.Boot.Processes
	if r.cfg.Boot.Bounded {
		n /= 2
	}
	return n > 0 && len(r.others()) >= n
}

// others lists the processes of the sandbox but the runner and process 1, whose end would be the runner's.
func (r *runner) others() []int {
	if !r.cfg.Boot.Alone {
		return nil
	}
	return slices.DeleteFunc(proc.IDs(), func(pid int) bool { return pid == 1 || pid == os.Getpid() })
}

// atRest reports whether the crowd is nobody's that runs now, who would tell of it.
func (r *runner) atRest() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phaseNow == session.PhaseReady && r.running == nil
}

// disperse ends every process but the runner, the agent's with them: it is started anew for the next turn. A script that runs fails, and so does a
// turn; it reports whether there was one, or another call has done all that. Whoever finds its processes ended that way calls it, too, and so waits for
// the other, which could go on to end what is begun next.
func (r *runner) disperse() bool {
	r.dispersing.Lock()
	defer r.dispersing.Unlock()
	if !r.crowded() {
		return true
	}
	r.dispersed.Add(1)
	r.mu.Lock()
	t := r.running
	r.mu.Unlock()
	if t != nil {
		t.stop(errCrowded)
	}
	// Who is stopped makes no more of them, whatever it is that makes them. So all are stopped, until there is none that is not, and then killed.
	stopped := map[int]bool{}
	for {
		n := len(stopped)
		for _, pid := range r.others() {
			if !stopped[pid] {
				stopped[pid] = true
				_ = unix.Kill(pid, unix.SIGSTOP) // it may have ended
			}
		}
		if len(stopped) == n {
			break
		}
	}
	for pid := range stopped {
		_ = unix.Kill(pid, unix.SIGKILL) // likewise
	}
	// They count until somebody has collected them.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < killLimit; <-tick.C {
		if !slices.ContainsFunc(r.others(), func(pid int) bool { return stopped[pid] }) {
			break
		}
	}
	return t != nil
}
