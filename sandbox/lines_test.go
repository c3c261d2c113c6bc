package sandbox

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// TestLines: lines come whole, however the bytes come; a last one without its end is none.
func TestLines(t *testing.T) {
	long := strings.Repeat("x", readBuffer+10)
	text := "a\n\nbc\n" + long + "\nd\n" + "half"
	want := []string{"a\n", "\n", "bc\n", long + "\n", "d\n"}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader, "with the error": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			l := &lines{r: wrap(strings.NewReader(text))}
			for _, w := range want {
				got, err := l.next()
				if err != nil || string(got) != w {
					t.Fatalf("%d bytes, %v; want %d", len(got), err, len(w))
				}
			}
			if got, err := l.next(); session.CodeOf(err) != session.Unavailable || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%q, %v", got, err)
			}
		})
	}
}

// TestLinesWaitWithoutBuffer: a reader whose runner says nothing holds no buffer.
func TestLinesWaitWithoutBuffer(t *testing.T) {
	var l *lines
	reads := 0
	l = &lines{r: readerFunc(func(p []byte) (int, error) {
		if reads++; len(p) == 1 && l.buffer != nil {
			t.Error("a buffer is held")
		}
		if reads == 5 {
			return 0, io.EOF
		}
		return copy(p, "ab\n"[reads%3:]), nil
	})}
	for {
		if _, err := l.next(); err != nil {
			break
		}
	}
	if reads != 5 {
		t.Errorf("%d reads", reads)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestLineTooLong: a line of the limit is taken, one more byte is a strike, without its end too.
func TestLineTooLong(t *testing.T) {
	fits := strings.Repeat("x", link.MaxLine-1) + "\n"
	if got, err := (&lines{r: strings.NewReader(fits)}).next(); err != nil || len(got) != link.MaxLine {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	for _, text := range []string{"x" + fits, strings.Repeat("x", 2*link.MaxLine)} {
		if _, err := (&lines{r: strings.NewReader(text)}).next(); !isStrike(err) {
			t.Errorf("a line of %d: %v", len(text), err)
		}
	}
}

func isStrike(err error) bool { _, ok := errors.AsType[*protocolError](err); return ok }
