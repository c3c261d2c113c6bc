package sandboxtest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"openinspect/sandbox"
)

func newProvider(t *testing.T) *Provider {
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
}

func TestConformance(t *testing.T) {
	Conformance(t, func(t *testing.T) sandbox.Provider { return newProvider(t) })
}

func TestRemoteConformance(t *testing.T) {
	Conformance(t, func(t *testing.T) sandbox.Provider {
		p := newProvider(t)
		socket := filepath.Join(t.TempDir(), "provider.sock")
		ln, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: Handler(p)}}
		srv.Start()
		t.Cleanup(srv.Close)
		return NewRemote(socket)
	})
}
