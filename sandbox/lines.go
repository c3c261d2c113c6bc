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
	waits  func()            // called before each read, which may wait; nil: nothing
	buffer *[readBuffer]byte // nil while nothing is there
	at, to int               // of buffer: what is not handed out yet
}

// next returns the next line with its end; a protocolError when it is too long. A last line that was not ended is none. The line is good until
// the call after.
func (l *lines) next() ([]byte, error) {
	var long []byte // the beginning of a line that is longer than the buffer
	for looked := 0; ; {
		rest := l.rest()
		if n := bytes.IndexByte(rest[looked:], '\n') + 1; n > 0 {
			n += looked
			if len(long)+n > link.MaxLine {
				return nil, errLong
			}
			l.at += n
			if long == nil {
				return rest[:n], nil
			}
			return append(long, rest[:n]...), nil
		}
		switch {
		case len(long)+len(rest) > link.MaxLine:
			return nil, errLong
		case len(rest) == readBuffer:
			long = append(long, rest...)
			l.at, l.to = 0, 0
		}
		looked = l.to - l.at
		if err := l.fill(long == nil); err != nil {
			return nil, err
		}
	}
}

var errLong = &protocolError{fmt.Sprintf("The sandbox sent a line of more than %d bytes.", link.MaxLine)}

// rest is what was read and not handed out.
func (l *lines) rest() []byte {
	if l.buffer == nil {
		return nil
	}
	return l.buffer[l.at:l.to]
}

// fill reads what is there behind the rest, at least one byte. idle tells that no line has begun if there is no rest.
func (l *lines) fill(idle bool) error {
	if l.waits != nil {
		l.waits()
	}
	if l.at > 0 {
		l.to = copy(l.buffer[:], l.buffer[l.at:l.to])
		l.at = 0
	}
	var first [1]byte
	n := 0
	var err error
	if idle && l.to == 0 {
		l.release()
		for n == 0 && err == nil {
			n, err = l.r.Read(first[:])
		}
	}
	if l.buffer == nil {
		l.buffer = buffers.Get().(*[readBuffer]byte)
	}
	before := l.to
	l.to += copy(l.buffer[l.to:], first[:n])
	for l.to == before && err == nil {
		n, err = l.r.Read(l.buffer[l.to:])
		l.to += n
	}
	switch {
	case l.to > before: // an error comes again
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
