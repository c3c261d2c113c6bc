package github

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"

	"openinspect/session"
)

// Kinds of objects in a pack, by git's numbers.
const (
	packCommit = 1
	packTree   = 2
	packBlob   = 3
	packTag    = 4
	packDelta  = 7 // against an object named by its hash
)

// forgery is a bundle made by hand: git would refuse to make most of what is in it.
type forgery struct {
	objects       [][]byte // as a pack holds them
	count         int      // if not 0, what the pack claims to hold
	prerequisites []string
	head          string
}

// add puts an object in and returns its hash.
func (f *forgery) add(kind int, data []byte) string {
	name := map[int]string{packCommit: "commit", packTree: "tree", packBlob: "blob", packTag: "tag"}[kind]
	sum := sha1.Sum(append(fmt.Appendf(nil, "%s %d\x00", name, len(data)), data...))
	f.objects = append(f.objects, entry(kind, len(data), nil, data))
	return hex.EncodeToString(sum[:])
}

// zlibs are kept: making one costs more than what most objects take.
var zlibs = sync.Pool{New: func() any {
	z, err := zlib.NewWriterLevel(nil, zlib.BestSpeed)
	if err != nil {
		panic(err)
	}
	return z
}}

// entry is an object in a pack: kind and length in seven bits at a time, a delta's base, and the compressed data.
func entry(kind, size int, base, data []byte) []byte {
	var b bytes.Buffer
	c := byte(kind<<4) | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		b.WriteByte(c | 0x80)
		c = byte(size & 0x7f)
	}
	b.WriteByte(c)
	b.Write(base)
	z := zlibs.Get().(*zlib.Writer)
	defer zlibs.Put(z)
	z.Reset(&b)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

// repeat adds a delta that says base, of so many bytes, n times over. The hash of what comes of it is not known here.
func (f *forgery) repeat(base string, size, n int) {
	varint := func(b []byte, v int) []byte {
		for ; v >= 0x80; v >>= 7 {
			b = append(b, byte(v)|0x80)
		}
		return append(b, byte(v))
	}
	d := varint(varint(nil, size), size*n)
	for range n { // copy from 0, with three bytes of length
		d = append(d, 0x80|0x10|0x20|0x40, byte(size), byte(size>>8), byte(size>>16))
	}
	raw, err := hex.DecodeString(base)
	if err != nil {
		panic(err)
	}
	f.objects = append(f.objects, entry(packDelta, len(d), raw, d))
}

func (f *forgery) blob(text string) string { return f.add(packBlob, []byte(text)) }

// treeEntry is a line of a tree: nothing about it is checked.
type treeEntry struct{ mode, name, hash string }

// tree adds a tree with its entries in the order given.
func (f *forgery) tree(entries ...treeEntry) string {
	var b bytes.Buffer
	for _, e := range entries {
		raw, err := hex.DecodeString(e.hash)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%s %s\x00%s", e.mode, e.name, raw)
	}
	return f.add(packTree, b.Bytes())
}

// file is a tree with one file.
func (f *forgery) file(name, text string) string {
	return f.tree(treeEntry{"100644", name, f.blob(text)})
}

// draft is a commit that is not made yet; its zero fields are those of an honest one.
type draft struct {
	tree      string
	parents   []string
	author    string // the whole line without its key
	committer string
	headers   string // after the committer, with their line breaks
	message   string
}

const date = "1795000000 +0000"

// commit adds a commit and makes it the head.
func (f *forgery) commit(w *world, d draft) string {
	a, _ := ada.Author()
	line := func(s string, a session.Author) string {
		if s == "" {
			s = fmt.Sprintf("%s <%s> %s", a.Name, a.Email, date)
		}
		return s
	}
	var b strings.Builder
	b.WriteString("tree " + d.tree + "\n")
	for _, p := range d.parents {
		b.WriteString("parent " + p + "\n")
	}
	b.WriteString("author " + line(d.author, a) + "\ncommitter " + line(d.committer, w.bot) + "\n" + d.headers + "\n")
	if d.message == "" {
		d.message = "Change\n"
	}
	b.WriteString(d.message)
	f.head = f.add(packCommit, []byte(b.String()))
	return f.head
}

func (f *forgery) pack() []byte {
	var b bytes.Buffer
	b.WriteString("PACK\x00\x00\x00\x02")
	count := len(f.objects)
	if f.count != 0 {
		count = f.count
	}
	b.Write(binary.BigEndian.AppendUint32(nil, uint32(count)))
	for _, o := range f.objects {
		b.Write(o)
	}
	sum := sha1.Sum(b.Bytes())
	b.Write(sum[:])
	return b.Bytes()
}

func (f *forgery) bundle() []byte {
	var b bytes.Buffer
	b.WriteString("# v2 git bundle\n")
	for _, p := range f.prerequisites {
		b.WriteString("-" + p + " x\n")
	}
	b.WriteString(f.head + " refs/inspect/head\n\n")
	b.Write(f.pack())
	return b.Bytes()
}

// taken has the gate judge a bundle.
func (w *world) taken(bundle []byte) (*session.Changes, error) {
	return w.github.Collect(context.Background(), w.request(), func(context.Context, []string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(bundle)), nil
	})
}

// tip is the remote's main branch.
func (w *world) tip() string { return w.server.Refs("acme/web")["refs/heads/main"] }

// onServer runs git on the remote's own repository.
func (w *world) onServer(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", w.server.Path("acme/web")}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("git %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// mainTree is main's tree, entry by entry, for trees that only add to it.
func (w *world) mainTree() []treeEntry {
	var entries []treeEntry
	for line := range strings.Lines(w.onServer("ls-tree", "main")) {
		meta, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		f := strings.Fields(meta)
		entries = append(entries, treeEntry{strings.TrimPrefix(f[0], "0"), name, f[2]})
	}
	return entries
}
