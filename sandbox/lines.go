package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// readBuffer is how much of a journal is read at once.
const readBuffer = 64 << 10

// buffers are those of readers that have nothing to read.
var buffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// lines reads a journal line by line. While it waits for a line to begin it holds no buffer: of a thousand links nearly all wait.
type lines struct {
	r      io.Reader
	buffer *[readBuffer]byte // nil while nothing is there
	at, to int               // of buffer: what is not handed out yet
}

// next returns the next line with its end; a strike when it is too long. A last line that was not ended is none. The line is good until
// the call after.
func (l *lines) next() ([]byte, error) {
	var long []byte
	for {
		if l.at == l.to {
			if err := l.fill(long == nil); err != nil {
				return nil, err
			}
		}
		rest := l.buffer[l.at:l.to]
		n := bytes.IndexByte(rest, '\n') + 1
		ended := n > 0
		if !ended {
			n = len(rest)
		}
		if len(long)+n > link.MaxLine {
			return nil, &strike{fmt.Sprintf("The sandbox sent a line of more than %d bytes.", link.MaxLine)}
		}
		l.at += n
		if ended && long == nil {
			return rest[:n], nil
		}
		if long = append(long, rest[:n]...); ended {
			return long, nil
		}
	}
}

// fill reads what is there, at least one byte. idle tells that no line has begun.
func (l *lines) fill(idle bool) error {
	l.at, l.to = 0, 0
	var first [1]byte
	n := 0
	var err error
	if idle {
		l.release()
		for n == 0 && err == nil {
			n, err = l.r.Read(first[:])
		}
	}
	if l.buffer == nil {
		l.buffer = buffers.Get().(*[readBuffer]byte)
	}
	l.to = copy(l.buffer[:], first[:n])
	for l.to == 0 && err == nil {
		l.to, err = l.r.Read(l.buffer[:])
	}
	switch {
	case l.to > 0: // an error comes again
		return nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return &session.Error{Code: session.Unavailable, Op: "sandbox.follow", Err: err}
}

// release gives the buffer back, and with it the newest line.
func (l *lines) release() {
	if l.buffer != nil {
		buffers.Put(l.buffer)
		l.buffer = nil
	}
}
