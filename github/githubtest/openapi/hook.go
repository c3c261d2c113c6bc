package openapi

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// T is the part of testing.TB that Hook needs.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

// loaded is the one Checker of a test binary. Fetching the description may take a minute.
var loaded = sync.OnceValues(func() (*Checker, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return Load(ctx)
})

// Hook is for githubtest.Config.Validate: it fails the test for each call that the description does not allow.
func Hook(t T) func(r *http.Request, body []byte, status int, header http.Header, answer []byte) {
	t.Helper()
	c, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return func(r *http.Request, body []byte, status int, header http.Header, answer []byte) {
		if err := c.Check(r, body, status, header, answer); err != nil {
			t.Errorf("against GitHub's description: %v", err)
		}
	}
}
