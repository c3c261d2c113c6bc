package runner

import (
	"context"
	"errors"
	"testing"
	"time"

	"openinspect/session/sessiontest"
)

func TestTransferThatMovesIsNotEnded(t *testing.T) {
	clock := &sessiontest.Clock{}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	p := newPulse(clock, cancel)
	defer p.close()
	for range 10 {
		clock.Advance(transferSilence - time.Second)
		if _, err := p.Write([]byte("Receiving objects: 1%")); err != nil || ctx.Err() != nil {
			t.Fatal(err, context.Cause(ctx))
		}
	}
	clock.Advance(transferSilence)
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), errSilent) {
		t.Error(context.Cause(ctx))
	}
}

func TestProgressIsNoReason(t *testing.T) {
	said := "Cloning into '.'...\nremote: Enumerating objects: 9, done.        \nremote: Counting objects:  50% (1/2)        \rremote: Counting objects: 100% (2/2), done.        \n" +
		"Receiving objects:  1% (1/99)\rReceiving objects:  2% (2/99), 12.00 MiB | 3.00 MiB/s\rremote: Repository is being moved.\nfatal: early EOF\n"
	if got := plainWords(said); got != "remote: Repository is being moved. fatal: early EOF" {
		t.Errorf("%q", got)
	}
}
