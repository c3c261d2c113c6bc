package githubtest

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// fileDiff is one file's change.
type fileDiff struct {
	name, from     string // from is its former name, if it was renamed
	status         string // GitHub's word
	sha            string // of the new content, or the last one if it was removed
	added, deleted int
	patch          string // from the first "@@"; "" for binary files
}

// diff compares two trees.
func (s *Server) diff(r *repository, from, to string) ([]fileDiff, error) {
	out, err := s.git(r, "diff", "--raw", "-z", "--no-abbrev", "-M", from, to)
	if err != nil {
		return nil, err
	}
	words := map[byte]string{'A': "added", 'M': "modified", 'D': "removed", 'R': "renamed", 'T': "changed", 'C': "copied"}
	var list []fileDiff
	for parts := strings.Split(out, "\x00"); len(parts) >= 2; {
		meta := strings.Fields(parts[0])
		if len(meta) < 5 {
			break
		}
		f := fileDiff{status: words[meta[4][0]], sha: meta[3], name: parts[1]}
		if f.status == "removed" {
			f.sha = meta[2]
		}
		parts = parts[2:]
		if f.status == "renamed" && len(parts) > 0 {
			f.from, f.name = f.name, parts[0]
			parts = parts[1:]
		}
		list = append(list, f)
	}
	patches, err := s.git(r, "diff", "-p", "-M", from, to)
	if err != nil {
		return nil, err
	}
	// Both outputs have the same order. A line of content never begins with "diff", as it has a sign before it.
	// A file that became a link, or the reverse, has two patches in the second one.
	texts := strings.Split("\n"+patches, "\ndiff --git ")[1:]
	for i := 0; i < len(list) && len(texts) > 0; i++ {
		text := texts[0]
		texts = texts[1:]
		if list[i].status == "changed" && len(texts) > 0 {
			texts = texts[1:]
		}
		if at := strings.Index(text, "\n@@ "); at >= 0 {
			list[i].patch = text[at+1:]
		}
		for line := range strings.Lines(list[i].patch) {
			switch line[0] {
			case '+':
				list[i].added++
			case '-':
				list[i].deleted++
			}
		}
	}
	return list, nil
}

// filesJSON is a list of GitHub's diff-entry, at the commit head.
func (s *Server) filesJSON(r *repository, head string, files []fileDiff) []object {
	list := []object{}
	page := s.base + "/" + r.full()
	for _, f := range files {
		o := object{
			"sha": f.sha, "filename": f.name, "status": f.status, "additions": f.added, "deletions": f.deleted,
			"changes":  f.added + f.deleted,
			"blob_url": page + "/blob/" + head + "/" + f.name, "raw_url": page + "/raw/" + head + "/" + f.name,
			"contents_url": r.api(s) + "/contents/" + f.name + "?ref=" + head,
		}
		if f.from != "" {
			o["previous_filename"] = f.from
		}
		if f.patch != "" {
			o["patch"] = f.patch
		}
		list = append(list, o)
	}
	return list
}

// entry is one line of a directory.
type entry struct {
	mode, kind, sha, path string
	size                  int
}

// tree lists what is at a path: the entry itself, or with a trailing slash, or for the root, what is in it.
func (s *Server) tree(r *repository, sha, at string) ([]entry, error) {
	args := []string{"ls-tree", "-z", "-l", sha}
	if at != "" {
		args = append(args, "--", at)
	}
	out, err := s.git(r, args...)
	if err != nil {
		return nil, err
	}
	var list []entry
	for line := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		meta, name, found := strings.Cut(line, "\t")
		fields := strings.Fields(meta)
		if !found || len(fields) != 4 {
			continue
		}
		e := entry{mode: fields[0], kind: fields[1], sha: fields[2], path: name}
		if fields[3] != "-" {
			if e.size, err = strconv.Atoi(fields[3]); err != nil {
				return nil, fmt.Errorf("ls-tree: %w", err)
			}
		}
		list = append(list, e)
	}
	return list, nil
}

func (e entry) json(s *Server, r *repository, ref string) object {
	kind, store := "file", "blobs"
	switch {
	case e.kind == "tree":
		kind, store = "dir", "trees"
	case e.kind == "commit":
		kind = "submodule"
	case e.mode == "120000":
		kind = "symlink"
	}
	api, git := r.api(s)+"/contents/"+e.path+"?ref="+ref, r.api(s)+"/git/"+store+"/"+e.sha
	page := s.base + "/" + r.full() + "/blob/" + ref + "/" + e.path
	o := object{
		"name": path.Base(e.path), "path": e.path, "sha": e.sha, "size": e.size, "type": kind, "url": api,
		"html_url": page, "git_url": git, "download_url": nil,
		"_links": object{"self": api, "git": git, "html": page},
	}
	if kind == "file" {
		o["download_url"] = s.base + "/" + r.full() + "/raw/" + ref + "/" + e.path
	}
	return o
}
