package link

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/hashicorp/yamux"

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

// streams are those that Stream has open. yamux keeps for each as much memory as the largest backlog that it ever had, up to its window, which would be with
// the link for as long as that stands.
type streams struct {
	of  *yamux.Session
	mu  sync.Mutex
	all []*yamux.Stream
}

func (s *streams) open() (net.Conn, error) {
	c, err := s.of.OpenStream()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, c)
	return &long{c, s}, nil
}

// shrink gives back what they do not need just now.
func (s *streams) shrink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		c.Shrink()
	}
}

// long is one of them.
type long struct {
	*yamux.Stream
	of *streams
}

func (l *long) Close() error {
	l.of.mu.Lock()
	l.of.all = slices.DeleteFunc(l.of.all, func(c *yamux.Stream) bool { return c == l.Stream })
	l.of.mu.Unlock()
	return l.Stream.Close()
}
