package session_test

import (
	"testing"

	"openinspect/session/sessiontest"
)

func TestDialogues(t *testing.T) { sessiontest.Dialogues(t, "testdata") }
