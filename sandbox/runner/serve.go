package runner

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// maxPrompt is how many bytes a delivery may have: 64,000 characters of text and the people of a session.
const maxPrompt = 2 << 20

// statusLimit bounds what GET /status asks of git: the bot waits five seconds for the whole answer.
const statusLimit = 2 * time.Second

// outer is what the listener serves: the link, and nothing else.
func (r *runner) outer() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /link", link.Authenticate(r.cfg.Boot.TokenHash, http.HandlerFunc(r.accept)))
	return mux
}

// accept takes a link. The newest is the one in use: the bot dials again when it believes the last one lost.
func (r *runner) accept(w http.ResponseWriter, q *http.Request) {
	l, err := link.Accept(w, q, r.handler())
	if err != nil {
		return // it was answered
	}
	r.mu.Lock()
	old := r.current
	r.current = l
	r.connected()
	r.mu.Unlock()
	if old != nil {
		_ = old.Close() // lost or replaced, it is of no use
	}
	go func() {
		<-l.Done()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.current == l {
			r.current = nil
			r.connected()
		}
	}()
}

// connected passes on which link is in use. The lock is held.
func (r *runner) connected() {
	var l http.RoundTripper
	if r.current != nil {
		l = r.current
	}
	r.bot.set(l)
	if !r.rehearsing {
		r.models.set(l)
	}
}

// handler serves the bot's calls over the link.
func (r *runner) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", r.events)
	mux.HandleFunc("PUT /files", r.putFile)
	mux.HandleFunc("POST /prompts", r.prompts)
	mux.HandleFunc("GET /patch", r.patch)
	mux.HandleFunc("POST /stop", r.stop)
	mux.HandleFunc("POST /claim", r.claim)
	mux.HandleFunc("GET /bundle", r.bundle)
	mux.HandleFunc("GET /status", r.status)
	return mux
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(link.Problem{Code: session.CodeOf(err), Message: session.Sentence(err)}) // the caller may be gone
}

// readBody decodes a JSON body, which is read whole: a handler that leaves some of it unread costs the connection.
func readBody(w http.ResponseWriter, q *http.Request, limit int64, into any) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, q.Body, limit))
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return &session.Error{Code: session.Invalid, Op: "runner", Message: "The request's body is not the JSON that is expected here, or too long.", Err: err}
	}
	return nil
}

// events hands out what follows the cursor: first what earlier journals still hold, each in an answer of its own, then this one's, live.
func (r *runner) events(w http.ResponseWriter, q *http.Request) {
	id := q.FormValue("journal")
	after, err := strconv.ParseInt(q.FormValue("after"), 10, 64)
	if err != nil || after < 0 || id == r.journal.id && after > r.journal.newest() {
		refuse(w, http.StatusBadRequest, session.Errorf(session.Invalid, "The journal has no number %q to go on after.", q.FormValue("after")))
		return
	}
	old, err := r.journals.after(id, after)
	if err != nil {
		refuse(w, http.StatusInternalServerError, session.Wrap("runner.events", err))
		return
	}
	if old != nil {
		defer old.Close()
		begin(w, old.id, old.after)
		if _, err := io.Copy(w, old); err != nil {
			panic(http.ErrAbortHandler) // it must not look like the end
		}
		_ = json.NewEncoder(w).Encode(link.Line{Over: true}) // the caller may be gone
		return
	}
	if id != r.journal.id {
		after = 0
	}
	flush := begin(w, r.journal.id, after)
	if err := r.journal.follow(q.Context(), after, w, flush); !errors.Is(err, errClosed) && !errors.Is(err, context.Canceled) {
		panic(http.ErrAbortHandler) // the stream has no good end
	}
}

// begin begins an answer of journal lines, and returns what flushes it.
func begin(w http.ResponseWriter, journal string, after int64) (flush func()) {
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set(link.HeaderJournal, journal)
	h.Set(link.HeaderAfter, strconv.FormatInt(after, 10))
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	flush = func() { _ = rc.Flush() } // a caller that is gone is noticed by the next write
	flush()
	return flush
}

func (r *runner) status(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	st := link.Status{Version: link.Version, Start: r.cfg.Boot.Start, Journal: r.journal.id, Phase: r.phaseNow, Agent: r.version, Warm: r.waits, Claimed: r.claimed.Session}
	if r.running != nil {
		st.PromptID, st.Settling = r.running.d.ID, r.running.settling
		st.Tools, st.Models = r.running.progress.busy()
		st.Words = r.cfg.Agent.Words()
	}
	r.mu.Unlock()
	st.N = r.journal.newest()
	ctx, cancel := context.WithTimeout(q.Context(), statusLimit)
	defer cancel()
	head, setup := r.git.resolve(ctx, "HEAD"), r.blob(ctx, setupScript)
	branch, err := r.git.run(ctx, "symbolic-ref", "--short", "--quiet", "HEAD")
	if err != nil {
		branch = ""
	}
	if ctx.Err() == nil { // else git did not come to all of it, and what it has not said must not look like nothing
		st.Head, st.Setup, st.Branch = head, setup, branch
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(st) // the caller may be gone
}
