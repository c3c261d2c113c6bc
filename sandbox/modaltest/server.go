package modaltest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"openinspect/session"
)

// The token that a Server takes unless told otherwise.
const (
	TokenID     = "ak-modaltest"
	TokenSecret = "as-modaltest"
)

// Config says what a Server is like. The zero value is ready.
type Config struct {
	Dir         string            // images and sandboxes; default: a new one, removed by Close
	TokenID     string            // default TokenID
	TokenSecret string            // default TokenSecret
	Clock       session.Clock     // of lifetimes and idle times; default: the computer's
	Files       map[string]string // paths in every sandbox, and the files of this computer that are there, read-only
	Page        int               // sandboxes on a page of a list; default 100
	Environment string            // of the workspace, beside the default one; default main

	// Run takes the place of processes, for measurements with hundreds of sandboxes: each program is a call of it, and what it returns the exit
	// status. It returns soon after ctx has ended. Sandboxes have then no files, and Available need not be true.
	Run func(ctx context.Context, p Program) int

	// Seen gets every message of a call, the caller's and the answers, as it goes over the wire: what Modal could keep. Nil: nobody looks.
	Seen func(method string, message []byte)
}

// Server is a Modal. Start starts it, Close ends it and every sandbox.
type Server struct {
	c       Config
	ownDir  bool
	address string
	grpc    *grpc.Server

	mu      sync.Mutex
	faults  map[string]*broken
	calls   map[string]int
	called  chan struct{}                // closed with the next call
	apps    map[string]string            // id by name
	secrets map[string]map[string]string // by id
	images  map[string]*image            // by id
	boxes   map[string]*sandbox          // by id
	tasks   map[string]*sandbox          // by the task's id
	issued  map[string]string            // what a JWT is for: a task's id, or planeToken
	last    time.Time                    // when the newest sandbox was made
	block   bool                         // no connection gets through a tunnel
	making  atomic.Int32                 // snapshots that are being made
}

// New makes a server. It does no I/O.
func New(c Config) *Server {
	if c.TokenID == "" {
		c.TokenID = TokenID
	}
	if c.TokenSecret == "" {
		c.TokenSecret = TokenSecret
	}
	if c.Clock == nil {
		c.Clock = session.SystemClock{}
	}
	if c.Page == 0 {
		c.Page = 100
	}
	if c.Environment == "" {
		c.Environment = "main"
	}
	return &Server{
		c: c, faults: map[string]*broken{}, calls: map[string]int{}, called: make(chan struct{}), apps: map[string]string{}, secrets: map[string]map[string]string{},
		images: map[string]*image{}, boxes: map[string]*sandbox{}, tasks: map[string]*sandbox{}, issued: map[string]string{},
	}
}

// Available tells why sandboxes cannot run on this computer; nil if they can.
func Available() error {
	dir, err := os.MkdirTemp("", "modaltest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := openRoom(filepath.Join(dir, "root"), nil)
	if err != nil {
		return err
	}
	defer r.close()
	if out, err := r.command([]string{"true"}, "/", nil).CombinedOutput(); err != nil {
		return fmt.Errorf("nsenter does not work here: %w: %s", err, out)
	}
	return nil
}

// Start listens on a free port of loopback.
func (s *Server) Start() (err error) {
	for _, program := range []string{"bwrap", "nsenter", "cp"} {
		if _, err := exec.LookPath(program); err != nil && s.c.Run == nil {
			return err
		}
	}
	if s.c.Dir == "" {
		if s.c.Dir, err = os.MkdirTemp("", "modaltest-"); err != nil {
			return err
		}
		s.ownDir = true
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.address = ln.Addr().String()
	s.grpc = grpc.NewServer(
		// The SDK pings every 30 s, also without a call under way, which a server's defaults take for an attack.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(maxMessage), grpc.WaitForHandlers(true),
		grpc.ChainUnaryInterceptor(s.seeUnary, s.unary), grpc.ChainStreamInterceptor(s.seeStream, s.stream),
	)
	pb.RegisterModalClientServer(s.grpc, plane{s: s})
	pb.RegisterTaskCommandRouterServer(s.grpc, router{s: s})
	go func() { _ = s.grpc.Serve(ln) }() // ends with Close
	return nil
}

// maxMessage is what a client may send at once: a server's default, so that who sends more finds out here.
const maxMessage = 4 << 20

// URL is what MODAL_SERVER_URL is to be set to.
func (s *Server) URL() string { return "http://" + s.address }

// Orphans returns an error that names each sandbox that runs, and each snapshot that somebody was told of, and is not among owned, the names of sandboxes
// and ids of images; nil if there is none: on the real Modal somebody would pay for it.
func (s *Server) Orphans(owned ...string) (err error) {
	for _, name := range s.Live() {
		if !slices.Contains(owned, name) {
			err = errors.Join(err, fmt.Errorf("the sandbox %q runs, and is nobody's", name))
		}
	}
	images, _ := s.Images()
	for _, id := range images {
		if !slices.Contains(owned, id) {
			err = errors.Join(err, fmt.Errorf("the image %q is kept, and is nobody's", id))
		}
	}
	return err
}

// Close ends every sandbox, and the server. Its error is that of Orphans first, so that whoever uses a Server says what may run and be kept by then.
func (s *Server) Close(owned ...string) error {
	orphans := s.Orphans(owned...)
	endAll := func() {
		s.MendAll()
		s.mu.Lock()
		all := slices.Collect(maps.Values(s.boxes))
		s.mu.Unlock()
		for _, b := range all {
			s.end(b, pb.GenericResult_GENERIC_STATUS_TERMINATED, 0)
		}
	}
	endAll() // which lets calls go that wait for processes
	if s.grpc != nil {
		s.grpc.Stop()
		endAll() // what was being made meanwhile
	}
	if s.ownDir {
		return errors.Join(orphans, os.RemoveAll(s.c.Dir))
	}
	return orphans
}

// plane is the control plane, router the task command router. Both are one server on one port.
type plane struct {
	pb.UnimplementedModalClientServer
	s *Server
}

type router struct {
	pb.UnimplementedTaskCommandRouterServer
	s *Server
}

// unary lets a call through to its method, or goes wrong as Break said.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	method := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
	b := s.meet(method)
	if err := s.admit(ctx, info.FullMethod, false); err != nil {
		return nil, err
	}
	if b == nil {
		return next(ctx, req)
	}
	if err := b.before(ctx, method); err != nil {
		return nil, err
	}
	answer, err := next(context.WithValue(ctx, faultKey{}, b), req)
	if err == nil && b.fault == LostAnswer {
		return nil, status.Error(codes.Unavailable, method+": the connection was lost")
	}
	return answer, err
}

// stream is unary for calls that are answered by a stream.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	method := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
	b := s.meet(method)
	if err := s.admit(ss.Context(), info.FullMethod, true); err != nil {
		return err
	}
	if b == nil {
		return next(srv, ss)
	}
	if err := b.before(ss.Context(), method); err != nil {
		return err
	}
	return next(srv, faulty{ss, context.WithValue(ss.Context(), faultKey{}, b)})
}

type faulty struct {
	grpc.ServerStream
	ctx context.Context
}

func (f faulty) Context() context.Context { return f.ctx }

// newID makes an id as Modal's are: a prefix and 22 letters or digits.
func newID(prefix string) string { return prefix + "-" + rand.Text()[:22] }
