package modaltest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"openinspect/session"
)

// sandbox is one of them. What stands above mu does not change once it is open.
type sandbox struct {
	id, task, app, name, root string
	created                   time.Time
	def                       *pb.Sandbox
	env                       []string
	room                      home
	main                      *process // its command
	tunnels                   []*tunnel
	clock                     session.Clock
	gone                      chan struct{} // closed when nothing of it runs any more
	idle                      func()        // ends it when nobody has used it

	mu       sync.Mutex
	open     bool
	result   *pb.GenericResult // how it ended; it may be about to
	tags     map[string]string
	execs    map[string]*process
	users    int         // what keeps it from being idle
	stopLife func() bool // stops what ends it at the end of its life
	stopIdle func() bool // nil while it is in use
}

// opened reports whether it runs, or has run.
func (b *sandbox) opened() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// ended returns how it ended, nil while it runs.
func (b *sandbox) ended() *pb.GenericResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.result
}

func (b *sandbox) workdir() string {
	if d := b.def.GetWorkdir(); d != "" {
		return d
	}
	return "/root"
}

// use keeps it from being idle until release. The lock is held.
func (b *sandbox) use() (release func()) {
	if b.users++; b.stopIdle != nil {
		b.stopIdle()
		b.stopIdle = nil
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.users--; b.users == 0 {
			b.rest()
		}
	}
}

// rest begins its idle time. The lock is held.
func (b *sandbox) rest() {
	if d := time.Duration(b.def.GetIdleTimeoutSecs()) * time.Second; d > 0 && b.result == nil {
		b.stopIdle = b.clock.AfterFunc(d, b.idle)
	}
}

// box returns a sandbox by id, also one that has ended.
func (s *Server) box(id string) (*sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.boxes[id]; b != nil {
		return b, nil
	}
	return nil, status.Errorf(codes.NotFound, "Sandbox %s not found", id)
}

// running returns a sandbox that runs.
func (s *Server) running(id string) (*sandbox, error) {
	b, err := s.box(id)
	if err == nil && b.ended() != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "Sandbox %s has finished", id)
	}
	return b, err
}

// validName reports whether Modal would take a sandbox's name.
func validName(s string) bool {
	return len(s) < 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}

// SandboxCreate makes a sandbox and starts its command.
func (p plane) SandboxCreate(_ context.Context, r *pb.SandboxCreateRequest) (*pb.SandboxCreateResponse, error) {
	id, err := p.s.make(r.GetAppId(), r.GetDefinition())
	if err != nil {
		return nil, err
	}
	return pb.SandboxCreateResponse_builder{SandboxId: id}.Build(), nil
}

// make makes a sandbox and returns its id.
func (s *Server) make(app string, def *pb.Sandbox) (id string, err error) {
	b := &sandbox{
		id: newID("sb"), task: newID("ta"), app: app, name: def.GetName(), def: def, clock: s.c.Clock, gone: make(chan struct{}),
		tags: map[string]string{}, execs: map[string]*process{},
	}
	b.root = filepath.Join(s.c.Dir, "sandboxes", b.id)
	if err := s.reserve(b); err != nil {
		return "", err
	}
	if err := s.open(b); err != nil {
		s.mu.Lock()
		delete(s.boxes, b.id)
		s.mu.Unlock()
		return "", status.Error(codes.Internal, err.Error())
	}
	return b.id, nil
}

// reserve checks what is asked for, and takes the name. The copy of the image's files is made under the lock: it could be deleted meanwhile.
func (s *Server) reserve(b *sandbox) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(slices.Collect(maps.Values(s.apps)), b.app) {
		return status.Errorf(codes.NotFound, "App %s not found", b.app)
	}
	im := s.images[b.def.GetImageId()]
	if im == nil || !im.built {
		return noImage(b.def.GetImageId())
	}
	if !validName(b.name) {
		return status.Errorf(codes.InvalidArgument, "a sandbox cannot have the name %q", b.name)
	}
	for _, o := range s.boxes {
		if b.name != "" && o.name == b.name && o.app == b.app && o.ended() == nil {
			return status.Errorf(codes.AlreadyExists, "a sandbox named %q is running", b.name)
		}
	}
	if im.dir != "" {
		if err := copyTree(im.dir, b.root); err != nil {
			return status.Error(codes.Internal, err.Error())
		}
	}
	b.env = append(s.environment(b.def.GetSecretIds()), "MODAL_SANDBOX_ID="+b.id)
	if b.created = s.c.Clock.Now(); b.created.Sub(s.last) < time.Millisecond { // pages of a list end at a time
		b.created = s.last.Add(time.Millisecond)
	}
	s.last = b.created
	s.boxes[b.id] = b
	return nil
}

