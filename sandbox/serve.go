package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

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
			answer(a.handOutVariables)(w, r)
		case call == "POST /git/collected", call == "POST /git/patch":
			a.handOut(w, r)
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
