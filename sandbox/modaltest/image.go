package modaltest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// image is what a sandbox's directory begins as.
type image struct {
	id       string
	dir      string   // its files; "" for none beyond what the computer has
	commands []string // of the Dockerfile of its last layer
	built    bool
	snapshot bool
	told     bool // whoever had it made was told of it
}

var success = pb.GenericResult_builder{Status: pb.GenericResult_GENERIC_STATUS_SUCCESS}.Build()

// ImageGetOrCreate returns the image that a layer's content makes. One that is not built yet is built when it is joined.
func (p plane) ImageGetOrCreate(_ context.Context, r *pb.ImageGetOrCreateRequest) (*pb.ImageGetOrCreateResponse, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	commands := r.GetImage().GetDockerfileCommands()
	if len(commands) == 0 || !strings.HasPrefix(commands[0], "FROM ") || strings.TrimSpace(commands[0]) == "FROM" {
		return nil, status.Error(codes.InvalidArgument, "a Dockerfile must begin with FROM and an image")
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%q\n", r.GetBuilderVersion(), commands)
	dir := ""
	for _, base := range r.GetImage().GetBaseImages() {
		b := p.s.images[base.GetImageId()]
		if b == nil || !b.built {
			return nil, status.Errorf(codes.NotFound, "base image %s not found", base.GetImageId())
		}
		dir = b.dir
		fmt.Fprintln(h, b.id)
	}
	id := "im-" + hex.EncodeToString(h.Sum(nil))[:22]
	im := p.s.images[id]
	if im == nil {
		im = &image{id: id, dir: dir, commands: slices.Clone(commands)}
		p.s.images[id] = im
	}
	if r.GetForceBuild() {
		im.built = false
	}
	b := pb.ImageGetOrCreateResponse_builder{ImageId: id}
	if im.built {
		b.Result = success
	}
	return b.Build(), nil
}

// ImageJoinStreaming builds an image.
func (p plane) ImageJoinStreaming(r *pb.ImageJoinStreamingRequest, to grpc.ServerStreamingServer[pb.ImageJoinStreamingResponse]) error {
	p.s.mu.Lock()
	im := p.s.images[r.GetImageId()]
	if im == nil {
		p.s.mu.Unlock()
		return status.Errorf(codes.NotFound, "image %s not found", r.GetImageId())
	}
	result := success
	if fails(to.Context()) {
		last := im.commands[len(im.commands)-1]
		result = pb.GenericResult_builder{Status: pb.GenericResult_GENERIC_STATUS_FAILURE,
			Exception: "Error building image: failed to run command: " + last + "\nE: Unable to locate package\nexit code 100"}.Build()
	} else {
		im.built = true
	}
	p.s.mu.Unlock()
	log := pb.TaskLogs_builder{Data: "Step 1\n"}.Build()
	if err := to.Send(pb.ImageJoinStreamingResponse_builder{EntryId: "1-0", TaskLogs: []*pb.TaskLogs{log}}.Build()); err != nil {
		return err
	}
	return to.Send(pb.ImageJoinStreamingResponse_builder{EntryId: "2-0", Result: result}.Build())
}

// noImage is the answer for an image that is not there. What cannot be an image's id at all is another mistake.
func noImage(id string) error {
	if !strings.HasPrefix(id, "im-") {
		return status.Errorf(codes.InvalidArgument, "invalid image ID %q", id)
	}
	return status.Errorf(codes.NotFound, "image %s not found", id)
}

// ImageFromId tells whether an image is there.
func (p plane) ImageFromId(_ context.Context, r *pb.ImageFromIdRequest) (*pb.ImageFromIdResponse, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if im := p.s.images[r.GetImageId()]; im == nil || !im.built {
		return nil, noImage(r.GetImageId())
	}
	return pb.ImageFromIdResponse_builder{ImageId: r.GetImageId()}.Build(), nil
}

// ImageDelete deletes an image. Sandboxes that run from it go on: they have files of their own.
func (p plane) ImageDelete(_ context.Context, r *pb.ImageDeleteRequest) (*emptypb.Empty, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	im := p.s.images[r.GetImageId()]
	if im == nil {
		return nil, noImage(r.GetImageId())
	}
	delete(p.s.images, im.id)
	if im.snapshot {
		return &emptypb.Empty{}, os.RemoveAll(im.dir)
	}
	return &emptypb.Empty{}, nil
}

// SandboxSnapshotFs copies a sandbox's files, while it goes on.
func (p plane) SandboxSnapshotFs(ctx context.Context, r *pb.SandboxSnapshotFsRequest) (*pb.SandboxSnapshotFsResponse, error) {
	b, err := p.s.running(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	p.s.making.Add(1)
	defer p.s.making.Add(-1)
	if fails(ctx) {
		return pb.SandboxSnapshotFsResponse_builder{Result: pb.GenericResult_builder{
			Status: pb.GenericResult_GENERIC_STATUS_FAILURE, Exception: "snapshot failed: timed out after 55 s"}.Build()}.Build(), nil
	}
	im := &image{id: newID("im"), built: true, snapshot: true}
	im.dir = filepath.Join(p.s.c.Dir, "images", im.id)
	if err := copyTree(b.root, im.dir); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	im.told = ctx.Err() == nil && !goesWrong(ctx, LostAnswer)
	p.s.images[im.id] = im
	return pb.SandboxSnapshotFsResponse_builder{ImageId: im.id, Result: success}.Build(), nil
}

// copyTree copies a directory with all that is in it. Of one that changes meanwhile it makes a copy in which nothing was missed.
func copyTree(from, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	for range 10 {
		var out []byte
		if out, err = exec.Command("cp", "-a", "--reflink=auto", from, to).CombinedOutput(); err == nil {
			return nil
		}
		err = fmt.Errorf("copy a sandbox's files: %w: %s", err, out)
		if os.RemoveAll(to) != nil {
			break
		}
	}
	return err
}

// Built returns the Dockerfile commands of the images that were built, in no order; snapshots are not among them.
func (s *Server) Built() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]string
	for _, im := range s.images {
		if im.built && !im.snapshot {
			all = append(all, im.commands)
		}
	}
	return all
}

// Snapshots returns how many snapshots there are.
func (s *Server) Snapshots() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, im := range s.images {
		if im.snapshot {
			n++
		}
	}
	return n
}

// Images returns the ids of the snapshots that there are, without those of which nobody was told because the call had broken off: no bot can know of these.
// settled tells that none is being made just now.
func (s *Server) Images() (ids []string, settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, im := range s.images {
		if im.snapshot && im.told {
			ids = append(ids, id)
		}
	}
	return ids, s.making.Load() == 0
}

// ForgetImages loses every image, as when they have expired.
func (s *Server) ForgetImages() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.images)
}
