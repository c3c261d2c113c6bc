package modaltest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// planeToken is what an auth token of the control plane is issued for.
const planeToken = "plane"

// admit checks who calls. For streams the SDK sends no auth token.
func (s *Server) admit(ctx context.Context, method string, stream bool) error {
	md, _ := metadata.FromIncomingContext(ctx)
	one := func(key string) string { // the SDK asks for an auth token with the headers of the call that needs it, and its own
		return strings.Join(slices.Compact(md.Get(key)), ",")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(method, "/modal.task_command_router.") {
		if s.tasks[s.issued[strings.TrimPrefix(one("authorization"), "Bearer ")]] == nil {
			return status.Error(codes.Unauthenticated, "the command router does not know this token")
		}
		return nil
	}
	switch {
	case one("x-modal-token-id") != s.c.TokenID || one("x-modal-token-secret") != s.c.TokenSecret:
		return status.Error(codes.Unauthenticated, "Token validation failed.")
	case stream, strings.HasSuffix(method, "/AuthTokenGet"):
	case s.issued[one("x-modal-auth-token")] != planeToken:
		return status.Error(codes.Unauthenticated, "the auth token is not one of ours")
	}
	return nil
}

// issue makes a JWT. The SDK reads when it expires and nothing else of it. The lock is held.
func (s *Server) issue(what string) string {
	claims := fmt.Appendf(nil, `{"exp":%d,"jti":%q}`, time.Now().Add(time.Hour).Unix(), rand.Text())
	token := "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".e30"
	s.issued[token] = what
	return token
}

// AuthTokenGet exchanges the token for one that is good for an hour.
func (p plane) AuthTokenGet(context.Context, *pb.AuthTokenGetRequest) (*pb.AuthTokenGetResponse, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return pb.AuthTokenGetResponse_builder{Token: p.s.issue(planeToken)}.Build(), nil
}
