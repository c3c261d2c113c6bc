package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// serve makes the handler of the runner's calls. Which session a call belongs to is known from the link it comes by.
func (a *attachment) serve() http.Handler {
	models := a.m.c.Models.Handler(a.req.Session, a.send)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a mux for each of a thousand links would be as large as the link
		switch call := r.Method + " " + r.URL.Path; {
		case a.isSpare && (strings.HasPrefix(r.URL.Path, "/model/") || strings.HasPrefix(r.URL.Path, "/tools/")):
			refuse(w, session.Errorf(session.Forbidden, "This sandbox is no session's: there is nobody to work for."))
		case strings.HasPrefix(r.URL.Path, "/model/"):
			models.ServeHTTP(w, r)
		case call == "POST /git/credential":
			answer(a.credential)(w, r)
		case call == "POST /environment":
			answer(a.variables)(w, r)
		case call == "POST /git/collected", call == "POST /git/patch":
			a.kept(w, r)
		case call == "POST /tools/propose_pull_request":
			answerCall(a.propose)(w, r)
		case call == "POST /tools/post_update":
			answerCall(a.update)(w, r)
		case call == "POST /tools/ask":
			answerCall(a.ask)(w, r)
		case call == "POST /tools/upload":
			if !a.uploading.CompareAndSwap(false, true) {
				refuse(w, session.Errorf(session.Conflict, "One image at a time, please. Show this one again when the other is taken."))
				return
			}
			defer a.uploading.Store(false)
			answerUpTo(link.MaxUploadBody, a.upload)(w, r)
		default:
			refuse(w, session.Errorf(session.NotFound, "There is no %s here.", session.OneLine(call, 200)))
		}
	})
}

// answer makes a handler of a function from a JSON body to a JSON answer. The body is read whole, within the limit.
func answer[In, Out any](f func(context.Context, In) (Out, error)) http.HandlerFunc {
	return answerCall(func(ctx context.Context, _ string, in In) (Out, error) { return f(ctx, in) })
}

// answerCall is answer for a tool, which is told the call's name: see link.HeaderCall.
func answerCall[In, Out any](f func(ctx context.Context, call string, in In) (Out, error)) http.HandlerFunc {
	return answerUpTo(link.MaxToolBody, f)
}

// answerUpTo is answerCall for bodies of at most limit bytes.
func answerUpTo[In, Out any](limit int64, f func(ctx context.Context, call string, in In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		if err != nil {
			if _, big := errors.AsType[*http.MaxBytesError](err); big {
				err = session.Errorf(session.Invalid, "This is too long: at most %d bytes are taken.", limit)
			}
			refuse(w, err)
			return
		}
		var in In
		if err := json.Unmarshal(b, &in); err != nil {
			refuse(w, session.Errorf(session.Invalid, "The request is not the JSON that is expected here."))
			return
		}
		call := r.Header.Get(link.HeaderCall)
		if len(call) > link.MaxCall {
			call = ""
		}
		out, err := f(r.Context(), call, in)
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the runner may be gone
	}
}

