package sandboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/session"
)

// order is what a Remote asks of the Provider: one method's arguments.
type order struct {
	Spec   sandbox.Spec   `json:"spec,omitzero"`
	Handle session.Handle `json:"handle,omitzero"`
	Name   string         `json:"name,omitempty"`
}

// outcome is its answer.
type outcome struct {
	Handle  session.Handle   `json:"handle,omitzero"`
	Handles []session.Handle `json:"handles,omitempty"`
	Images  []string         `json:"images,omitempty"`
	Start   string           `json:"start,omitempty"`
	Text    string           `json:"text,omitempty"` // an image, or a socket's path
	Problem *link.Problem    `json:"problem,omitempty"`
}

// Handler serves a Provider to Remotes in other processes, as a cloud serves its sandboxes: they outlive whoever asked for them.
func Handler(p *Provider) http.Handler {
	mux := http.NewServeMux()
	serve := func(method string, f func(context.Context, order) (outcome, error)) {
		mux.HandleFunc("POST /"+method, func(w http.ResponseWriter, r *http.Request) {
			var in order
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			out, err := f(r.Context(), in)
			if err != nil {
				out.Problem = &link.Problem{Code: session.CodeOf(err), Message: session.Sentence(err)}
			}
			_ = json.NewEncoder(w).Encode(out) // who asked may be gone
		})
	}
	serve("Create", func(ctx context.Context, in order) (out outcome, err error) {
		out.Handle, err = p.Create(ctx, in.Spec)
		return out, err
	})
	serve("Find", func(ctx context.Context, in order) (out outcome, err error) {
		f, err := p.Find(ctx, in.Name)
		return outcome{Handle: f.Handle, Start: f.Start}, err
	})
	serve("List", func(ctx context.Context, _ order) (out outcome, err error) {
		out.Handles, err = p.List(ctx)
		return out, err
	})
	serve("Dial", func(_ context.Context, in order) (out outcome, err error) {
		out.Text, err = p.socket(in.Handle)
		return out, err
	})
	serve("Snapshot", func(ctx context.Context, in order) (out outcome, err error) {
		out.Text, err = p.Snapshot(ctx, in.Handle)
		return out, err
	})
	serve("Destroy", func(ctx context.Context, in order) (outcome, error) { return outcome{}, p.Destroy(ctx, in.Handle) })
	serve("Images", func(ctx context.Context, _ order) (out outcome, err error) {
		out.Images, err = p.Images(ctx)
		return out, err
	})
	serve("DeleteImage", func(ctx context.Context, in order) (outcome, error) { return outcome{}, p.DeleteImage(ctx, in.Name) })
	return mux
}

// Remote is a sandbox.Provider whose sandboxes are in another process: those of the Provider whose Handler listens on the unix socket.
type Remote struct{ client *http.Client }

var (
	_ sandbox.Provider     = (*Remote)(nil)
	_ sandbox.ImageDeleter = (*Remote)(nil)
	_ sandbox.ImageLister  = (*Remote)(nil)
)

// NewRemote returns the Remote of a socket.
func NewRemote(socket string) *Remote {
	return &Remote{&http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}}
}

func (r *Remote) ask(ctx context.Context, method string, o order) (out outcome, err error) {
	silent := func(err error) error {
		return &session.Error{Code: session.Unavailable, Op: "sandboxtest." + method, Message: "The sandboxes' provider does not answer.", Err: err}
	}
	b, err := json.Marshal(o)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://provider/"+method, bytes.NewReader(b))
	if err != nil {
		return out, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return out, silent(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return out, silent(errors.New(resp.Status))
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, silent(err)
	}
	if p := out.Problem; p != nil {
		return out, session.Errorf(p.Code, "%s", p.Message)
	}
	return out, nil
}

// Create implements sandbox.Provider.
func (r *Remote) Create(ctx context.Context, s sandbox.Spec) (session.Handle, error) {
	out, err := r.ask(ctx, "Create", order{Spec: s})
	return out.Handle, err
}

// Find implements sandbox.Provider.
func (r *Remote) Find(ctx context.Context, name string) (sandbox.Found, error) {
	out, err := r.ask(ctx, "Find", order{Name: name})
	return sandbox.Found{Handle: out.Handle, Start: out.Start}, err
}

// List implements sandbox.Provider.
func (r *Remote) List(ctx context.Context) ([]session.Handle, error) {
	out, err := r.ask(ctx, "List", order{})
	return out.Handles, err
}

// Dial implements sandbox.Provider.
func (r *Remote) Dial(ctx context.Context, h session.Handle) (sandbox.Endpoint, error) {
	out, err := r.ask(ctx, "Dial", order{Handle: h})
	if err != nil {
		return sandbox.Endpoint{}, err
	}
	return endpoint(out.Text), nil
}

// Snapshot implements sandbox.Provider.
func (r *Remote) Snapshot(ctx context.Context, h session.Handle) (string, error) {
	out, err := r.ask(ctx, "Snapshot", order{Handle: h})
	return out.Text, err
}

// Destroy implements sandbox.Provider.
func (r *Remote) Destroy(ctx context.Context, h session.Handle) error {
	_, err := r.ask(ctx, "Destroy", order{Handle: h})
	return err
}

// Images implements sandbox.ImageLister.
func (r *Remote) Images(ctx context.Context) ([]string, error) {
	out, err := r.ask(ctx, "Images", order{})
	return out.Images, err
}

// DeleteImage implements sandbox.ImageDeleter.
func (r *Remote) DeleteImage(ctx context.Context, image string) error {
	_, err := r.ask(ctx, "DeleteImage", order{Name: image})
	return err
}

// socket returns where the runner of a sandbox listens.
func (p *Provider) socket(h session.Handle) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter("Dial"); err != nil {
		return "", err
	}
	b := p.handled(h)
	if b == nil || !b.alive() {
		return "", gone(h.Name)
	}
	return filepath.Join(p.root, b.dir, "run", "link.sock"), nil
}

// endpoint reaches the runner that listens on a socket.
func endpoint(socket string) sandbox.Endpoint {
	return sandbox.Endpoint{URL: "http://runner/link", Dial: func(ctx context.Context) (net.Conn, error) {
		return link.DialUnix(ctx, socket, os.Getuid())
	}}
}
