package session

import (
	"strings"
	"testing"
)

func TestAuditHead(t *testing.T) {
	want := AuditHead{N: 412, MAC: strings.Repeat("3f9a", 16)}
	for _, s := range []string{want.String(), "  412\t" + strings.ToUpper(want.MAC) + "\n"} {
		if got, err := ParseAuditHead(s); err != nil || got != want {
			t.Errorf("%q: %v %v", s, got, err)
		}
	}
	for _, s := range []string{"", "412", want.MAC, "412 3f9a", "0 " + want.MAC, "-1 " + want.MAC, "412 " + want.MAC + " more", "412 " + want.MAC[:63] + "x", "99999999999999999999 " + want.MAC} {
		if got, err := ParseAuditHead(s); CodeOf(err) != Invalid || got != (AuditHead{}) {
			t.Errorf("%q: %v %v", s, got, err)
		}
	}
}
