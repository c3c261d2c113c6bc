// Package capture takes what a program prints. A pipe has to be read while the program runs, for who knows how long after it has ended, if it left something
// behind that has the pipe open; and who gives up reading may lose what was there. A file is whole at the program's end.
package capture

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Limit is how many bytes Bytes returns at most.
const Limit = 64 << 20

// ErrLimit tells that a program printed more than that.
var ErrLimit = fmt.Errorf("it printed more than %d MiB", Limit>>20)

// Output is what a program prints, or its messages, or both. It is in memory, so that a full disk takes nothing away, and has no name. What a program started
// may write to it even when the program has ended, until it is closed.
type Output struct{ file *os.File }

// New makes an empty one. Whoever does so closes it.
func New() (Output, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL) // which implies that it can be sealed
	if errors.Is(err, unix.EINVAL) {                                             // it is of Linux 6.3
		fd, err = unix.MemfdCreate("output", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
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

// Bytes returns what was written so far; ErrLimit if that is too much.
func (o Output) Bytes() ([]byte, error) {
	size, err := o.size()
	if err == nil && size > Limit {
		err = ErrLimit
	}
	if err != nil {
		return nil, err
	}
	return o.read(0, size)
}

// Tail returns the last n bytes of what was written so far, or all if there are fewer.
func (o Output) Tail(n int64) ([]byte, error) {
	size, err := o.size()
	if err != nil {
		return nil, err
	}
	return o.read(max(0, size-n), size)
}

func (o Output) size() (int64, error) {
	info, err := o.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (o Output) read(from, to int64) ([]byte, error) {
	b := make([]byte, to-from)
	n, err := o.file.ReadAt(b, from)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// Close forgets it, also where something that the program left has it open and goes on printing: that fails from then on, and takes no memory that nobody
// sees. First it can grow no more, then it has nothing; F_SEAL_WRITE would add nothing to that, and is refused where somebody has mapped the file.
func (o Output) Close() error {
	_, err := unix.FcntlInt(o.file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_GROW)
	return errors.Join(os.NewSyscallError("fcntl", err), o.file.Truncate(0), o.file.Close())
}
