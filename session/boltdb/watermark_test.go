package boltdb

import (
	"maps"
	"path/filepath"
	"testing"
)

func TestWatermarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := Open(path, Options{MasterKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	for _, marks := range []map[string]string{{"C1": "1.1", "C1/1.0": "1.1"}, {"C1": "2.1", "C2": "2.0"}, {"C1/1.0": "", "C9": ""}} {
		if err := db.PutWatermarks(t.Context(), marks); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(path, Options{MasterKey: make([]byte, 32)}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	marks, err := db.Watermarks(t.Context())
	if want := map[string]string{"C1": "2.1", "C2": "2.0"}; err != nil || !maps.Equal(marks, want) {
		t.Errorf("the marks are %v, %v; want %v", marks, err, want)
	}
}
