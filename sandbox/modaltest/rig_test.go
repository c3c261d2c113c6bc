package modaltest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	modal "github.com/modal-labs/libmodal/modal-go"

	"openinspect/session/sessiontest"
)

// The test binary is also a program for sandboxes: "echo PORT" sends back what comes.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "echo" {
		if err := serveEcho(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	done, err := Trust()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = done()
	os.Exit(code)
}

func serveEcho(port string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() { _, _ = io.Copy(c, c); c.Close() }()
	}
}

// rig is a server with a client of Modal's own SDK.
type rig struct {
	*Server
	t      *testing.T
	ctx    context.Context
	clock  *sessiontest.Clock
	client *modal.Client
	app    *modal.App
	image  *modal.Image
}

// patience ends failing tests; nothing else depends on it.
const patience = 3 * time.Minute

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	if err := Available(); err != nil {
		if os.Getenv("TEST_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no sandbox can be made here: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := &rig{t: t, ctx: ctx, clock: &sessiontest.Clock{}}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Dir: t.TempDir(), Clock: r.clock, Files: map[string]string{"/opt/echo": exe}}
	for _, f := range change {
		f(&c)
	}
	r.Server = New(c)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	r.client = r.connect(TokenID, TokenSecret)
	t.Cleanup(func() {
		images, _ := r.Images() // are left to whoever had them made
		if err := errors.Join(r.endAll(), r.Close(images...)); err != nil {
			t.Error(err)
		}
	})
	if r.app, err = r.client.Apps.FromName(ctx, "inspect", &modal.AppFromNameParams{CreateIfMissing: true}); err != nil {
		t.Fatal(err)
	}
	r.image = r.client.Images.FromRegistry("debian:bookworm-slim", nil)
	return r
}

// endAll ends every sandbox that is listed, so that Close tells of those that are not.
func (r *rig) endAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r.MendAll()
	seq, err := r.client.Sandboxes.List(ctx, nil)
	if err != nil {
		return err
	}
	for sb, e := range seq {
		if err = errors.Join(err, e); e == nil {
			_, e = sb.Terminate(ctx, &modal.SandboxTerminateParams{Wait: true})
			err = errors.Join(err, e)
		}
	}
	return err
}

func (r *rig) connect(id, secret string) *modal.Client {
	r.t.Helper()
	r.t.Setenv("MODAL_SERVER_URL", r.URL())
	r.t.Setenv("MODAL_CONFIG_PATH", os.DevNull)
	c, err := modal.NewClientWithOptions(&modal.ClientParams{TokenID: id, TokenSecret: secret, Environment: "main", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

func (r *rig) create(p *modal.SandboxCreateParams) *modal.Sandbox {
	r.t.Helper()
	sb, err := r.client.Sandboxes.Create(r.ctx, r.app, r.image, p)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = sb.Detach() }) // it may be detached already
	return sb
}

// run runs a shell script and returns what it printed and how it ended.
func (r *rig) run(sb *modal.Sandbox, script string, in []byte) (out, errOut string, code int) {
	r.t.Helper()
	p, err := sb.Exec(r.ctx, []string{"sh", "-c", script}, &modal.SandboxExecParams{Env: map[string]string{"WHO": "ada"}})
	if err != nil {
		r.t.Fatal(err)
	}
	for len(in) > 0 {
		n, err := p.Stdin.Write(in[:min(len(in), 1<<20)])
		if err != nil {
			r.t.Fatal(err)
		}
		in = in[n:]
	}
	if err := p.Stdin.Close(); err != nil {
		r.t.Fatal(err)
	}
	o, err := io.ReadAll(p.Stdout)
	if err != nil {
		r.t.Fatal(err)
	}
	e, err := io.ReadAll(p.Stderr)
	if err != nil {
		r.t.Fatal(err)
	}
	if code, err = p.Wait(r.ctx); err != nil {
		r.t.Fatal(err)
	}
	return string(o), string(e), code
}

// echo starts the echo program, and returns a connection to it through the tunnel of a port.
func (r *rig) echo(sb *modal.Sandbox, port int) net.Conn {
	r.t.Helper()
	if _, err := sb.Exec(r.ctx, []string{"sh", "-c", "/opt/echo echo " + strconv.Itoa(port) + " >/dev/null 2>&1 &"}, nil); err != nil {
		r.t.Fatal(err)
	}
	tunnels, err := sb.Tunnels(r.ctx, patience)
	if err != nil || tunnels[port] == nil {
		r.t.Fatalf("tunnels %v, %v", tunnels, err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := new(tls.Dialer).DialContext(r.ctx, "tcp", net.JoinHostPort(tunnels[port].Host, strconv.Itoa(tunnels[port].Port)))
		if err == nil {
			got := make([]byte, 5)
			if _, err = c.Write([]byte("hello")); err == nil {
				_, err = io.ReadFull(c, got)
			}
			if err == nil && string(got) == "hello" {
				return c
			}
			c.Close()
		}
		select {
		case <-tick.C: // it does not listen yet
		case <-r.ctx.Done():
			r.t.Fatal("the program in the sandbox cannot be reached")
		}
	}
}

// processes returns how many processes on this computer have a word in their command line.
func processes(t *testing.T, word string) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(word)) {
			n++
		}
	}
	return n
}
