package modaltest

import (
	"context"
	"maps"
	"slices"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// AppGetOrCreate returns the App of a name.
func (p plane) AppGetOrCreate(_ context.Context, r *pb.AppGetOrCreateRequest) (*pb.AppGetOrCreateResponse, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if e := r.GetEnvironmentName(); e != "" && e != p.s.c.Environment {
		return nil, status.Errorf(codes.NotFound, "Environment %q not found", e)
	}
	id := p.s.apps[r.GetAppName()]
	if id == "" {
		if r.GetObjectCreationType() != pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_IF_MISSING {
			return nil, status.Errorf(codes.NotFound, "App %q not found", r.GetAppName())
		}
		id = newID("ap")
		p.s.apps[r.GetAppName()] = id
	}
	return pb.AppGetOrCreateResponse_builder{AppId: id}.Build(), nil
}

// SecretGetOrCreate keeps an ephemeral secret: what the SDK makes of an environment.
func (p plane) SecretGetOrCreate(_ context.Context, r *pb.SecretGetOrCreateRequest) (*pb.SecretGetOrCreateResponse, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	id := newID("st")
	p.s.secrets[id] = r.GetEnvDict()
	return pb.SecretGetOrCreateResponse_builder{SecretId: id}.Build(), nil
}

// environment returns the variables of some secrets. The lock is held.
func (s *Server) environment(secrets []string) (env []string) {
	for _, id := range secrets {
		for k, v := range s.secrets[id] {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// ForgetApps loses every App, as when somebody deletes it; sandboxes in it end.
func (s *Server) ForgetApps() {
	s.mu.Lock()
	clear(s.apps)
	all := slices.Collect(maps.Values(s.boxes))
	s.mu.Unlock()
	for _, b := range all {
		s.end(b, pb.GenericResult_GENERIC_STATUS_TERMINATED, 0)
	}
}
