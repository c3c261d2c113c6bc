package weblite

import (
	"bufio"
	"net"
	"net/http"
)

// Buffers of a socket. A reader of the log sends only control frames; a message that is larger than its buffer goes past it.
const (
	slimRead  = 512
	slimWrite = 2 << 10
)

// slim gives a connection that is hijacked small buffers for those of net/http, 8 KiB that an idle page would keep as long as it is open.
type slim struct{ http.ResponseWriter }

func (w *slim) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker.
func (w *slim) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, large, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil || large.Reader.Buffered() > 0 { // somebody spoke before he was answered: what he said is in there
		return conn, large, err
	}
	return conn, bufio.NewReadWriter(bufio.NewReaderSize(conn, slimRead), bufio.NewWriterSize(conn, slimWrite)), nil
}