func (s *Server) home(b *sandbox) (home, error) {
	if s.c.Run != nil {
		return openLight(b, s.c.Run)
	}
	return openRoom(b.root, s.c.Files)
}

// open brings a sandbox to life.
func (s *Server) open(b *sandbox) error {
	b.idle = func() { s.end(b, pb.GenericResult_GENERIC_STATUS_IDLE_TIMEOUT, 0) }
	r, err := s.home(b)
	if err != nil {
		return err
	}
	tunnels, err := s.openTunnels(b)
	command := b.def.GetEntrypointArgs()
	if len(command) == 0 {
		command = []string{"sleep", "172800"}
	}
	var main *process
	if err == nil {
		main, err = r.start(command, b.workdir(), b.env, false, false)
	}
	if err != nil {
		for _, t := range tunnels {
			t.close()
		}
		r.close()
		return err
	}
	b.mu.Lock()
	b.room, b.tunnels, b.main, b.open = r, tunnels, main, true
	b.stopLife = s.c.Clock.AfterFunc(time.Duration(b.def.GetTimeoutSecs())*time.Second, func() { s.end(b, pb.GenericResult_GENERIC_STATUS_TIMEOUT, 0) })
	b.rest()
	b.mu.Unlock()
	s.mu.Lock()
	s.tasks[b.task] = b
	s.mu.Unlock()
	go func() {
		<-main.done
		how := pb.GenericResult_GENERIC_STATUS_SUCCESS
		if main.code != 0 || main.signal != 0 {
			how = pb.GenericResult_GENERIC_STATUS_FAILURE
		}
		s.end(b, how, main.code)
	}()
	return nil
}

// end ends a sandbox, whose files go with it, and returns when nothing of it is left.
func (s *Server) end(b *sandbox, how pb.GenericResult_GenericStatus, code int) {
	b.mu.Lock()
	if !b.open {
		b.mu.Unlock()
		return // whoever makes it ends it, or Close does when that is over
	}
	first := b.result == nil
	if first {
		b.result = pb.GenericResult_builder{Status: how, Exitcode: int32(code)}.Build()
		for _, stop := range []func() bool{b.stopLife, b.stopIdle} {
			if stop != nil {
				stop()
			}
		}
	}
	b.mu.Unlock()
	if first {
		b.room.close()
		for _, t := range b.tunnels {
			t.close()
		}
		_ = os.RemoveAll(b.root) // what cannot be removed goes with the server's directory
		close(b.gone)
	}
	<-b.gone
}

