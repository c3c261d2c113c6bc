package sandbox

import (
	"context"
	"errors"
	"net"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// Provider runs sandboxes. Errors are session.Errors: Unavailable may be tried again, the other codes are final for that request.
type Provider interface {
	// Create makes the sandbox s.Name and starts the runner s.Boot.Start in it. It is idempotent by both: a sandbox of that name in which
	// that runner works is adopted; one with another runner has that one ended first and keeps its directory. NotFound when
	// s.Image does not exist (any more).
	Create(ctx context.Context, s Spec) (session.Handle, error)
	// Find returns the sandbox of that name in which a runner works. NotFound when there is none, or its runner has ended.
	Find(ctx context.Context, name string) (Found, error)
	// List returns this installation's sandboxes, with a runner or left over, but not those that are put away as images. The handles are good for
	// Destroy; they may have no address.
	List(ctx context.Context) ([]session.Handle, error)
	// Dial returns how to reach the runner's link. NotFound when the sandbox is gone. Whether the runner listens yet is not known.
	Dial(ctx context.Context, h session.Handle) (Endpoint, error)
	// Snapshot makes an image of the sandbox's files. NotFound when the sandbox is gone. Until Destroy it may be called again.
	Snapshot(ctx context.Context, h session.Handle) (image string, err error)
	// Destroy ends the sandbox and all its processes, and returns when none is left. Images made of it stay. One that is gone is no error.
	Destroy(ctx context.Context, h session.Handle) error
}

// ErrFull is in the chain of Create's error when the provider has no room just now and has made nothing: whoever asks again later may get it.
var ErrFull = errors.New("the provider is full")

// ImageDeleter is a Provider whose images take room until they are deleted.
type ImageDeleter interface {
	// DeleteImage deletes one. Conflict while it is also a sandbox's files; one that does not exist is no error.
	DeleteImage(ctx context.Context, image string) error
}

// ImageLister is a Provider that can tell which images this installation keeps. What another has made is known from an Archive alone.
type ImageLister interface {
	Images(ctx context.Context) ([]string, error)
}

// Mortal is a Provider that ends its sandboxes, and their files with them: Lifetime after Create was called, or later.
type Mortal interface {
	Lifetime() time.Duration
}

// Spec is what a sandbox is made of. Name is unique in the installation; Image is empty for the provider's base. Of Boot the provider
// sets where to listen, the directory and the agent's path; Mode is in it. Mode snapshot_restore without an image asks for the files of
// the sandbox of that name as they are; where there are none the provider starts a fresh one, and says so in the Boot.
type Spec struct {
	Name  string
	Image string
	Boot  link.Boot
}

// Found is a sandbox that lives. Start is the id of the runner in it, empty when the provider cannot tell.
type Found struct {
	Handle session.Handle
	Start  string
}

// Endpoint is where a runner listens. URL is http or https and has the link's path. Dial, when set, replaces the
// network: it connects to this sandbox whatever address it is asked for.
type Endpoint struct {
	URL  string
	Dial func(ctx context.Context) (net.Conn, error)
}
