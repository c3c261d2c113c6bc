package modal

import (
	"context"
	"errors"
	"strings"

	sdk "github.com/modal-labs/libmodal/modal-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"openinspect/session"
)

// What people are told. The chain below has the SDK's own words.
const (
	saysNothing = "Modal, where sandboxes run, does not answer right now. Please try again in a few minutes."
	saysLater   = "Modal, where sandboxes run, has no room or takes no more requests right now."
	saysNo      = "Modal, where sandboxes run, refuses the bot's token. Its operator has to check MODAL_TOKEN_ID and MODAL_TOKEN_SECRET. Please send your message again once that is mended."
	saysWrong   = "Modal, where sandboxes run, does not take what the bot asks for; the operator's log says what. Please send your message again once that is mended."
	saysNowhere = "Modal, where sandboxes run, does not have the environment that the bot is set to. Its operator has to check MODAL_ENVIRONMENT. Please send your message again once that is mended."
	saysGone    = "The sandbox is gone."
)

// judge gives an error of the SDK's one of our codes. Most of them are plain gRPC statuses; some have types; one is words alone.
func judge(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*session.Error](err); ok {
		return err
	}
	code, says := session.Unavailable, saysNothing
	switch {
	case as[sdk.NotFoundError](err), strings.Contains(err.Error(), "has already completed with result"): // Exec in a sandbox that has ended
		code, says = session.NotFound, saysGone
	case as[sdk.AlreadyExistsError](err):
		code, says = session.Conflict, "A sandbox of that name runs already."
	case as[sdk.InvalidError](err), as[sdk.RemoteError](err):
		code, says = session.Internal, saysWrong
	case as[sdk.ExecTimeoutError](err), as[sdk.SandboxTimeoutError](err), as[sdk.InternalFailure](err), as[sdk.ExecutionError](err), as[sdk.ClientClosedError](err):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
	case strings.Contains(err.Error(), "missing token_id or token_secret"): // said by the SDK itself, before it asks
		code, says = session.Forbidden, saysNo
	default:
		code, says = judgeStatus(status.Code(err))
	}
	return &session.Error{Code: code, Message: says, Err: err}
}

func judgeStatus(c codes.Code) (session.Code, string) {
	switch c {
	case codes.NotFound:
		return session.NotFound, saysGone
	case codes.AlreadyExists:
		return session.Conflict, "A sandbox of that name runs already."
	case codes.Unauthenticated, codes.PermissionDenied:
		return session.Forbidden, saysNo
	case codes.ResourceExhausted:
		return session.Unavailable, saysLater
	case codes.InvalidArgument, codes.FailedPrecondition, codes.Unimplemented, codes.OutOfRange:
		return session.Internal, saysWrong
	case codes.OK, codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.Aborted, codes.Internal, codes.Unavailable, codes.DataLoss:
	}
	return session.Unavailable, saysNothing
}

// as reports whether an error of that type is in err's chain.
func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func asRemote(err error) (sdk.RemoteError, bool) { return errors.AsType[sdk.RemoteError](err) }

func isNotFound(err error) bool { return session.CodeOf(judge(err)) == session.NotFound }
