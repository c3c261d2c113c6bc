package modal

import (
	"testing"

	"openinspect/session"
)

// A session may have an image of another provider, from before Modal was used: it is gone, and the session goes on without it.
func TestImageOfAnotherProvider(t *testing.T) {
	r := newRig(t, false)
	for _, mode := range []session.BootMode{session.BootSnapshot, session.BootImage} {
		_, err := r.Create(r.ctx, spec("one", "s1", "inspect-aaaaaaaaaa-1", mode))
		code(t, "create, "+string(mode), err, session.NotFound)
	}
	code(t, "delete", r.DeleteImage(r.ctx, "inspect-aaaaaaaaaa-1"), "")
}
