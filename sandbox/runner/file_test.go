package runner

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openinspect/session"
)

func put(t *testing.T, r *runner, query, body string) int {
	t.Helper()
	w := httptest.NewRecorder()
	r.putFile(w, httptest.NewRequest(http.MethodPut, "/files?"+query, strings.NewReader(body)))
	return w.Code
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	r := &runner{paths: paths{files: filepath.Join(dir, "files")}}
	d := session.Delivery{ID: "1795521600.000100", Text: "look", Files: []session.File{{Name: "../../shot.png", Type: "image/png", Size: 4}, {Name: "a b.txt", Type: "text/plain", Size: 2}}}
	if r.attach(&d) {
		t.Fatal("a prompt is taken whose files have not come")
	}
	for query, want := range map[string]int{
		"prompt=1795521600.000100&n=0&name=..%2F..%2Fshot.png": http.StatusNoContent,
		"prompt=1795521600.000100&n=1&name=a+b.txt":            http.StatusNoContent,
		"prompt=..%2F..%2F..&n=0&name=x":                       http.StatusNoContent, // a name like any other
		"prompt=&n=0&name=x":                                   http.StatusBadRequest,
		"prompt=1&n=-1&name=x":                                 http.StatusBadRequest,
		"prompt=1&n=99&name=x":                                 http.StatusBadRequest,
		"prompt=1&name=x":                                      http.StatusBadRequest,
	} {
		body := "four"
		if strings.Contains(query, "n=1") {
			body = "ab"
		}
		if got := put(t, r, query, body); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	if got := put(t, r, "prompt=1&n=0&name=x", strings.Repeat("x", session.MaxImage+1)); got != http.StatusBadRequest {
		t.Errorf("a file that is too long: %d", got)
	}
	if !r.attach(&d) {
		t.Fatal("the prompt is not taken")
	}
	if want := filepath.Join(dir, "files", "1795521600.000100", "1-_.._shot.png"); d.Files[0].Path != want || !strings.Contains(d.Text, "- "+want+" (image/png, 4 bytes)\n- ") || !strings.HasPrefix(d.Text, "look\n") {
		t.Errorf("the first lies at %s\n%s", d.Files[0].Path, d.Text)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("outside of the directory: %v, %v", entries, err)
	}
	if err := os.Remove(d.Files[1].Path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", d.Files[1].Path); err != nil {
		t.Fatal(err)
	}
	if again := (session.Delivery{ID: d.ID, Files: d.Files[:2]}); r.attach(&again) {
		t.Error("a link is taken for the file")
	}
}
