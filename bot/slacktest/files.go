package slacktest

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// File is an uploaded file. Its bytes are behind url_private, for the bot's
// token only.
type File struct {
	ID       string
	Name     string
	Title    string // default Name
	Mimetype string // default by Name's extension
	User     string
	AltText  string
	Data     []byte

	uploaded, complete bool
}

const maxUpload = 64 << 20

func (s *Server) wireFile(f *File) obj {
	kind := strings.TrimPrefix(path.Ext(f.Name), ".")
	if kind == "" || kind == "txt" {
		kind = "text"
	}
	private := s.base + "/files-pri/" + s.cfg.TeamID + "-" + f.ID + "/" + url.PathEscape(f.Name)
	mode := "hosted"
	if strings.HasPrefix(f.Mimetype, "text/") {
		mode = "snippet"
	}
	w := obj{
		"id": f.ID, "name": f.Name, "title": f.Title, "mimetype": f.Mimetype, "filetype": kind, "pretty_type": strings.ToUpper(kind),
		"user": f.User, "user_team": s.cfg.TeamID, "created": 1700000000, "timestamp": 1700000000,
		"size": len(f.Data), "mode": mode, "is_external": false, "external_type": "", "editable": mode == "snippet",
		"is_public": true, "public_url_shared": false, "file_access": "visible",
		"url_private": private, "url_private_download": private,
		"permalink": "https://" + s.domain() + ".slack.com/files/" + f.User + "/" + f.ID + "/" + url.PathEscape(f.Name),
	}
	if f.AltText != "" {
		w["alt_txt"] = f.AltText
	}
	return w
}

// newFile fills in what Slack does. Callers hold s.mu.
func (s *Server) newFile(f File) *File {
	f.ID = s.nextID("F")
	setDefault(&f.Title, f.Name)
	if f.Mimetype == "" {
		f.Mimetype, _, _ = mime.ParseMediaType(mime.TypeByExtension(path.Ext(f.Name)))
	}
	setDefault(&f.Mimetype, http.DetectContentType(f.Data))
	s.files[f.ID] = &f
	return &f
}

func (s *Server) filesGetUploadURLExternal(a args) (obj, error) {
	length, err := strconv.Atoi(a["length"])
	switch {
	case a["filename"] == "" || err != nil || length <= 0:
		return nil, refuse("invalid_arguments")
	case length > maxUpload:
		return nil, refuse("file_upload_size_restricted")
	}
	f := s.newFile(File{Name: a["filename"], User: s.bot.ID, AltText: a["alt_txt"]})
	ticket := strings.ToLower(s.nextID("up-"))
	s.uploads[ticket] = f.ID
	return obj{"upload_url": s.base + "/upload/v1/" + ticket, "file_id": f.ID}, nil
}

// serveUpload takes the bytes of a file, as multipart field file or as the body.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	var body io.Reader = r.Body
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "multipart/form-data" {
		part, _, err := r.FormFile("file")
		if err != nil {
			http.Error(w, "no file", http.StatusBadRequest)
			return
		}
		defer func() { _ = part.Close() }()
		body = part
	}
	data, err := io.ReadAll(body)
	if err != nil {
		http.Error(w, "upload failed", http.StatusBadRequest)
		return
	}
	ticket := r.PathValue("ticket")
	s.mu.Lock()
	f := s.files[s.uploads[ticket]]
	if f != nil {
		n := *f
		n.Data, n.uploaded = data, true
		s.files[f.ID] = &n
		s.touch()
	}
	s.mu.Unlock()
	if f == nil {
		http.Error(w, "no such upload", http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(w, "OK - "+strconv.Itoa(len(data)))
}

func (s *Server) filesCompleteUploadExternal(a args) (obj, error) {
	var wanted []struct{ ID, Title string }
	if json.Unmarshal([]byte(a["files"]), &wanted) != nil || len(wanted) == 0 {
		return nil, refuse("invalid_arguments")
	}
	var files []File
	result := []obj{}
	for _, want := range wanted {
		f := s.files[want.ID]
		if f == nil || !f.uploaded || f.complete || f.User != s.bot.ID {
			return nil, refuse("file_not_found")
		}
		n := *f
		setDefault(&want.Title, f.Title)
		n.Title = want.Title
		files = append(files, n)
		result = append(result, obj{"id": n.ID, "title": n.Title})
	}
	targets := strings.FieldsFunc(a["channel_id"]+","+a["channels"], func(r rune) bool { return r == ',' })
	c, err := s.content(args{"text": a["initial_comment"], "blocks": a["blocks"]}, textLimit)
	if err != nil {
		return nil, err
	}
	type place struct{ channel, root string }
	var places []place
	for _, id := range targets {
		ch, err := s.joined(id)
		if err != nil {
			return nil, err
		}
		root, err := s.root(ch.ID, a["thread_ts"])
		if err != nil {
			return nil, err
		}
		places = append(places, place{ch.ID, root})
	}
	for i := range files {
		files[i].complete = true
		s.files[files[i].ID] = &files[i]
	}
	s.touch()
	for _, p := range places {
		m := s.fromBot(p.channel, p.root, c, a)
		m.Subtype, m.Files = "file_share", slices.Clone(files)
		s.add(m)
	}
	return obj{"files": result}, nil
}

func (s *Server) filesInfo(a args) (obj, error) {
	f := s.files[a["file"]]
	if f == nil || !(f.complete || f.uploaded) {
		return nil, refuse("file_not_found")
	}
	return obj{"file": s.wireFile(f), "comments": []obj{}}, nil
}

// serveDownload gives a file to the bot's token. Anybody else is sent to a page
// to sign in, as files.slack.com does.
func (s *Server) serveDownload(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.PathValue("id"), s.cfg.TeamID+"-")
	s.mu.Lock()
	f := s.files[id]
	s.mu.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case s.checkToken(token, false) != nil:
		http.Redirect(w, r, "/signin?redir="+url.QueryEscape(r.URL.Path), http.StatusFound)
	case f == nil || !f.uploaded:
		http.NotFound(w, r)
	default:
		w.Header().Set("Content-Type", f.Mimetype)
		w.Header().Set("Content-Length", strconv.Itoa(len(f.Data)))
		_, _ = io.Copy(w, bytes.NewReader(f.Data))
	}
}

func (s *Server) serveSignIn(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!DOCTYPE html><title>Sign in to "+s.domain()+"</title>")
}
