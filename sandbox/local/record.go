package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"openinspect/session"
)

// record is what the provider knows of a directory: NAME.json beside it.
type record struct {
	Dir       string    `json:"dir"`             // the directory's name; its id as an image
	Name      string    `json:"name,omitempty"`  // of the sandbox that has it now
	Start     string    `json:"start,omitempty"` // of the runner that was started last
	Image     bool      `json:"image,omitempty"` // a snapshot was made: it outlives its sandbox
	Isolation Isolation `json:"isolation,omitempty"`
	process

	fresh bool // the directory is new
}

func (r *record) handle() session.Handle {
	return session.Handle{Provider: providerName, Name: r.Name, ID: r.Dir}
}

// path returns the sandbox's own directory.
func (p *Provider) path(dir string) string { return filepath.Join(p.dir, dir) }

// read returns the record of a directory, or fs.ErrNotExist.
func (p *Provider) read(dir string) (*record, error) {
	b, err := os.ReadFile(p.path(dir) + ".json")
	if err != nil {
		return nil, err
	}
	r := &record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, &session.Error{Code: session.Internal, Op: "local.read", Message: "The record of sandbox " + dir + " cannot be read.", Err: err}
	}
	r.Dir = dir
	return r, nil
}

// write keeps a record, durably: it is what a sandbox is found by.
func (p *Provider) write(r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(p.dir, ".record-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), p.path(r.Dir)+".json")
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// records returns all of them. One that cannot be read is left out: it is not touched either.
func (p *Provider) records() ([]*record, error) {
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*record
	for _, e := range entries {
		dir, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !validName(dir) {
			continue
		}
		if r, err := p.read(dir); err == nil {
			all = append(all, r)
		}
	}
	return all, nil
}

// named returns the record of the sandbox of that name; nil if there is none.
func (p *Provider) named(name string) (*record, error) {
	if validName(name) { // as a rule it has the directory of its own name
		if r, err := p.read(name); err == nil && r.Name == name {
			return r, nil
		}
	}
	all, err := p.records()
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Name == name {
			return r, nil
		}
	}
	return nil, nil
}

// handled returns the record that a handle means; nil if that sandbox is gone, also when another has its directory now.
func (p *Provider) handled(h session.Handle) (*record, error) {
	if h.Provider != providerName || !validName(h.ID) {
		return nil, nil
	}
	r, err := p.read(h.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || r.Name != h.Name {
		return nil, err
	}
	return r, nil
}

// remove deletes a directory and what belongs to it. The record goes last, so that a removal that was cut short is taken up again.
func (p *Provider) remove(dir string) error {
	path := p.path(dir)
	if os.RemoveAll(path) != nil {
		if err := removeByForce(path); err != nil {
			return err
		}
	}
	for _, f := range []string{path + doorSuffix, path + ".log", path + ".json"} {
		if err := os.RemoveAll(f); err != nil {
			return err
		}
	}
	return nil
}

// removeByForce deletes what keeps its entries: read-only directories, as Go's module cache has them, and those that lie deeper in each other than this
// process may have files open. Neither program follows links.
func removeByForce(path string) error {
	for _, args := range [][]string{{"chmod", "-R", "u+rwx"}, {"rm", "-rf"}} {
		said := &beginning{left: copyLimit}
		cmd := exec.Command(args[0], append(args[1:], "--", path)...)
		cmd.Stderr = said
		if err := cmd.Run(); err != nil && args[0] == "rm" {
			return fmt.Errorf("rm: %w: %s", err, session.OneLine(string(said.b), copyWords))
		}
	}
	return nil
}
