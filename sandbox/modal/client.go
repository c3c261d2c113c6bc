package modal

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"sync"

	sdk "github.com/modal-labs/libmodal/modal-go"
	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
	"google.golang.org/grpc"

	"openinspect/session"
)

// imageBuilder is the version of Modal's image builder: this one puts nothing of Modal's own into an image.
const imageBuilder = "2025.06"

// envMu is held while the SDK reads its settings from the environment of this process: some it takes from nowhere else.
var envMu sync.Mutex

// connect makes the SDK's client. It does no I/O. The file ~/.modal.toml of whoever runs the bot has no say.
func connect(c Config) (_ *sdk.Client, err error) {
	envMu.Lock()
	defer envMu.Unlock()
	for name, value := range map[string]string{
		"MODAL_SERVER_URL": cmp.Or(c.ServerURL, "https://api.modal.com:443"), "MODAL_CONFIG_PATH": os.DevNull, "MODAL_PROFILE": "", "MODAL_IMAGE_BUILDER_VERSION": imageBuilder,
		"MODAL_TOKEN_ID": "", "MODAL_TOKEN_SECRET": "", "MODAL_ENVIRONMENT": "",
	} {
		was, set := os.LookupEnv(name)
		if err := os.Setenv(name, value); err != nil {
			return nil, session.Wrap("modal.connect", err)
		}
		defer func() {
			if set {
				_ = os.Setenv(name, was) // it could be set a moment ago
			} else {
				_ = os.Unsetenv(name)
			}
		}()
	}
	// What the SDK logs is every call, with all of its arguments. What went wrong comes as an error, too.
	client, err := sdk.NewClientWithOptions(&sdk.ClientParams{
		TokenID: c.TokenID, TokenSecret: c.TokenSecret, Environment: c.Environment, Logger: slog.New(slog.DiscardHandler),
		GRPCUnaryInterceptors: []grpc.UnaryClientInterceptor{noteNames},
	})
	return client, session.Wrap("modal.connect", err)
}

// names are sandboxes' names by id. The SDK lists ids alone, though Modal tells the names with them: a list that is asked for with a names in its
// context has them noted.
type names map[string]string

type namesKey struct{}

func noteNames(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := next(ctx, method, req, reply, cc, opts...)
	if list, ok := reply.(*pb.SandboxListResponse); ok && err == nil {
		if n, ok := ctx.Value(namesKey{}).(names); ok {
			for _, s := range list.GetSandboxes() {
				n[s.GetId()] = s.GetName()
			}
		}
	}
	return err
}
