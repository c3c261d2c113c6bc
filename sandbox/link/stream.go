package link

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"net/http"

	"openinspect/session"
)

// Stream makes one call whose answer goes on for as long as the link does, or one that is seldom made, on a stream of its own: what a pool keeps for a connection, two
// goroutines and their buffers, is most of an idle link's memory. The request has no body. Its context ends the answer.
func (l *Link) Stream(req *http.Request) (*http.Response, error) {
	c, err := l.open()
	if err != nil {
		return nil, &session.Error{Code: session.Unavailable, Op: "link.Stream", Err: err}
	}
	stop := context.AfterFunc(req.Context(), func() { c.Close() })
	head := &io.LimitedReader{R: c, N: maxHeader}
	err = req.Write(c)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(bufio.NewReaderSize(head, 1<<10), req)
	}
	if err != nil {
		stop()
		c.Close()
		return nil, &session.Error{Code: session.Unavailable, Op: "link.Stream", Err: err}
	}
	head.N = math.MaxInt64
	resp.Body = &streamed{resp.Body, c, stop}
	return resp, nil
}

// streamed is an answer's body, with which its stream ends.
type streamed struct {
	io.Reader
	c    net.Conn
	stop func() bool
}

func (s *streamed) Close() error {
	s.stop()
	return s.c.Close()
}
