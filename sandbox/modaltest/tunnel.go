package modaltest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// tunnel is an encrypted port's public end: TLS that is taken off here, and a connection to the port for each that comes.
type tunnel struct {
	ln   net.Listener
	port uint32 // in the sandbox

	mu    sync.Mutex
	conns map[net.Conn]bool // nil once it is closed
}

// openTunnels opens one for each port that a sandbox wants open.
func (s *Server) openTunnels(b *sandbox) (all []*tunnel, err error) {
	for _, spec := range b.def.GetOpenPorts().GetPorts() {
		cert, err := certificate()
		if err != nil {
			return all, err
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return all, err
		}
		if !spec.GetUnencrypted() {
			// Whoever offers HTTP/2 is taken at their word, though what is behind the tunnel speaks what it speaks.
			ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}})
		}
		t := &tunnel{ln: ln, port: spec.GetPort(), conns: map[net.Conn]bool{}}
		all = append(all, t)
		go t.accept(s, b)
	}
	return all, nil
}

func (t *tunnel) accept(s *Server, b *sandbox) {
	for {
		c, err := t.ln.Accept()
		if err != nil {
			return // it was closed
		}
		if s.blocked() {
			c.Close()
			continue
		}
		b.mu.Lock()
		release := b.use()
		b.mu.Unlock()
		go func() {
			defer release()
			t.carry(c)
		}()
	}
}

// carry passes everything between a caller and the port, until either side has had enough.
func (t *tunnel) carry(outer net.Conn) {
	defer outer.Close()
	inner, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", t.port))
	if err != nil {
		return
	}
	defer inner.Close()
	if !t.hold(outer) || !t.hold(inner) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(inner, outer); inner.Close() }) // how a connection ends is not the tunnel's business
	both.Go(func() { _, _ = io.Copy(outer, inner); outer.Close() })
	both.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, outer)
	delete(t.conns, inner)
}

// hold notes a connection, to be cut with the tunnel; false if that is closed.
func (t *tunnel) hold(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns == nil {
		return false
	}
	t.conns[c] = true
	return true
}

func (t *tunnel) close() {
	t.ln.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		c.Close()
	}
	t.conns = nil // under the same lock: one that comes now is refused
}

// cut ends the connections that stand.
func (t *tunnel) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		c.Close()
	}
}

// CutTunnels ends every connection through the running sandbox's tunnels; new ones are taken.
func (s *Server) CutTunnels(name string) {
	if b := s.named(name); b != nil {
		for _, t := range b.tunnels {
			t.cut()
		}
	}
}

// BlockTunnels ends every connection through every tunnel, and closes new ones at once, or lets them through again.
func (s *Server) BlockTunnels(block bool) {
	s.mu.Lock()
	s.block = block
	s.mu.Unlock()
	if block {
		for _, name := range s.Live() {
			s.CutTunnels(name)
		}
	}
}

func (s *Server) blocked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.block
}

// SandboxGetTunnels tells where a sandbox's ports can be reached.
func (p plane) SandboxGetTunnels(_ context.Context, r *pb.SandboxGetTunnelsRequest) (*pb.SandboxGetTunnelsResponse, error) {
	b, err := p.s.running(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	var all []*pb.TunnelData
	for _, t := range b.tunnels {
		port := uint32(t.ln.Addr().(*net.TCPAddr).Port)
		all = append(all, pb.TunnelData_builder{Host: "127.0.0.1", Port: port, ContainerPort: t.port}.Build())
	}
	return pb.SandboxGetTunnelsResponse_builder{Result: success, Tunnels: all}.Build(), nil
}

// authority is who signs for the tunnels of all servers in this process: an authority and a certificate of it for loopback.
var authority = sync.OnceValues(func() (a struct {
	pem  []byte
	cert tls.Certificate
}, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return a, err
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "modaltest"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		return a, err
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: ca.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return a, err
	}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, ca, own.Public(), key); err != nil {
		return a, err
	}
	a.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}
	return a, nil
})

func certificate() (tls.Certificate, error) {
	a, err := authority()
	return a.cert, err
}

// Authority writes the certificate, PEM, by which the tunnels of this process's servers are known. A program that is started with its path as SSL_CERT_FILE
// trusts them.
func Authority(path string) error {
	a, err := authority()
	if err != nil {
		return err
	}
	return os.WriteFile(path, a.pem, 0o600)
}

// Trust makes this process, and those that it starts with its environment, take the tunnels' certificates and no others. It must come before
// the process's first use of TLS, because Go reads the system's authorities once: in TestMain. done removes the file that it needs.
func Trust() (done func() error, err error) {
	dir, err := os.MkdirTemp("", "modaltest-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "authority.pem")
	err = errors.Join(Authority(file), os.Setenv("SSL_CERT_FILE", file), os.Setenv("SSL_CERT_DIR", os.DevNull))
	return func() error { return os.RemoveAll(dir) }, err
}
