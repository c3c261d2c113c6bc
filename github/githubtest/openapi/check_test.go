package openapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A checker that lets everything pass would show nothing, so each thing that it is to find is wrong here once.
func TestCheck(t *testing.T) {
	c, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	const (
		repo    = "/api/v3/repos/acme/web"
		refused = `{"message":"Validation Failed","documentation_url":"https://docs.github.com/rest","errors":[{"resource":"PullRequest","code":"custom"}]}`
		comment = `{"sha":"` + "a" + `","merged":true,"message":"Merged"}`
	)
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		answer, want             string
	}{
		{"a merge", "PUT", repo + "/pulls/1/merge", `{"sha":"abc","merge_method":"squash"}`, 200, comment, ""},
		{"a method that is none", "PUT", repo + "/pulls/1/merge", `{"merge_method":"octopus"}`, 200, comment, "/merge_method"},
		{"a field that is none", "PUT", repo + "/pulls/1/merge", `{"commit":"abc"}`, 200, comment, `no field "commit"`},
		{"an answer without what it must have", "PUT", repo + "/pulls/1/merge", `{}`, 200, `{"merged":true,"message":""}`, `property "sha" is missing`},
		{"an answer of another type", "PUT", repo + "/pulls/1/merge", `{}`, 200, `{"sha":"a","merged":"yes","message":""}`, "/merged"},
		{"a status that is not described", "PUT", repo + "/pulls/1/merge", `{}`, 418, `{"teapot":1}`, ""},
		{"a body that is null", "POST", "/api/v3/app/installations/1/access_tokens", `null`, 201, `{"token":"t","expires_at":"e"}`, "not nullable"},
		{"a body where there is none", "GET", repo + "/pulls/1/reviews", `{}`, 200, `[]`, "it has a body"},
		{"no number", "GET", repo + "/pulls/x/reviews", ``, 200, `[]`, "pull_number"},
		{"a parameter", "GET", repo + "/pulls?state=open&head=acme:x&per_page=100", ``, 200, `[]`, ""},
		{"a parameter that is none", "GET", repo + "/pulls?sate=open", ``, 200, `[]`, `no parameter "sate"`},
		{"a parameter out of its values", "GET", repo + "/pulls?state=merged", ``, 200, `[]`, `parameter "state"`},
		{"an object where a list belongs", "GET", repo + "/pulls", ``, 200, `{}`, "answer"},
		{"what is missing", "POST", repo + "/pulls", `{"title":"T"}`, 201, `{}`, `property "head" is missing`},
		{"what is missing, refused", "POST", repo + "/pulls", `{"title":"T"}`, 422, refused, ""},
		{"a refusal without its reasons' code", "POST", repo + "/pulls", `{"title":"T"}`, 422, `{"message":"m","documentation_url":"d","errors":[{"field":"f"}]}`, `property "code" is missing`},
		{"a ref with slashes", "GET", repo + "/git/ref/heads/a/b", ``, 404, `{}`, ""},
		{"checks of a ref with slashes", "GET", repo + "/commits/a/b/check-runs?filter=latest", ``, 200, `{"total_count":0,"check_runs":[]}`, ""},
		{"checks that are not counted", "GET", repo + "/commits/a/b/check-runs", ``, 200, `{"check_runs":[]}`, `"total_count" is missing`},
		{"no operation", "GET", repo + "/pulls/1/likes", ``, 404, `{}`, "no such operation"},
		{"no method of it", "DELETE", repo + "/pulls/1/merge", ``, 404, `{}`, "no such operation"},
		{"another base", "GET", "/api/v4/app", ``, 404, `{}`, "no such operation"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body))
			header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
			if tc.body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			err := c.Check(r, []byte(tc.body), tc.status, header, []byte(tc.answer))
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("found %v, want %q", err, tc.want)
			}
		})
	}
}

func TestSlimNamesWhatIsMissing(t *testing.T) {
	if _, err := slim([]byte(`{`)); err == nil {
		t.Error("half a description was cut")
	}
	if _, err := slim([]byte(`{"paths":{}}`)); err == nil || !strings.Contains(err.Error(), "amended") {
		t.Errorf("without what is amended: %v", err)
	}
	var v any
	if err := json.Unmarshal([]byte(`{"a":[{"$ref":"#/x"}],"examples":{"$ref":"#/y"}}`), &v); err != nil {
		t.Fatal(err)
	}
	if got := references(v, nil); len(got) != 1 || got[0] != "#/x" {
		t.Errorf("references are %v", got)
	}
}
