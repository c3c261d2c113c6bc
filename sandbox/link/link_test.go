package link

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"openinspect/session"
)

// pair links two handlers over loopback.
func pair(t testing.TB, bot, runner http.Handler) (botEnd, runnerEnd *Link) {
	t.Helper()
	accepted := make(chan *Link, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /link", func(w http.ResponseWriter, r *http.Request) {
		l, err := Accept(w, r, runner)
		if err != nil {
			t.Error(err)
		}
		accepted <- l
	})
	srv := httptest.NewServer(Authenticate(HashToken("secret"), mux))
	t.Cleanup(srv.Close)
	botEnd, err := Dial(context.Background(), DialOptions{URL: srv.URL + "/link", Token: "secret", Handler: bot})
	if err != nil {
		t.Fatal(err)
	}
	runnerEnd = <-accepted
	t.Cleanup(func() { botEnd.Close(); runnerEnd.Close() })
	return botEnd, runnerEnd
}

func say(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, text+string(body))
	})
}

func call(t testing.TB, l *Link, body string) string {
	t.Helper()
	resp, err := l.Client().Post("http://link/", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBothWaysAtOnce(t *testing.T) {
	bot, runner := pair(t, say("bot:"), say("runner:"))
	big := strings.Repeat("x", 3<<19) // more than a stream's window
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := call(t, bot, big); got != "runner:"+big {
				t.Errorf("bot got %d bytes", len(got))
			}
		})
		wg.Go(func() {
			if got := call(t, runner, "hello"); got != "bot:hello" {
				t.Errorf("runner got %q", got)
			}
		})
	}
	wg.Wait()
}

func TestCancelReachesTheOtherEnd(t *testing.T) {
	arrived, ended := make(chan bool), make(chan bool)
	bot, _ := pair(t, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-arrived; cancel() }()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://link/", nil)
	if _, err := bot.Client().Do(req); err == nil {
		t.Error("a cancelled call succeeded")
	}
	<-ended
}

func TestShutdownAnswersWhatIsUnderWay(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	bot, runner := pair(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		io.WriteString(w, "whole")
	}), nil)
	answer := make(chan string, 1)
	go func() { answer <- call(t, runner, "") }()
	<-arrived
	down := make(chan error, 1)
	go func() { down <- bot.Shutdown(context.Background()) }()
	close(release)
	if got := <-answer; got != "whole" {
		t.Errorf("got %q", got)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	<-runner.Done()
}

func TestLostPeerEndsTheLink(t *testing.T) {
	bot, runner := pair(t, nil, nil)
	bot.Close()
	<-runner.Done()
	if _, err := runner.Client().Get("http://link/"); err == nil {
		t.Error("a call over a lost link succeeded")
	}
}

func TestWrongToken(t *testing.T) {
	srv := httptest.NewServer(Authenticate(HashToken("secret"), say("in")))
	defer srv.Close()
	for _, token := range []string{"", "secre", "secret2", HashToken("secret")} {
		_, err := Dial(context.Background(), DialOptions{URL: srv.URL, Token: token})
		if session.CodeOf(err) != session.Forbidden {
			t.Errorf("token %q: %v", token, err)
		}
	}
	open := httptest.NewServer(Authenticate("", say("in")))
	defer open.Close()
	if _, err := Dial(context.Background(), DialOptions{URL: open.URL}); session.CodeOf(err) != session.Forbidden {
		t.Errorf("without a hash: %v", err)
	}
}

func TestNoRedirects(t *testing.T) {
	bot, _ := pair(t, nil, http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	resp, err := bot.Client().Get("http://link/")
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Fatalf("%v %v", resp, err)
	}
	resp.Body.Close()
}

// A caller waits for a stream to come free instead of failing.
func TestCallsBeyondTheBoundWait(t *testing.T) {
	arrived := make(chan bool, 200)
	release := make(chan bool)
	bot, _ := pair(t, nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- true
		<-release
	}))
	errs := make(chan error, 80)
	for range 80 {
		go func() {
			resp, err := bot.Client().Get("http://link/")
			if err == nil {
				resp.Body.Close()
			}
			errs <- err
		}()
	}
	for range maxStreams - maxLong {
		<-arrived
	}
	if len(arrived) > 0 || len(errs) > 0 {
		t.Errorf("%d more arrived, %d ended", len(arrived), len(errs))
	}
	close(release)
	for range 80 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestDialUnix(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "link.sock")
	if _, err := DialUnix(context.Background(), path, os.Getuid()); session.CodeOf(err) != session.Unavailable {
		t.Errorf("nothing there: %v", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := DialUnix(context.Background(), path, os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := DialUnix(context.Background(), path, os.Getuid()+1); session.CodeOf(err) != session.Forbidden {
		t.Errorf("another owner: %v", err)
	}
	link := filepath.Join(dir, "swapped.sock")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := DialUnix(context.Background(), link, os.Getuid()); err == nil {
		t.Error("followed a symbolic link")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := DialUnix(context.Background(), file, os.Getuid()); session.CodeOf(err) != session.Forbidden {
		t.Errorf("a file: %v", err)
	}
}

// recorder notes the size of each write.
type recorder struct {
	net.Conn
	sizes []int
}

func (r *recorder) Write(p []byte) (int, error) {
	r.sizes = append(r.sizes, len(p))
	return len(p), nil
}

func TestHeaderAndBodyAreOneMessage(t *testing.T) {
	r := &recorder{}
	j := &joiner{Conn: r}
	ping := []byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7}
	data := []byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5}
	empty := []byte{0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0}
	for _, p := range [][]byte{ping, data, []byte("hello"), empty} {
		if n, err := j.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(r.sizes) != 3 || r.sizes[0] != 12 || r.sizes[1] != 17 || r.sizes[2] != 12 {
		t.Errorf("messages of %v bytes", r.sizes)
	}
}
