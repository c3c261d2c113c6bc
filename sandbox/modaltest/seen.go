package modaltest

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// see shows a message to whoever looks.
func (s *Server) see(method string, message any) {
	if m, ok := message.(proto.Message); ok && s.c.Seen != nil {
		if b, err := proto.Marshal(m); err == nil { // it came, or goes, so
			s.c.Seen(method, b)
		}
	}
}

func (s *Server) seeUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	s.see(info.FullMethod, req)
	answer, err := next(ctx, req)
	if err == nil {
		s.see(info.FullMethod, answer)
	}
	return answer, err
}

func (s *Server) seeStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(srv, seen{ss, s, info.FullMethod})
}

// seen is a stream at which somebody looks.
type seen struct {
	grpc.ServerStream
	s      *Server
	method string
}

func (n seen) RecvMsg(m any) error {
	err := n.ServerStream.RecvMsg(m)
	if err == nil {
		n.s.see(n.method, m)
	}
	return err
}

func (n seen) SendMsg(m any) error {
	n.s.see(n.method, m)
	return n.ServerStream.SendMsg(m)
}
