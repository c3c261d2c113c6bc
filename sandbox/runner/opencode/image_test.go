package opencode

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openinspect/session"
)

// picture is a PNG; noise does not compress.
func picture(t *testing.T, width, height int, noise bool) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		m.Pix[i] = 0xff
		if noise {
			m.Pix[i] = byte(r.Uint32())
		}
	}
	m.Set(0, 0, color.Black)
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFitted(t *testing.T) {
	small := picture(t, 100, 50, true)
	if kind, body, ok := fitted("image/png", small); !ok || kind != "image/png" || !bytes.Equal(body, small) {
		t.Errorf("a small one is changed: %s, %d bytes, %v", kind, len(body), ok)
	}
	for name, c := range map[string]struct {
		body          []byte
		width, height int
	}{
		"many bytes":  {picture(t, 1000, 900, true), 1000, 900},
		"many pixels": {picture(t, 9000, 90, false), 2000, 20},
	} {
		kind, body, ok := fitted("image/png", c.body)
		got, _, err := image.DecodeConfig(bytes.NewReader(body))
		if !ok || err != nil || len(body) > maxShownBytes || got.Width != c.width || got.Height != c.height {
			t.Errorf("%s: %s of %d bytes, %d×%d, %v, %v", name, kind, len(body), got.Width, got.Height, ok, err)
		}
	}
	bomb := append([]byte{}, picture(t, 1, 1, false)...)
	copy(bomb[16:24], []byte{0, 1, 0, 0, 0, 1, 0, 0}) // says that it is 65,536 pixels wide and high
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	if c, _, err := image.DecodeConfig(bytes.NewReader(bomb)); err != nil || c.Width != 1<<16 || decodable(c) {
		t.Errorf("the bomb is %+v, %v", c, err)
	}
	for _, c := range []image.Config{{ColorModel: color.NRGBA64Model, Width: 8192, Height: 8192}, {Width: 1 << 31, Height: 1 << 31}, {Width: -1, Height: -1}, {}} {
		if decodable(c) {
			t.Errorf("%+v is decoded", c)
		}
	}
	if !decodable(image.Config{ColorModel: color.YCbCrModel, Width: 12_000, Height: 8_000}) {
		t.Error("a camera's picture is not decoded")
	}
	for name, body := range map[string][]byte{"bomb": bomb, "no image": []byte("GIF89a"), "nothing": nil} {
		if _, _, ok := fitted("image/png", body); ok {
			t.Errorf("%s is shown", name)
		}
	}
}

func TestFileParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.png")
	if err := os.WriteFile(path, picture(t, 2, 2, false), 0o600); err != nil {
		t.Fatal(err)
	}
	parts := fileParts([]session.File{{Name: "notes.txt", Type: "text/plain", Path: path}, {Name: "a.png", Type: "image/png", Path: path}, {Name: "gone.png", Type: "image/png", Path: path + "x"}})
	if len(parts) != 1 {
		t.Fatalf("parts: %v", parts)
	}
	p := parts[0].(map[string]any)
	if p["type"] != "file" || p["filename"] != "a.png" || !strings.HasPrefix(p["url"].(string), "data:image/png;base64,iVBOR") {
		t.Errorf("part: %v", p)
	}
}
