package gateway

import (
	"encoding/json"
	"strings"
	"testing"

	"openinspect/session/model"
)

// What is sent is what was looked at: neither another case of a name nor a name that stands there twice smuggles anything past.
func TestAdmitSendsWhatItLookedAt(t *testing.T) {
	name := bareName(t, model.Anthropic).Name
	for _, body := range []string{
		`{"model":"` + name + `","tools":[{"type":"web_search_20250305","Type":"custom","name":"a"},{"type":"custom","name":"mine"}]}`,
		`{"model":"` + name + `","tools":[{"type":"web_search_20250305","type":"custom","name":"mine"}]}`,
		`{"model":"` + name + `","tools":[{"type":"web_search_20250305"}],"tools":[{"name":"mine"}]}`,
		`{"model":"unheard-of","model":"` + name + `","tools":[{"type":["web_search_20250305"]},null,{"name":"mine"}]}`,
	} {
		sent, m, err := admit(model.Anthropic, []byte(body))
		if err != nil || m.Name != name || !json.Valid(sent) {
			t.Errorf("%s: %v", body, err)
		}
		if s := string(sent); strings.Contains(s, "web_search") || strings.Contains(s, "unheard-of") || !strings.Contains(s, `"mine"`) {
			t.Errorf("%s was sent as %s", body, s)
		}
	}
}
