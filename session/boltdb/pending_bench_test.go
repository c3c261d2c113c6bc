package boltdb

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"openinspect/session"
)

// BenchmarkPending reads an outbox in which a thousand messages wait, as the sender does whenever one of them was sent.
func BenchmarkPending(b *testing.B) {
	db, err := Open(filepath.Join(b.TempDir(), "db"), Options{MasterKey: make([]byte, 32)})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	var all []session.Message
	for n := range 1_000 {
		all = append(all, session.Message{Key: fmt.Sprintf("s/%d", n), Op: session.MessagePost, Channel: "C", Text: strings.Repeat("x", 300),
			Blocks: []byte(`[{"type":"section","text":{"type":"mrkdwn","text":"` + strings.Repeat("y", 1_200) + `"}}]`)})
	}
	if err := db.Put(context.Background(), all...); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		got, err := db.Pending(context.Background())
		if err != nil || len(got) != len(all) {
			b.Fatal(len(got), err)
		}
	}
}
