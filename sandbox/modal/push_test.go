package modal

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"openinspect/session"
)

// What sandboxes could not run is told before there is one.
func TestRunnerThatCannotBe(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text, other := filepath.Join(dir, "text"), filepath.Join(dir, "other")
	binary.LittleEndian.PutUint16(program[18:], uint16(elf.EM_AARCH64)) // e_machine
	if err := errors.Join(os.WriteFile(text, []byte("#!/bin/sh\n"), 0o700), os.WriteFile(other, program, 0o700)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "cannot be read", dir: "is not an executable for Linux", text: "is not an executable for Linux",
		other: "is for another processor (EM_AARCH64)", shell: "is not openinspect", own: "",
	} {
		r := runner{path: path}
		_, err := r.hash()
		if want == "" && err == nil {
			err = r.close()
		}
		if said := session.Sentence(err); (want == "") != (err == nil) || !strings.Contains(said, want) || want != "" && (session.CodeOf(err) != session.Invalid || !strings.Contains(said, path+", "+want+". Set INSPECT_RUNNER to a build of")) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
