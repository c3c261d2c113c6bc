// Package capture takes what a program prints. A pipe has to be read while the program runs, for who knows how long after it has ended, if it left something
// behind that has the pipe open; and who gives up reading may lose what was there. A file is whole at the program's end.
package capture

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Output is what a program prints, or its messages, or both. It is in memory, so that a full disk takes nothing away, and has no name. What a program started
// may write to it even when the program has ended; that is nobody's any more.
type Output struct{ file *os.File }

// New makes an empty one. Whoever does so closes it.
func New() (Output, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return Output{}, os.NewSyscallError("memfd_create", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND); err != nil {
		return Output{}, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	return Output{os.NewFile(uintptr(fd), "output")}, nil
}

// File is cmd.Stdout, cmd.Stderr, or both.
func (o Output) File() *os.File { return o.file }

// Bytes returns what was written so far.
func (o Output) Bytes() ([]byte, error) {
	info, err := o.file.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size())
	n, err := o.file.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// Close forgets it.
func (o Output) Close() error { return o.file.Close() }
