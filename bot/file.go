package bot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// file is what somebody attached to a message, as Slack describes it.
type file struct {
	ID     string `json:"id,omitempty"`
	Name   string `json:"name"`
	Type   string `json:"mimetype,omitempty"`
	Size   int64  `json:"size,omitempty"`
	Mode   string `json:"mode,omitempty"`        // hosted, snippet, external, tombstone, hidden_by_limit, …
	Access string `json:"file_access,omitempty"` // check_file_info: the description is elsewhere
	URL    string `json:"url_private_download,omitempty"`
	View   string `json:"url_private,omitempty"`
}

// described is a file as the Web API describes it.
func described(f slack.File) file {
	return file{ID: f.ID, Name: f.Name, Type: f.Mimetype, Size: int64(f.Size), Mode: f.Mode, Access: f.FileAccess, URL: f.URLPrivateDownload, View: f.URLPrivate}
}

// Files keeps what people attach, and has what agents show.
type Files interface {
	// KeepFile stores a file of a session and returns its hash. Invalid, with a sentence for the person, if the session has had too many.
	KeepFile(ctx context.Context, id session.ID, body []byte) (hash string, err error)
	// File returns a file of a session; NotFound if it is not there any more.
	File(ctx context.Context, id session.ID, hash string) ([]byte, error)
}

// kinds are the media types of images that models are shown.
var kinds = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// unread is a file that the agent does not get, and why.
type unread struct{ name, why string }

func (u unread) String() string { return code(u.name) + " (" + escape(u.why) + ")" }

// unreadNote begins what the agent is told of a file that it does not get.
const unreadNote = "\n\n(Attached in Slack, but not readable: "

func (u unread) note() string { return unreadNote + u.name + ", " + u.why + ")" }

// unreadNotes is what a prompt says of such files. An edit of its message changes nothing about them.
func unreadNotes(text string) string {
	if i := strings.Index(text, unreadNote); i >= 0 {
		return text[i:]
	}
	return ""
}

// hopeless says why a file cannot be read, as far as its description tells; "" if it may be.
func (f file) hopeless() string {
	switch f.Mode {
	case "tombstone":
		return "it was deleted"
	case "hidden_by_limit":
		return "Slack hides it: the workspace has reached its limit"
	case "external":
		return "it lies outside Slack"
	}
	limit, what := int64(session.MaxTextFile), "1 MiB"
	switch {
	case strings.HasPrefix(f.Type, "image/"):
		limit, what = session.MaxImage, "10 MiB"
	case strings.HasPrefix(f.Type, "video/"), strings.HasPrefix(f.Type, "audio/"):
		return "I read images and text"
	}
	if f.Size > limit {
		return "it is larger than " + what
	}
	return ""
}

// all are the files of a message, those of messages that it forwards included.
func (e event) all() []file {
	files := e.Files
	for _, a := range e.Attachments {
		if a.Share {
			files = append(files[:len(files):len(files)], a.Files...)
		}
	}
	return files
}

// readable reports whether any of them may be of use to the agent.
func readable(files []file) bool {
	for _, f := range files {
		if f.hopeless() == "" {
			return true
		}
	}
	return false
}

// attach reads a message's files and keeps them beside the session, for its prompt. What cannot be read is returned with why; an error is for
// what may pass.
func (b *Bot) attach(ctx context.Context, e event, id session.ID, p *session.Prompt) (left []unread, err error) {
	images, texts := 0, 0
	for _, f := range e.all() {
		name := session.FileName(f.Name)
		if images >= session.MaxImages && strings.HasPrefix(f.Type, "image/") { // it need not be downloaded to be refused
			left = append(left, unread{name, tooManyImages})
			continue
		}
		kind, body, why, err := b.read(ctx, f)
		switch {
		case err != nil:
			return nil, err
		case why != "":
		case kind == "text/plain" && texts == session.MaxTexts:
			why = fmt.Sprintf("I take %d text files at a time", session.MaxTexts)
		case kind == "text/plain":
			texts++
		case images == session.MaxImages:
			why = tooManyImages
		default:
			images++
		}
		hash := ""
		if why == "" {
			if kind == "text/plain" { // an image's words cannot be looked through
				whole := body
				body = []byte(b.cfg.Redactor.String(string(whole)))
				p.Redacted = p.Redacted || !bytes.Equal(body, whole)
			}
			if hash, err = b.store.KeepFile(ctx, id, body); refused(err) {
				why = session.Sentence(err)
			} else if err != nil {
				return nil, session.Wrap("bot.attach", err)
			}
		}
		if why != "" {
			left = append(left, unread{name, why})
			continue
		}
		p.Files = append(p.Files, session.File{Name: name, Type: kind, Size: int64(len(body)), Hash: hash})
	}
	return left, nil
}

var tooManyImages = fmt.Sprintf("I take %d images at a time", session.MaxImages)

// errLong ends a download that is longer than it may be.
var errLong = errors.New("the file is too long")

// capped takes at most so many bytes. It has no other method of the buffer's: io.Copy would go past Write by ReadFrom.
type capped struct {
	taken bytes.Buffer
	left  int
}

func (c *capped) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		return 0, errLong
	}
	return c.taken.Write(p)
}

// read downloads a file and tells by its content what it is. why is a reason that will not pass.
func (b *Bot) read(ctx context.Context, f file) (kind string, body []byte, why string, err error) {
	if f.Access == "check_file_info" || f.URL == "" && f.View == "" && f.ID != "" && f.hopeless() == "" {
		info, _, _, err := b.api.GetFileInfoContext(ctx, f.ID, 0, 0)
		if err != nil {
			if err = b.outside("files.info", err); session.CodeOf(err) == session.Unavailable {
				return "", nil, "", err
			}
			return "", nil, "Slack does not show it to me", nil
		}
		f = described(*info)
	}
	if why := f.hopeless(); why != "" {
		return "", nil, why, nil
	}
	address := f.URL
	if address == "" {
		address = f.View
	}
	content := &capped{left: session.MaxImage}
	err = b.api.GetFileContext(ctx, address, content)
	status, _ := errors.AsType[slack.StatusCodeError](err)
	switch {
	case errors.Is(err, errLong):
		return "", nil, "it is larger than 10 MiB", nil
	case err != nil && (ctx.Err() != nil || status.Code >= 500 || status.Code == http.StatusTooManyRequests):
		return "", nil, "", session.Wrap("bot.read", &session.Error{Code: session.Unavailable, Message: "Slack does not hand over " + session.FileName(f.Name) + ". Please try again in a minute.", Err: err})
	case err != nil:
		b.logger.Warn("Slack does not hand over a file. Does the app have the scope files:read?", "file", f.ID, "error", err)
		return "", nil, "Slack does not hand it over to me", nil
	}
	body = content.taken.Bytes()
	kind = http.DetectContentType(body)
	for _, k := range kinds {
		if kind == k {
			return kind, body, "", nil
		}
	}
	switch {
	case len(body) == 0:
		return "", nil, "it is empty", nil
	case !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0:
		return "", nil, "I read PNG, JPEG, GIF and WebP images, and text", nil
	case len(body) > session.MaxTextFile:
		return "", nil, "it is larger than 1 MiB", nil
	}
	return "text/plain", body, "", nil
}

// without tells a message's author which of its files the agent does not have.
func without(left []unread) string {
	var names []string
	for _, u := range left[:min(10, len(left))] {
		names = append(names, u.String())
	}
	if more := len(left) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return "The agent has your message without " + strings.Join(names, ", ") + "."
}
