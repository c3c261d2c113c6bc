//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/rogpeppe/go-internal/testscript"
)

// forgotten NAME [APP]: makes a sandbox on the play's Modal that nobody has noted, in the bot's App or another.
func (p *play) cmdForgotten(_ context.Context, _ *testscript.TestScript, args []string) error {
	switch {
	case p.modal == nil:
		return errors.New("there is no Modal: bot modal")
	case len(args) != 1 && len(args) != 2:
		return usage("forgotten NAME [APP]")
	}
	return p.modal.Forgotten(cmp.Or(append(args[1:], "openinspect-*")...), args[0])
}
