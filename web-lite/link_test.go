package weblite

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

func TestLinkOpensItsSession(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	link, err := url.Parse(r.web.Link(id))
	if err != nil {
		t.Fatal(err)
	}
	res, body := r.get(link.RequestURI())
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/s/"+string(id) || body != "" {
		t.Fatalf("%d to %q: %q", res.StatusCode, res.Header.Get("Location"), body)
	}
	c := res.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/s/"+string(id) || c.Secure || c.MaxAge != int(LinkFor.Seconds()) {
		t.Errorf("cookie: %s", c)
	}
	if res, _ := r.get("/s/"+string(id), "Cookie", c.Name+"="+c.Value); res.StatusCode != http.StatusOK {
		t.Errorf("with the cookie: %d", res.StatusCode)
	}
	if got, want := r.web.Unsigned(id), r.server.URL+"/s/"+string(id); got != want {
		t.Errorf("unsigned link %q, want %q", got, want)
	}
}

func TestLinkIsSecureOverHTTPS(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PublicURL = "https://inspect.example.com/"; c.LinkFor = time.Hour })
	link := r.web.Link(id)
	if !strings.HasPrefix(link, "https://inspect.example.com/s/abcdefghij?t=") {
		t.Fatal(link)
	}
	res, _ := r.get(strings.TrimPrefix(link, "https://inspect.example.com"), "Host", "inspect.example.com")
	if c := res.Cookies()[0]; !c.Secure || c.MaxAge != 3600 {
		t.Errorf("cookie: %s", c)
	}
}

// Whatever is wrong with a token, the answer is the same, and the same for a session that does not exist.
func TestWrongLinks(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	good := strings.TrimPrefix(r.web.Link(id), r.web.Unsigned(id)+"?t=")
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	longer := bytes.Clone(raw)
	longer[7]++ // the expiry
	altered := bytes.Clone(raw)
	altered[len(altered)-1] ^= 1
	other, err := New(Config{Sessions: r.hub, Key: bytes.Repeat([]byte{8}, 32), Clock: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	later := r.clock.Now().Add(time.Hour)
	tokens := map[string]string{
		"empty":           "",
		"expiry moved":    base64.RawURLEncoding.EncodeToString(longer),
		"MAC changed":     base64.RawURLEncoding.EncodeToString(altered),
		"cut":             good[:len(good)-2],
		"padded":          good + "==",
		"other session's": r.web.token("bbbbbbbbbb", later),
		"other key's":     other.token(id, later),
		"expired":         r.web.token(id, r.clock.Now()),
	}
	_, want := r.get("/s/" + string(id))
	for name, token := range tokens {
		for _, path := range []string{"/s/abcdefghij", "/s/zzzzzzzzzz", "/s/abcdefghij/log.txt", "/s/no-id"} {
			res, body := r.get(path + "?t=" + url.QueryEscape(token))
			if res.StatusCode != http.StatusForbidden || body != want || len(res.Cookies()) != 0 {
				t.Errorf("%s at %s: %d, cookies %v", name, path, res.StatusCode, res.Cookies())
			}
			if res, body := r.get(path, "Cookie", cookieName+"="+token); res.StatusCode != http.StatusForbidden || body != want {
				t.Errorf("%s as a cookie at %s: %d", name, path, res.StatusCode)
			}
		}
	}
	if !strings.Contains(want, "Ask for a new one in the session&#39;s Slack thread.") {
		t.Errorf("the page does not say what to do: %s", want)
	}
	if res, body := r.get("/s/bbbbbbbbbb/live", "Cookie", r.enter()); res.StatusCode != http.StatusForbidden || body != want {
		t.Errorf("another session's socket: %d", res.StatusCode)
	}
}

func TestLinkExpires(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	cookie := r.enter()
	r.clock.Advance(LinkFor - time.Second)
	if res, _ := r.get("/s/"+string(id), "Cookie", cookie); res.StatusCode != http.StatusOK {
		t.Errorf("a second before the end: %d", res.StatusCode)
	}
	newer := r.enter()
	r.clock.Advance(time.Second)
	if res, _ := r.get("/s/"+string(id), "Cookie", cookie); res.StatusCode != http.StatusForbidden {
		t.Errorf("at the end: %d", res.StatusCode)
	}
	_, token, _ := strings.Cut(cookie, "=")
	res, _ := r.get("/s/"+string(id)+"?t="+token, "Cookie", newer)
	if res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 0 {
		t.Errorf("an old link beside a newer cookie: %d", res.StatusCode)
	}
}

func TestUnknownSession(t *testing.T) {
	r := newRig(t, nil)
	cookie := r.enter()
	for _, path := range []string{"", "/live", "/log.txt"} {
		if res, body := r.get("/s/"+string(id)+path, "Cookie", cookie); res.StatusCode != http.StatusNotFound || !strings.Contains(body, "No such session") {
			t.Errorf("%q: %d", path, res.StatusCode)
		}
	}
}

func TestWithoutPublicURL(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PublicURL = "" })
	if got := r.web.Link(id) + r.web.Unsigned(id); got != "" {
		t.Errorf("links without a public URL: %q", got)
	}
	if res, _ := r.get("/healthz", "Host", "anything.test"); res.StatusCode != http.StatusOK {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestNewRefuses(t *testing.T) {
	r := newRig(t, nil)
	good := Config{Sessions: r.hub, Key: make([]byte, 32)}
	for name, change := range map[string]func(*Config){
		"no sessions": func(c *Config) { c.Sessions = nil },
		"short key":   func(c *Config) { c.Key = make([]byte, 16) },
		"no scheme":   func(c *Config) { c.PublicURL = "inspect.example.com" },
		"scheme":      func(c *Config) { c.PublicURL = "ftp://inspect.example.com" },
		"path":        func(c *Config) { c.PublicURL = "https://example.com/inspect" },
		"password":    func(c *Config) { c.PublicURL = "https://a:b@example.com" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		} else if !slices.Contains([]session.Code{session.Invalid, session.Internal}, session.CodeOf(err)) || strings.Contains(fmt.Sprint(err), "a:b") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing but a token that was made for the session opens it.
func FuzzToken(f *testing.F) {
	s, err := New(Config{Sessions: &session.Hub{}, Key: bytes.Repeat([]byte{7}, 32), Clock: &sessiontest.Clock{}})
	if err != nil {
		f.Fatal(err)
	}
	good := s.token(id, sessiontest.Epoch.Add(time.Hour))
	f.Add(good, string(id))
	f.Add(good+"=", string(id))
	f.Add(good[:20]+"\n"+good[20:], string(id))
	f.Add(good, "bbbbbbbbbb")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, token, of string) {
		if _, ok := s.check(session.ID(of), token); ok != (token == good && of == string(id)) {
			t.Errorf("token %q of %q: %v", token, of, ok)
		}
	})
}
