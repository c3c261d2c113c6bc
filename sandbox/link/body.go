package link

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// bodyTimeout bounds how long a request's body may take to come. A server's ReadTimeout would do, but that also ends what is answered for longer.
const bodyTimeout = 2 * time.Minute

// impatient gives the body of every request a deadline, so that one which trickles does not hold its stream and what was read of it for ever.
func impatient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			c := http.NewResponseController(w)
			if err := c.SetReadDeadline(time.Now().Add(bodyTimeout)); err == nil { // a stream of ours can
				r.Body = &timed{r.Body, c}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// timed takes the deadline away when the body has come: the answer has as much time as it needs.
type timed struct {
	io.ReadCloser
	c *http.ResponseController
}

func (t *timed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = t.c.SetReadDeadline(time.Time{}) // it could be set
	}
	return n, err
}
