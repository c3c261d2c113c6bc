package local

import (
	"syscall"
	"testing"
)

// Whatever somebody makes in a sandbox, it can be deleted: paths that are longer than a system call takes, and directories in each other without end.
func TestDeepDirectoriesAreDeleted(t *testing.T) {
	for name, script := range map[string]string{
		"long":  `d=$(printf 'd%.0s' $(seq 200)); for i in $(seq 40); do mkdir $d && cd -P ./$d || exit 1; done; echo x >file; chmod 500 .`,
		"many":  `for i in $(seq 300); do mkdir d && cd -P ./d || exit 1; done; echo x >file; ln -s / root; chmod 500 .`,
		"empty": ``,
	} {
		t.Run(name, func(t *testing.T) {
			h := started(t, config(t, None))
			if out := h.sh(script); out != "" {
				t.Fatal(out)
			}
			var limit syscall.Rlimit
			if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
				t.Fatal(err)
			}
			few := limit
			few.Cur = 200
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
				t.Fatal(err)
			}
			err := h.Destroy(t.Context(), h.h)
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
				t.Fatal(err)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
