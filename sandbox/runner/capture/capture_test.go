package capture

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// All that a program said is there at its end, in its order, however much it is; and its end is not waited for by whatever it leaves behind.
func TestOutput(t *testing.T) {
	o, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for range 2 {
		cmd := exec.Command("sh", "-c", `sleep 1000 & echo out; echo err >&2; head -c 200000 /dev/zero | tr '\0' x; echo`)
		cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = o.File(), o.File(), &syscall.SysProcAttr{Setpgid: true}
		err := cmd.Run()
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Errorf("what it left: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	once := "out\nerr\n" + strings.Repeat("x", 200_000) + "\n"
	if b, err := o.Bytes(); err != nil || string(b) != once+once {
		t.Errorf("%d bytes, which begin %.40q; %v", len(b), b, err)
	}
}

// Of much that was printed the end can be had; all of it only up to a limit.
func TestLimit(t *testing.T) {
	o, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if b, err := o.Tail(4); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
	if err := o.File().Truncate(Limit - 3); err != nil { // it has holes, and takes no memory
		t.Fatal(err)
	}
	for _, want := range []error{nil, ErrLimit} {
		if _, err := o.File().WriteString("end"); err != nil {
			t.Fatal(err)
		}
		if b, err := o.Tail(4); err != nil || len(b) != 4 || !strings.HasSuffix(string(b), "end") {
			t.Errorf("%q, %v", b, err)
		}
		if b, err := o.Bytes(); err != want || err == nil && len(b) != Limit {
			t.Errorf("%d bytes, %v; want %v", len(b), err, want)
		}
	}
}

// Whoever still has it when it is closed writes nothing more, and has nothing of what was there, also if that was mapped.
func TestClose(t *testing.T) {
	o, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.File().Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	left, err := unix.Dup(int(o.File().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(left)
	mapped, err := unix.Mmap(left, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mapped) }()
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if _, err := unix.Write(left, []byte("late")); err != unix.EPERM {
		t.Errorf("a write: %v", err)
	}
	if err := unix.Ftruncate(left, 1<<20); err != unix.EPERM {
		t.Errorf("growing: %v", err)
	}
	if err := unix.Fallocate(left, unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20); err == nil {
		t.Error("memory could be had without growing")
	}
	var st unix.Stat_t
	if err := unix.Fstat(left, &st); err != nil || st.Size != 0 || st.Blocks != 0 {
		t.Errorf("%d bytes in %d blocks are left, %v", st.Size, st.Blocks, err)
	}
}
