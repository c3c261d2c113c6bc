package sandbox

import (
	"io"
	"net/http"

	"openinspect/session"
)

// maxHandOuts is how often a runner gets what is kept of its session: it needs each once, and asks again when an answer breaks off.
const maxHandOuts = 20

// handOut hands out what is kept of the session, one thing at a time: a patch is in memory until it is read, and a commit costs questions at GitHub.
func (a *attachment) handOut(w http.ResponseWriter, r *http.Request) {
	if !a.handingOut.CompareAndSwap(false, true) {
		refuse(w, session.Errorf(session.Unavailable, "The bot hands something out already."))
		return
	}
	defer a.handingOut.Store(false)
	if a.handedOut >= maxHandOuts {
		refuse(w, session.Errorf(session.Conflict, "This sandbox has asked too often for what is kept of this thread."))
		return
	}
	a.handedOut++
	give := a.handOutCollected
	if r.URL.Path == "/git/patch" {
		give = a.handOutPatch
	}
	if err := give(w, r); err != nil {
		if session.CodeOf(err) == session.Unavailable {
			a.handedOut-- // it will have to ask again
		}
		refuse(w, err)
	}
}

// handOutCollected hands out the commit that the session's checkout goes on from, and no other.
func (a *attachment) handOutCollected(w http.ResponseWriter, r *http.Request) error {
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
