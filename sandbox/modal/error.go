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
	msgNoAnswer      = "Modal, where sandboxes run, does not answer right now. Please try again in a few minutes."
	msgNoRoom        = "Modal, where sandboxes run, has no room or takes no more requests right now."
	msgTokenRefused  = "Modal, where sandboxes run, refuses the bot's token. Its operator has to check MODAL_TOKEN_ID and MODAL_TOKEN_SECRET. Please send your message again once that is mended."
	msgRejected      = "Modal, where sandboxes run, does not take what the bot asks for; the operator's log says what. Please send your message again once that is mended."
	msgNoEnvironment = "Modal, where sandboxes run, does not have the environment that the bot is set to. Its operator has to check MODAL_ENVIRONMENT. Please send your message again once that is mended."
	msgBuilding      = "Modal, where sandboxes run, still builds the image that they start from, which takes some minutes the first time."
	msgGone          = "The sandbox is gone."
	msgNameTaken     = "A sandbox of that name runs already."
)

// sessionError gives an error of the SDK's one of our codes. Most of them are plain gRPC statuses; some have types; one is words alone.
func sessionError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*session.Error](err); ok {
		return err
	}
	code, says := session.Unavailable, msgNoAnswer
	switch {
	case as[sdk.NotFoundError](err), strings.Contains(err.Error(), "has already completed with result"): // Exec in a sandbox that has ended
		code, says = session.NotFound, msgGone
	case as[sdk.AlreadyExistsError](err):
		code, says = session.Conflict, msgNameTaken
	case as[sdk.InvalidError](err), as[sdk.RemoteError](err):
		code, says = session.Internal, msgRejected
	case as[sdk.ExecTimeoutError](err), as[sdk.SandboxTimeoutError](err), as[sdk.InternalFailure](err), as[sdk.ExecutionError](err), as[sdk.ClientClosedError](err):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
	case strings.Contains(err.Error(), "missing token_id or token_secret"): // said by the SDK itself, before it asks
		code, says = session.Forbidden, msgTokenRefused
	default:
		code, says = statusCode(status.Code(err))
	}
	return &session.Error{Code: code, Message: says, Err: err}
}

// statusCode is sessionError for a gRPC status: our code, and what people are told.
func statusCode(c codes.Code) (session.Code, string) {
	switch c {
	case codes.NotFound:
		return session.NotFound, msgGone
	case codes.AlreadyExists:
		return session.Conflict, msgNameTaken
	case codes.Unauthenticated, codes.PermissionDenied:
		return session.Forbidden, msgTokenRefused
	case codes.ResourceExhausted:
		return session.Unavailable, msgNoRoom
	case codes.InvalidArgument, codes.FailedPrecondition, codes.Unimplemented, codes.OutOfRange:
		return session.Internal, msgRejected
	case codes.OK, codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.Aborted, codes.Internal, codes.Unavailable, codes.DataLoss:
	}
	return session.Unavailable, msgNoAnswer
}

// as reports whether an error of that type is in err's chain.
func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isNotFound(err error) bool { return session.CodeOf(sessionError(err)) == session.NotFound }
