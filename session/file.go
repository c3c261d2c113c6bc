package session

import "strings"

// What may be attached to a message.
const (
	MaxImages       = 6         // in one prompt
	MaxTexts        = 10        // text files
	MaxImage        = 10 << 20  // bytes
	MaxTextFile     = 1 << 20   // bytes
	MaxSessionFiles = 256 << 20 // bytes of a session's files
)

// File is what somebody attached to a message. Its content is kept beside the session, under its hash.
type File struct {
	Name string `json:"name"` // as FileName makes it
	Type string `json:"type"` // media type, by the content: an image's, or text/plain
	Size int64  `json:"size"` // bytes
	Hash string `json:"hash"` // SHA-256, hexadecimal
	Path string `json:"-"`    // where it lies, in its sandbox alone
}

// Image reports whether the file is an image.
func (f File) Image() bool { return strings.HasPrefix(f.Type, "image/") }

// maxFileName is how many bytes a name may have: file systems take 255, with what is put in front.
const maxFileName = 200

// FileName makes a name that can be a file's in any directory: one line, no separators, nothing hidden, at most 80 characters and 200 bytes.
func FileName(s string) string {
	s = strings.NewReplacer("/", "_", `\`, "_", ":", "_").Replace(OneLine(strings.ToValidUTF8(s, ""), 80))
	for n := 79; len(s) > maxFileName; n-- {
		s = OneLine(s, n)
	}
	s = strings.TrimLeft(s, ".- ")
	if s == "" {
		return "file"
	}
	return s
}
