package opencode

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	_ "image/gif" // read
	"image/jpeg"
	"image/png"
	"os"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // read

	"openinspect/session"
)

// What a model is shown of an image. Anthropic refuses images of more than 5 MB, as base64, or 8,000 pixels, and makes those of more than 1,568
// pixels smaller itself: docs.anthropic.com, "Vision".
const (
	maxShownBytes = 3 << 20
	maxShownSide  = 8_000
	shownSide     = 2_000       // of an image that has to become smaller
	maxDecoded    = 400_000_000 // bytes of one that is decoded for that; more would be a bomb
)

// fileParts are the parts of a prompt that show the model its images. Where one cannot be shown the agent still has the file.
func fileParts(files []session.File) []any {
	var parts []any
	for _, f := range files {
		if !f.Image() {
			continue
		}
		body, err := os.ReadFile(f.Path)
		if err != nil {
			continue
		}
		kind, body, ok := fitted(f.Type, body)
		if !ok {
			continue
		}
		parts = append(parts, map[string]any{"type": "file", "mime": kind, "filename": f.Name, "url": "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(body)})
	}
	return parts
}

// fitted makes an image small enough for a model; false if it is none, or too large to be made smaller.
func fitted(kind string, body []byte) (string, []byte, bool) {
	c, _, err := image.DecodeConfig(bytes.NewReader(body))
	switch {
	case err != nil || !decodable(c):
		return "", nil, false
	case len(body) <= maxShownBytes && max(c.Width, c.Height) <= maxShownSide:
		return kind, body, true
	}
	whole, _, err := image.Decode(bytes.NewReader(body))
	if err != nil {
		return "", nil, false
	}
	scale := min(1, float64(shownSide)/float64(max(c.Width, c.Height)))
	small := image.NewRGBA(image.Rect(0, 0, max(1, int(float64(c.Width)*scale)), max(1, int(float64(c.Height)*scale))))
	draw.CatmullRom.Scale(small, small.Bounds(), whole, whole.Bounds(), draw.Src, nil)
	var out bytes.Buffer
	if err := png.Encode(&out, small); err == nil && out.Len() <= maxShownBytes {
		return "image/png", out.Bytes(), true
	}
	out.Reset()
	if err := jpeg.Encode(&out, small, &jpeg.Options{Quality: 85}); err != nil || out.Len() > maxShownBytes {
		return "", nil, false
	}
	return "image/jpeg", out.Bytes(), true
}

// decodable reports whether an image of that shape may be decoded.
func decodable(c image.Config) bool {
	depth := 4 // bytes of a pixel
	if c.ColorModel == color.RGBA64Model || c.ColorModel == color.NRGBA64Model {
		depth = 8
	}
	return c.Width > 0 && c.Height > 0 && c.Width <= maxDecoded/depth/c.Height
}
