package proc

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that leads a session has what is known of it, and has ended before anybody collects it.
func TestRead(t *testing.T) {
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := cmd.Process.Pid
	p := Read(id)
	if p.Ended() || p.ID != id || p.Parent != os.Getpid() || p.Group != id || p.Session != id || p.Began == "" {
		t.Errorf("%+v", p)
	}
	if !slices.ContainsFunc(All(), func(q Process) bool { return q.ID == id && q.Began == p.Began }) {
		t.Error("it is not among all")
	}
	in.Close()
	if err := unix.Waitid(unix.P_PID, id, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if q := Read(id); !q.Ended() || q.State != 'Z' || q.Began != p.Began {
		t.Errorf("at its end: %+v", q)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if q := Read(id); q.Began == p.Began {
		t.Errorf("collected: %+v", q)
	}
}

func TestParse(t *testing.T) {
	const rest = " 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99 100"
	for stat, want := range map[string]Process{
		"5 (sh) S" + rest:            {5, 'S', 7, 8, 9, "4711"},
		"5 (a) Z 1 (b) \n) T" + rest: {5, 'T', 7, 8, 9, "4711"},
		"5 (sh) S 7 8":               {ID: 5},
		"":                           {ID: 5},
		"5 (sh) Z 7 8 9" + rest[6:]:  {5, 'Z', 7, 8, 9, "4711"},
	} {
		if got := parse(5, []byte(stat)); got != want {
			t.Errorf("%q: %+v", stat, got)
		}
	}
	if (Process{State: 'T'}).Ended() || !(Process{}).Ended() || !(Process{State: 'Z'}).Ended() {
		t.Error("what has ended is not told from what lives")
	}
}
