package modaltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// SandboxGetTaskId tells which task a sandbox's programs run in.
func (p plane) SandboxGetTaskId(_ context.Context, r *pb.SandboxGetTaskIdRequest) (*pb.SandboxGetTaskIdResponse, error) {
	b, err := p.s.box(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	if result := b.ended(); result != nil {
		return pb.SandboxGetTaskIdResponse_builder{TaskResult: result}.Build(), nil
	}
	return pb.SandboxGetTaskIdResponse_builder{TaskId: &b.task}.Build(), nil
}

// TaskGetCommandRouterAccess tells where a task's router is, and gives a token for it.
func (p plane) TaskGetCommandRouterAccess(_ context.Context, r *pb.TaskGetCommandRouterAccessRequest) (*pb.TaskGetCommandRouterAccessResponse, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	b := p.s.tasks[r.GetTaskId()]
	if b == nil {
		return nil, status.Errorf(codes.NotFound, "task %s not found", r.GetTaskId())
	}
	// The SDK wants https, and then dials in plaintext because the control plane is on loopback.
	return pb.TaskGetCommandRouterAccessResponse_builder{Jwt: p.s.issue(b.task), Url: "https://" + p.s.address}.Build(), nil
}

// task returns the sandbox that a running task belongs to.
func (s *Server) task(id string) (*sandbox, error) {
	s.mu.Lock()
	b := s.tasks[id]
	s.mu.Unlock()
	if b == nil || b.ended() != nil {
		return nil, status.Errorf(codes.NotFound, "task %s does not run", id)
	}
	return b, nil
}

// TaskExecStart starts a program, once for each id.
func (r router) TaskExecStart(_ context.Context, q *pb.TaskExecStartRequest) (*pb.TaskExecStartResponse, error) {
	b, err := r.s.task(q.GetTaskId())
	if err != nil {
		return nil, err
	}
	if len(q.GetCommandArgs()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "there is no command")
	}
	r.s.mu.Lock()
	env := append(b.env[:len(b.env):len(b.env)], r.s.environment(q.GetSecretIds())...)
	r.s.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.execs[q.GetExecId()] != nil {
		return &pb.TaskExecStartResponse{}, nil
	}
	dir := q.GetWorkdir()
	if dir == "" {
		dir = b.workdir()
	}
	p, err := b.room.start(q.GetCommandArgs(), dir, env,
		q.GetStdoutConfig() == pb.TaskExecStdoutConfig_TASK_EXEC_STDOUT_CONFIG_DEVNULL, q.GetStderrConfig() == pb.TaskExecStderrConfig_TASK_EXEC_STDERR_CONFIG_DEVNULL)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	b.execs[q.GetExecId()] = p
	release := b.use()
	go func() { <-p.done; release() }()
	if t := time.Duration(q.GetTimeoutSecs()) * time.Second; t > 0 {
		stop := r.s.c.Clock.AfterFunc(t, p.kill)
		go func() { <-p.done; stop() }()
	}
	return &pb.TaskExecStartResponse{}, nil
}

// exec returns a program that was started.
func (r router) exec(task, id string) (*process, error) {
	r.s.mu.Lock()
	b := r.s.tasks[task]
	r.s.mu.Unlock()
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		if p := b.execs[id]; p != nil {
			return p, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "exec %s not found in task %s", id, task)
}

// TaskExecStdinWrite gives a program input.
func (r router) TaskExecStdinWrite(_ context.Context, q *pb.TaskExecStdinWriteRequest) (*pb.TaskExecStdinWriteResponse, error) {
	p, err := r.exec(q.GetTaskId(), q.GetExecId())
	if err != nil {
		return nil, err
	}
	return &pb.TaskExecStdinWriteResponse{}, p.write(q.GetOffset(), q.GetData(), q.GetEof())
}

// TaskExecStdioRead streams a program's output from an offset on, until its end.
func (r router) TaskExecStdioRead(q *pb.TaskExecStdioReadRequest, to grpc.ServerStreamingServer[pb.TaskExecStdioReadResponse]) error {
	p, err := r.exec(q.GetTaskId(), q.GetExecId())
	if err != nil {
		return err
	}
	out := &p.out
	if q.GetFileDescriptor() == pb.TaskExecStdioFileDescriptor_TASK_EXEC_STDIO_FILE_DESCRIPTOR_STDERR {
		out = &p.err
	}
	for offset := int(q.GetOffset()); ; {
		b, err := out.next(to.Context(), offset)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return status.FromContextError(err).Err()
		}
		offset += len(b)
		if err := to.Send(pb.TaskExecStdioReadResponse_builder{Data: b}.Build()); err != nil {
			return err
		}
	}
}

// TaskExecWait tells how a program ended, once it has.
func (r router) TaskExecWait(ctx context.Context, q *pb.TaskExecWaitRequest) (*pb.TaskExecWaitResponse, error) {
	p, err := r.exec(q.GetTaskId(), q.GetExecId())
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if p.signal != 0 {
		n := int32(p.signal)
		return pb.TaskExecWaitResponse_builder{Signal: &n}.Build(), nil
	}
	n := int32(p.code)
	return pb.TaskExecWaitResponse_builder{Code: &n}.Build(), nil
}

// SandboxGetLogs streams what a sandbox's own command prints.
func (p plane) SandboxGetLogs(r *pb.SandboxGetLogsRequest, to grpc.ServerStreamingServer[pb.TaskLogsBatch]) error {
	b, err := p.s.box(r.GetSandboxId())
	if err != nil {
		return err
	}
	out := &b.main.out
	if r.GetFileDescriptor() == pb.FileDescriptor_FILE_DESCRIPTOR_STDERR {
		out = &b.main.err
	}
	offset := 0
	if _, err := fmt.Sscanf(r.GetLastEntryId(), "%d-0", &offset); err != nil && r.GetLastEntryId() != "" {
		return status.Errorf(codes.InvalidArgument, "no such entry: %s", r.GetLastEntryId())
	}
	for {
		data, err := out.next(to.Context(), offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return status.FromContextError(err).Err()
		}
		offset += len(data)
		batch := pb.TaskLogsBatch_builder{EntryId: fmt.Sprintf("%d-0", offset), Eof: err != nil}
		if err == nil {
			batch.Items = []*pb.TaskLogs{pb.TaskLogs_builder{Data: string(data), FileDescriptor: r.GetFileDescriptor()}.Build()}
		}
		if err := to.Send(batch.Build()); err != nil || batch.Eof {
			return err
		}
	}
}
