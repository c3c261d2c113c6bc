package session

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"INSPECT_PUBLIC_URL", "INSPECT_MODEL", "INSPECT_HTTP_ADDR", "INSPECT_SANDBOX", "INSPECT_SANDBOX_CPU", "acme/web", "acme/webhooks"}
	for name, want := range map[string]string{
		"INSPECT_PUBLICURL": "INSPECT_PUBLIC_URL", "INSPECT_MODLE": "INSPECT_MODEL", "INSPECT_SANDBOX_CPUS": "INSPECT_SANDBOX_CPU INSPECT_SANDBOX", "acme/wbe": "acme/web", "web": "acme/web acme/webhooks",
		"ACME/WEB": "acme/web acme/webhooks", "nothing like it": "", "": "",
	} {
		if got := strings.Join(Nearest(name, known, 2), " "); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"kitten", "sitting", 3}, {"übung", "ubung", 1}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q %q: %d, not %d", c.a, c.b, got, c.want)
		}
	}
}