// refuse answers with a problem: the sentence alone, nothing of the chain behind it.
func refuse(w http.ResponseWriter, err error) {
	code := session.CodeOf(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(link.StatusOf(code))
	_ = json.NewEncoder(w).Encode(link.Problem{Code: code, Message: session.Sentence(err)}) // the runner may be gone
}

// credential answers git's helper, for the session's own repository and no other.
func (a *attachment) credential(ctx context.Context, q link.CredentialRequest) (link.Credential, error) {
	refused := session.Errorf(session.Forbidden, "This sandbox may read %s alone.", orNothing(a.req.Repo))
	clone := a.m.c.CloneURL
	if a.req.Repo == (session.Repo{}) || !sameHost(q, clone(a.req.Repo)) {
		return link.Credential{}, refused
	}
	// One at a time, and the same again while it is good: asking is free for a sandbox, and making one counts against our limits at GitHub.
	select {
	case a.minting <- struct{}{}:
		defer func() { <-a.minting }()
	case <-ctx.Done():
		return link.Credential{}, ctx.Err()
	}
	fresh := a.credit.Password != "" && a.m.c.Clock.Now().Add(credentialLeft).Before(a.credit.Expires)
	switch same := a.named(q); {
	case fresh && !same:
		return link.Credential{}, refused
	case fresh:
		return a.credit, nil
	}
	user, password, expires, err := a.m.c.Credentials.Clone(ctx, a.req.Repo)
	if err != nil {
		a.m.c.Report(a.req.Session, "git credential", err)
		return link.Credential{}, err
	}
	a.m.c.Redactor.Learn(password)
	a.credit = link.Credential{Username: user, Password: password, Expires: expires}
	if !a.named(q) { // nor is it what the repository turned out to be called
		return link.Credential{}, refused
	}
	return a.credit, nil
}

// named reports whether git asks for the session's repository, under the name that the session knows or the one that it has now.
func (a *attachment) named(q link.CredentialRequest) bool {
	u, err := url.Parse(a.m.c.CloneURL(a.req.Repo))
	return err == nil && (sameRepo(q.Path, u.Path) || sameRepo(q.Path, a.req.Repo.String()))
}

// maxAsked is how often a runner gets what is kept of its session: it needs each once, and asks again when an answer breaks off.
const maxAsked = 20

// kept hands out what is kept of the session, one thing at a time: a patch is in memory until it is read, and a commit costs questions at GitHub.
func (a *attachment) kept(w http.ResponseWriter, r *http.Request) {
	if !a.handingOut.CompareAndSwap(false, true) {
		refuse(w, session.Errorf(session.Unavailable, "The bot hands something out already."))
		return
	}
	defer a.handingOut.Store(false)
	if a.handedOut >= maxAsked {
		refuse(w, session.Errorf(session.Conflict, "This sandbox has asked too often for what is kept of this thread."))
		return
	}
	a.handedOut++
	give := a.collected
	if r.URL.Path == "/git/patch" {
		give = a.patch
	}
	if err := give(w, r); err != nil {
		if session.CodeOf(err) == session.Unavailable {
			a.handedOut-- // it will have to ask again
		}
		refuse(w, err)
	}
}

// collected hands out the commit that the session's checkout goes on from, and no other.
func (a *attachment) collected(w http.ResponseWriter, r *http.Request) error {
	if a.req.Collected == "" || a.m.c.Commits == nil {
		return session.Errorf(session.NotFound, "The bot holds no commit of this session.")
	}
	body, err := a.m.c.Commits.Held(r.Context(), a.req.Session, a.req.Repo, a.req.Base, a.req.Collected)
	switch {
	case err != nil:
		a.m.c.Report(a.req.Session, "hand out commits", err)
		return err
	case body == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		defer body.Close()
		if _, err := io.Copy(w, body); err != nil {
			panic(http.ErrAbortHandler) // half a bundle must not look like one
		}
	}
	return nil
}

// patch hands out the patch that is kept of the session, if it goes with the commit that its checkout goes on from.
func (a *attachment) patch(w http.ResponseWriter, r *http.Request) error {
	if !a.req.Patch {
		return session.Errorf(session.NotFound, "The bot holds no patch of this session.")
	}
	from, body, err := a.m.c.Archive.Patch(r.Context(), a.req.Session)
	switch {
	case err != nil:
		a.m.c.Report(a.req.Session, "hand out a patch", err)
		return err
	case from != a.req.Collected:
		w.WriteHeader(http.StatusNoContent)
	default:
		_, _ = w.Write(body) // the runner may be gone
	}
	return nil
}

// credentialLeft is how long a credential that is handed out again is good at least.
const credentialLeft = 3 * time.Minute

func orNothing(r session.Repo) string {
	if r == (session.Repo{}) {
		return "no repository"
	}
	return r.String()
}

// sameHost reports whether git asks for something where a repository is.
func sameHost(q link.CredentialRequest, clone string) bool {
	u, err := url.Parse(clone)
	return err == nil && q.Protocol == u.Scheme && strings.EqualFold(q.Host, u.Host)
}

// sameRepo compares paths of repositories. GitHub's names do not know case.
func sameRepo(a, b string) bool {
	plain := func(path string) string { return strings.TrimSuffix(strings.Trim(path, "/"), ".git") }
	return strings.EqualFold(plain(a), plain(b))
}

// Lengths in characters of what an agent says by a tool.
const (
	maxTitle  = 250 // GitHub takes 256
	maxUpdate = 500
	maxAsk    = 3000
	maxBody   = 30_000 // GitHub takes 65,536, and who asked for what, who took part and the tests stand beside it
	maxTests  = 5_000
	maxOption = 75 // a Slack button's text
	maxOffers = 5
	maxAlt    = 500
)

// upload keeps an image that the agent shows. What it is is seen here: nothing that comes out of a sandbox is believed.
func (a *attachment) upload(ctx context.Context, call string, q link.UploadRequest) (link.ToolAnswer, error) {
	kind, err := link.Picture(q.Content)
	if err != nil {
		return link.ToolAnswer{}, err
	}
	alt := session.OneLine(a.clean(q.Alt, maxAlt), maxAlt)
	if alt == "" {
		return link.ToolAnswer{}, session.Errorf(session.Invalid, "Say what there is to see, for people who cannot see it.")
	}
	f := session.File{Name: session.FileName(a.clean(q.Name, maxAlt)), Type: kind, Size: int64(len(q.Content))}
	// One that the session does not take is not kept.
	if err := a.send(ctx, session.Shown{Call: call, Asks: true}); err != nil {
		return link.ToolAnswer{}, err
	}
	if f.Hash, err = a.m.c.Store.KeepFile(ctx, a.req.Session, q.Content); err != nil {
		return link.ToolAnswer{}, err
	}
	return link.ToolAnswer{Text: "It is posted below your answer when your turn ends."}, a.send(ctx, session.Shown{Call: call, File: f, Alt: alt})
}

func (a *attachment) propose(ctx context.Context, call string, q link.ProposeRequest) (link.ToolAnswer, error) {
	title := session.OneLine(a.clean(q.Title, maxTitle), maxTitle)
	if title == "" {
		return link.ToolAnswer{}, session.Errorf(session.Invalid, "A pull request needs a title.")
	}
	err := a.send(ctx, session.Proposed{Call: call, Proposal: session.Proposal{
		Title: title, Body: a.clean(q.Body, maxBody), Tests: a.clean(q.Tests, maxTests), Draft: q.Draft,
	}})
	return link.ToolAnswer{Text: "Noted. When your turn ends, the people in the thread see your commits with this title and description and decide whether to open the pull request. Do not push and do not open it yourself."}, err
}

func (a *attachment) update(ctx context.Context, call string, q link.UpdateRequest) (link.ToolAnswer, error) {
	text := a.clean(q.Text, maxUpdate)
	if text == "" {
		return link.ToolAnswer{}, session.Errorf(session.Invalid, "There is nothing to post.")
	}
	return link.ToolAnswer{Text: "Posted."}, a.send(ctx, session.Updated{Call: call, Text: text})
}

func (a *attachment) ask(ctx context.Context, call string, q link.AskRequest) (link.ToolAnswer, error) {
	in := session.Asked{Call: call, Question: a.clean(q.Question, maxAsk)}
	if in.Question == "" {
		return link.ToolAnswer{}, session.Errorf(session.Invalid, "There is no question.")
	}
	for _, o := range q.Options[:min(len(q.Options), maxOffers)] {
		if o = session.OneLine(a.clean(o, maxOption), maxOption); o != "" {
			in.Options = append(in.Options, o)
		}
	}
	return link.ToolAnswer{Text: "Asked. End your turn now; the answer is your next prompt."}, a.send(ctx, in)
}

// clean redacts s and cuts it to limit characters.
func (a *attachment) clean(s string, limit int) string {
	s = strings.TrimSpace(strings.ToValidUTF8(a.m.c.Redactor.String(s), ""))
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit-1]) + "…"
	}
	return s
}
