package weblite

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

func TestPage(t *testing.T) {
	r := newRig(t, nil)
	r.keep(session.Session{
		Title: "fix the flaky checkout test", Repo: session.Repo{Owner: "acme", Name: "web"}, Base: "main", Model: "anthropic/claude-sonnet-4-6",
		Effort: "high", Participants: []session.Person{sessiontest.Ada, sessiontest.Cyd}, Cost: 1.5, Turn: &session.Turn{State: session.TurnWorking},
		PullRequest: &session.PullRequest{Number: 12, URL: "https://github.test/acme/web/pull/12", Title: "Wait for the cart", State: session.PullOpen},
	}, every("words"))
	res, body := r.get("/s/"+string(id), "Cookie", r.enter())
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.StatusCode)
	}
	for _, want := range []string{
		"<title>fix the flaky checkout test</title>", "acme/web", "from main", "working", "Ada (ada-l)", "Cyd", "claude-sonnet-4-6, high", "$1.50",
		`href="https://github.test/acme/web/pull/12"`, "Wait for the cart", `data-live="/s/abcdefghij/live"`, `href="/s/abcdefghij/log.txt"`, "<noscript>", `lang="en"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(body, "<script>") || strings.Contains(body, "<style") || strings.Contains(body, "style=") || regexp.MustCompile(`\son\w+=`).MatchString(body) {
		t.Error("inline script or style")
	}
}

func TestHeaders(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	cookie := r.enter()
	for _, path := range []string{"/s/abcdefghij", "/s/abcdefghij/log.txt", "/s/zzzzzzzzzz", "/healthz", "/nothing"} {
		res, _ := r.get(path, "Cookie", cookie)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"Referrer-Policy":         "no-referrer",
			"X-Content-Type-Options":  "nosniff",
			"Cache-Control":           "no-store",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

func TestAssetsAreCachedByContent(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	_, body := r.get("/s/"+string(id), "Cookie", r.enter())
	found := regexp.MustCompile(`"(/assets/log\.[0-9a-f]{16}\.(css|js))"`).FindAllStringSubmatch(body, -1)
	if len(found) != 2 {
		t.Fatalf("assets: %v", found)
	}
	for _, m := range found {
		res, body := r.get(m[1])
		kind := map[string]string{"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}[m[2]]
		if res.StatusCode != http.StatusOK || body == "" || res.Header.Get("Content-Type") != kind || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", m[1], res.StatusCode, res.Header)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PublicURL = "https://Inspect.example.com" })
	r.open()
	cookie := r.enter()
	for _, c := range []struct {
		method, path, host string
		status             int
	}{
		{"GET", "/healthz", "10.1.2.3:8787", 200},
		{"GET", "/s/abcdefghij", "inspect.example.com", 200},
		{"GET", "/s/abcdefghij", "INSPECT.example.com:443", 200},
		{"GET", "/s/abcdefghij", "localhost:8787", 200},
		{"GET", "/s/abcdefghij", "127.0.0.1:1", 200},
		{"GET", "/s/abcdefghij", "[::1]:8787", 200},
		{"HEAD", "/s/abcdefghij", "inspect.example.com", 200},
		{"HEAD", "/s/abcdefghij/log.txt", "inspect.example.com", 200},
		{"GET", "/s/abcdefghij", "inspect.example.com:8443", 421},
		{"GET", "/s/abcdefghij", "rebound.test", 421},
		{"GET", "/s/abcdefghij", "inspect.example.com.rebound.test", 421},
		{"POST", "/s/abcdefghij", "inspect.example.com", 405},
		{"DELETE", "/healthz", "inspect.example.com", 405},
		{"OPTIONS", "/", "inspect.example.com", 405},
		{"GET", "/", "inspect.example.com", 404},
		{"GET", "/s/", "inspect.example.com", 404},
		{"GET", "/s/abcdefghij/other", "inspect.example.com", 404},
		{"GET", "/assets/log.css", "inspect.example.com", 404},
		{"GET", "/assets/../page/session.html", "inspect.example.com", 307},
	} {
		res := r.do(c.method, c.path, "Host", c.host, "Cookie", cookie)
		if res.StatusCode != c.status {
			t.Errorf("%s %s at %s: %d, want %d", c.method, c.path, c.host, res.StatusCode, c.status)
		}
		if body, _ := io.ReadAll(res.Body); c.method == "HEAD" && len(body) > 0 {
			t.Errorf("HEAD %s has a body", c.path)
		}
	}
}

func TestHostileHead(t *testing.T) {
	r := newRig(t, nil)
	p := session.Person{Slack: hostile, Name: hostile, GitHub: &session.Identity{Login: hostile}}
	repo := session.Repo{Owner: hostile, Name: hostile}
	r.keep(session.Session{
		Title: hostile, Repo: repo, Base: hostile, Model: hostile, Effort: hostile, Participants: []session.Person{p},
		PullRequest: &session.PullRequest{Number: 1, URL: "javascript:alert(1)", Title: hostile, State: hostile},
	}, every(hostile))
	_, body := r.get("/s/"+string(id), "Cookie", r.enter())
	for _, bad := range []string{"<script>", "<img", "javascript:alert", "\u202e", "\x1b"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if strings.Count(body, "&lt;script&gt;") < 8 {
		t.Error("hostile text is not shown as text")
	}
}

// The browser's half: what the script makes of an event are text nodes, and it knows each kind.
func TestScriptMakesTextOnly(t *testing.T) {
	script, err := files.ReadFile("page/log.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "createContextualFragment", "DOMParser", "srcdoc", ".style"} {
		if strings.Contains(string(script), sink) {
			t.Errorf("the script uses %s", sink)
		}
	}
	seen := map[session.Kind]bool{}
	for _, e := range every("x") {
		seen[e.Kind] = true
	}
	for _, k := range kinds(t) {
		if !seen[k] {
			t.Errorf("the tests have no event of kind %s", k)
		}
		if !strings.Contains(string(script), fmt.Sprintf("\n    %s: (", k)) {
			t.Errorf("the script does not show kind %s", k)
		}
	}
}