// SandboxTerminate ends a sandbox.
func (p plane) SandboxTerminate(_ context.Context, r *pb.SandboxTerminateRequest) (*pb.SandboxTerminateResponse, error) {
	b, err := p.s.box(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	p.s.end(b, pb.GenericResult_GENERIC_STATUS_TERMINATED, 0)
	return pb.SandboxTerminateResponse_builder{ExistingResult: b.ended()}.Build(), nil
}

// SandboxWait tells how a sandbox ended, if it does within a time.
func (p plane) SandboxWait(ctx context.Context, r *pb.SandboxWaitRequest) (*pb.SandboxWaitResponse, error) {
	b, err := p.s.box(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	t := time.NewTimer(time.Duration(r.GetTimeout() * float32(time.Second)))
	defer t.Stop()
	select {
	case <-b.gone:
	case <-t.C:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	select {
	case <-b.gone: // it may have been so at once
		return pb.SandboxWaitResponse_builder{Result: b.ended()}.Build(), nil
	default:
		return &pb.SandboxWaitResponse{}, nil
	}
}

// SandboxGetFromName finds the running sandbox of a name.
func (p plane) SandboxGetFromName(_ context.Context, r *pb.SandboxGetFromNameRequest) (*pb.SandboxGetFromNameResponse, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	app := p.s.apps[r.GetAppName()]
	for _, b := range p.s.boxes {
		if b.name == r.GetSandboxName() && b.app == app && b.opened() && b.ended() == nil {
			return pb.SandboxGetFromNameResponse_builder{SandboxId: b.id}.Build(), nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "no sandbox named %q runs in %s", r.GetSandboxName(), r.GetAppName())
}

// SandboxList lists running sandboxes, newest first, in pages.
func (p plane) SandboxList(_ context.Context, r *pb.SandboxListRequest) (*pb.SandboxListResponse, error) {
	p.s.mu.Lock()
	all := slices.Collect(maps.Values(p.s.boxes))
	p.s.mu.Unlock()
	slices.SortFunc(all, func(a, b *sandbox) int { return b.created.Compare(a.created) })
	var page []*pb.SandboxInfo
	for _, b := range all {
		at := float64(b.created.UnixMicro()) / 1e6
		if !b.opened() || r.GetAppId() != "" && r.GetAppId() != b.app || r.GetBeforeTimestamp() > 0 && at >= r.GetBeforeTimestamp() || b.ended() != nil && !r.GetIncludeFinished() || !b.tagged(r.GetTags()) {
			continue
		}
		if len(page) < p.s.c.Page {
			page = append(page, pb.SandboxInfo_builder{Id: b.id, Name: b.name, AppId: b.app, CreatedAt: at, ImageId: b.def.GetImageId()}.Build())
		}
	}
	return pb.SandboxListResponse_builder{Sandboxes: page}.Build(), nil
}

// tagged reports whether it has all these tags.
func (b *sandbox) tagged(tags []*pb.SandboxTag) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range tags {
		if v, ok := b.tags[t.GetTagName()]; !ok || v != t.GetTagValue() {
			return false
		}
	}
	return true
}

// SandboxTagsSet replaces a sandbox's tags.
func (p plane) SandboxTagsSet(_ context.Context, r *pb.SandboxTagsSetRequest) (*emptypb.Empty, error) {
	b, err := p.s.running(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.tags)
	for _, t := range r.GetTags() {
		b.tags[t.GetTagName()] = t.GetTagValue()
	}
	return &emptypb.Empty{}, nil
}

// SandboxTagsGet returns a sandbox's tags.
func (p plane) SandboxTagsGet(_ context.Context, r *pb.SandboxTagsGetRequest) (*pb.SandboxTagsGetResponse, error) {
	b, err := p.s.box(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var tags []*pb.SandboxTag
	for k, v := range b.tags {
		tags = append(tags, pb.SandboxTag_builder{TagName: k, TagValue: v}.Build())
	}
	return pb.SandboxTagsGetResponse_builder{Tags: tags}.Build(), nil
}

// Live returns the names of the sandboxes that run, sorted.
func (s *Server) Live() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, b := range s.boxes {
		if b.ended() == nil {
			names = append(names, b.name)
		}
	}
	slices.Sort(names)
	return names
}

// Vanish takes the running sandbox of a name away, as when its worker dies.
func (s *Server) Vanish(name string) error {
	b := s.named(name)
	if b == nil {
		return fmt.Errorf("no sandbox named %q runs", name)
	}
	s.end(b, pb.GenericResult_GENERIC_STATUS_INTERNAL_FAILURE, 0)
	return nil
}

// Root returns the directory that the running sandbox of a name has as its root, "" if there is none.
func (s *Server) Root(name string) string {
	if b := s.named(name); b != nil {
		return b.root
	}
	return ""
}

// Definition returns what the running sandbox of a name was asked for as, nil if there is none.
func (s *Server) Definition(name string) *pb.Sandbox {
	if b := s.named(name); b != nil {
		return b.def
	}
	return nil
}

// named returns the running sandbox of a name in any App.
func (s *Server) named(name string) *sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boxes {
		if b.name == name && b.opened() && b.ended() == nil {
			return b
		}
	}
	return nil
}
