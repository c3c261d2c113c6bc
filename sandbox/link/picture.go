package link

import (
	"bytes"
	"image"
	_ "image/gif"  // read
	_ "image/jpeg" // read
	_ "image/png"  // read

	_ "golang.org/x/image/webp" // read

	"openinspect/session"
)

// Picture returns the media type of an image that Slack shows, by its content. Invalid, with a sentence for whoever has it, for anything else, and
// for one of more than MaxUpload bytes.
func Picture(content []byte) (mediaType string, err error) {
	if len(content) > MaxUpload {
		return "", session.Errorf(session.Invalid, "The image has more than %d MiB.", MaxUpload>>20)
	}
	c, format, err := image.DecodeConfig(bytes.NewReader(content))
	if err != nil || c.Width <= 0 || c.Height <= 0 {
		return "", session.Errorf(session.Invalid, "That is no PNG, JPEG, GIF or WebP image.")
	}
	return "image/" + format, nil
}
