package sandboxtest

import (
	"testing"

	"openinspect/sandbox"
)

func TestConformance(t *testing.T) {
	Conformance(t, func(t *testing.T) sandbox.Provider {
		p := &Provider{}
		t.Cleanup(func() {
			if n := p.Live(); n != 0 {
				t.Errorf("%d sandboxes are left", n)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		return p
	})
}
