//go:build linux

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"openinspect/sandbox/proxy"
)

// envWorld tells a served bot where the script's world really is: host:port of its http and of its https server.
const envWorld = "OPENINSPECT_TEST_WORLD"

// The world's name, which only the bot's proxy knows, and its public address, at which nothing is dialled.
const (
	worldName    = "world.test"
	worldAddress = "93.184.215.14"
)

// world is the public internet of a script: a package registry of npm's kind, one of pip's, and a git repository, by http and by https with a
// certificate of an authority of its own. All three packages are called tiny and say which they are.
type world struct {
	plain, tls *httptest.Server
	authority  []byte // PEM
	hanging    atomic.Int32
}

func newWorld(dir string) (*world, error) {
	w := &world{}
	cert, err := w.certify()
	if err != nil {
		return nil, err
	}
	h, err := w.handler(dir)
	if err != nil {
		return nil, err
	}
	w.plain = httptest.NewServer(h)
	w.tls = httptest.NewUnstartedServer(h)
	w.tls.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	w.tls.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that a kill breaks off
	w.tls.StartTLS()
	return w, nil
}

func (w *world) close() {
	w.plain.CloseClientConnections()
	w.plain.Close()
	w.tls.Close()
}

// environment is the value of envWorld.
func (w *world) environment() string {
	return w.plain.Listener.Addr().String() + " " + w.tls.Listener.Addr().String()
}

// reachWorld puts the world where a sandbox would look for it. Everything else is as in the program: the name leads to a public address, which is
// checked as any other.
func reachWorld(where string) func(*proxy.Config) {
	plain, secure, _ := strings.Cut(where, " ")
	return func(c *proxy.Config) {
		c.Resolver = worldResolver{}
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			switch address {
			case worldAddress + ":80":
				address = plain
			case worldAddress + ":443":
				address = secure
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	}
}

type worldResolver struct{}

func (worldResolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if host == worldName {
		return []netip.Addr{netip.MustParseAddr(worldAddress)}, nil
	}
	return net.DefaultResolver.LookupNetIP(ctx, network, host)
}

// certify makes an authority and a certificate of it for the world's name.
func (w *world) certify() (cert tls.Certificate, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "A script's authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return cert, err
	}
	if ca, err = x509.ParseCertificate(caDER); err != nil {
		return cert, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: worldName}, DNSNames: []string{worldName}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return cert, err
	}
	w.authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}, nil
}

// handler serves the packages. What is made of files is below dir.
func (w *world) handler(dir string) (http.Handler, error) {
	repo := filepath.Join(dir, "tiny.git")
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", filepath.Join(dir, "work")},
		{"-C", filepath.Join(dir, "work"), "-c", "user.name=w", "-c", "user.email=w@" + worldName, "commit", "-q", "--allow-empty", "-m", "tiny of git"},
		{"clone", "-q", "--bare", filepath.Join(dir, "work"), repo},
		{"-C", repo, "update-server-info"}, // served as files
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
	}
	tgz, meta, err := npmPackage()
	if err != nil {
		return nil, err
	}
	wheel, err := pipPackage()
	if err != nil {
		return nil, err
	}
	blob := func(b []byte, kind string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", kind)
			_, _ = rw.Write(b) // the client may be gone
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/tiny.git/", http.StripPrefix("/tiny.git/", http.FileServer(http.Dir(repo))))
	mux.HandleFunc("/npm/tiny", blob(meta, "application/json"))
	mux.HandleFunc("/npm/tiny.tgz", blob(tgz, "application/octet-stream"))
	mux.HandleFunc("/simple/tiny/", blob([]byte(`<a href="/tiny-1.0.0-py3-none-any.whl">tiny</a>`), "text/html"))
	mux.HandleFunc("/tiny-1.0.0-py3-none-any.whl", blob(wheel, "application/octet-stream"))
	mux.HandleFunc("/page", blob([]byte("<p>tiny of the web</p>"), "text/html"))
	mux.HandleFunc("/hang", func(rw http.ResponseWriter, r *http.Request) {
		w.hanging.Add(1)
		defer w.hanging.Add(-1)
		_ = http.NewResponseController(rw).Flush() // the client may be gone
		<-r.Context().Done()
	})
	return mux, nil
}

func npmPackage() (tgz, meta []byte, err error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for name, text := range map[string]string{"package/package.json": `{"name":"tiny","version":"1.0.0"}`, "package/index.js": "module.exports = 'tiny of npm'\n"} {
		err = errors.Join(err, t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}))
		_, e := io.WriteString(t, text)
		err = errors.Join(err, e)
	}
	if err := errors.Join(err, t.Close(), z.Close()); err != nil {
		return nil, nil, err
	}
	sum := sha512.Sum512(b.Bytes())
	meta, err = json.Marshal(map[string]any{"name": "tiny", "dist-tags": map[string]string{"latest": "1.0.0"}, "versions": map[string]any{"1.0.0": map[string]any{
		"name": "tiny", "version": "1.0.0",
		"dist": map[string]string{"tarball": "https://" + worldName + "/npm/tiny.tgz", "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])},
	}}})
	return b.Bytes(), meta, err
}

func pipPackage() ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	var err error
	for name, text := range map[string]string{
		"tiny.py":                       "what = 'tiny of pip'\n",
		"tiny-1.0.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0.0\n",
		"tiny-1.0.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nGenerator: script\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"tiny-1.0.0.dist-info/RECORD":   "tiny.py,,\ntiny-1.0.0.dist-info/METADATA,,\ntiny-1.0.0.dist-info/WHEEL,,\ntiny-1.0.0.dist-info/RECORD,,\n",
	} {
		f, e := z.Create(name)
		if e == nil {
			_, e = io.WriteString(f, text)
		}
		err = errors.Join(err, e)
	}
	err = errors.Join(err, z.Close())
	return b.Bytes(), err
}
