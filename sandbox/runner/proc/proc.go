// Package proc reads the kernel's table of processes.
package proc

import (
	"bytes"
	"os"
	"strconv"
)

// Process is what is read of one, of /proc/PID/stat: proc_pid_stat(5).
type Process struct {
	ID      int
	State   byte // R, S, T, …
	Parent  int
	Group   int
	Session int
	Began   string // in clock ticks since the computer started; with it a process is told from another that has its id later
}

// Ended reports whether there is no such process, or only what is left of it until its parent asks how it ended.
func (p Process) Ended() bool { return p.State == 0 || p.State == 'Z' || p.State == 'X' }

// Read returns the process with an id, one that has ended and nothing else if there is none.
func Read(id int) Process {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(id) + "/stat")
	if err != nil {
		return Process{ID: id}
	}
	return parse(id, b)
}

// parse reads "id (name) state parent group session …". The name may hold anything, a parenthesis too.
func parse(id int, stat []byte) Process {
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 20 {
		return Process{ID: id}
	}
	p := Process{ID: id, State: f[0][0], Began: string(f[19])}
	for i, n := range []*int{&p.Parent, &p.Group, &p.Session} {
		*n, _ = strconv.Atoi(string(f[i+1])) // the kernel writes numbers
	}
	return p
}

// IDs lists the ids of all processes; none where the table cannot be read.
func IDs() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what there is of them
	var ids []int
	for _, name := range names {
		if id, err := strconv.Atoi(name); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// All lists all processes, also those that have ended and not been collected. It is no picture of one moment: they begin and end meanwhile.
func All() []Process {
	var all []Process
	for _, id := range IDs() {
		if p := Read(id); p.State != 0 {
			all = append(all, p)
		}
	}
	return all
}
