package capture

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
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
