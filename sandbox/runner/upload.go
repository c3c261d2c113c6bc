package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// upload answers the tool upload_image: it reads the file and passes it on as POST /tools/upload.
func (r *runner) upload(w http.ResponseWriter, q *http.Request) {
	var a uploadArguments
	if err := readBody(w, q, link.MaxToolBody, &a); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	content, err := readImage([]string{r.paths.checkout, os.TempDir()}, a.Path)
	if err == nil {
		_, err = link.Picture(content)
	}
	if err != nil {
		refuse(w, link.StatusOf(session.CodeOf(err)), err)
		return
	}
	b, err := json.Marshal(link.UploadRequest{Name: filepath.Base(a.Path), Alt: a.Alt, Content: content})
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	q.Body = io.NopCloser(bytes.NewReader(b))
	r.forwardUpTo(w, q, "/tools/upload", toolTimeout, link.MaxUploadBody)
}

// readImage reads a regular file in one of the directories, by a path in the first or an absolute one. No link leads out of them.
func readImage(dirs []string, path string) ([]byte, error) {
	if path == "" {
		return nil, session.Errorf(session.Invalid, "Which image? Give its path.")
	}
	for i, dir := range dirs {
		name := filepath.Clean(path)
		if filepath.IsAbs(path) {
			if within, err := filepath.Rel(dir, path); err == nil {
				name = within
			}
		} else if i > 0 {
			continue
		}
		if !filepath.IsLocal(name) {
			continue
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, session.Wrap("runner.readImage", err)
		}
		defer root.Close()
		return readRegular(root, name)
	}
	return nil, session.Errorf(session.Invalid, "Only images in the checkout and in %s can be shown.", strings.Join(dirs[1:], ", "))
}

func readRegular(root *os.Root, name string) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // nobody may write to a pipe
	if errors.Is(err, os.ErrNotExist) {
		return nil, session.Errorf(session.NotFound, "There is no file %s.", session.OneLine(name, 200))
	}
	if err != nil {
		return nil, &session.Error{Code: session.Invalid, Op: "runner.upload", Message: "That file cannot be read: it has to lie in the checkout or in the directory for temporary files, and no link may lead out of there.", Err: err}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return nil, session.Errorf(session.Invalid, "That is no file.")
	}
	content, err := io.ReadAll(io.LimitReader(f, link.MaxUpload+1))
	return content, session.Wrap("runner.upload", err)
}
