//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"openinspect/session"
	"openinspect/session/boltdb"
)

// store is what the commands that look into a data directory read.
type store interface {
	List(ctx context.Context, limit int) ([]session.Session, error)
	Events(ctx context.Context, id session.ID, after int64, limit int) ([]session.Event, error)
	auditLog
}

// controlSocket is where a running bot answers those commands: one process alone can have the store open.
func controlSocket(dataDir string) string { return filepath.Join(dataDir, "control.sock") }

// serveControl answers on the control socket until ctx ends. The socket is for this user alone.
func serveControl(ctx context.Context, dataDir string, db store, backup backupSource) (stop func(), err error) {
	path := controlSocket(dataDir)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, r *http.Request) {
		list, err := db.List(r.Context(), maxListed)
		answer(w, list, err)
	})
	mux.HandleFunc("GET /sessions/{id}/events", func(w http.ResponseWriter, r *http.Request) {
		var after int64
		_, _ = fmt.Sscan(r.URL.Query().Get("after"), &after) // from the start otherwise
		events, err := db.Events(r.Context(), session.ID(r.PathValue("id")), after, eventPage)
		answer(w, events, err)
	})
	serveAudit(mux, db)
	mux.HandleFunc("GET /backup", serveBackup(dataDir, backup))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = srv.Serve(l) }() // ends with stop
	return func() { _ = srv.Close() }, nil
}

const (
	maxListed = 1000
	eventPage = 500
)

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		status := http.StatusInternalServerError
		if session.CodeOf(err) == session.NotFound {
			status = http.StatusNotFound
		}
		http.Error(w, session.Sentence(err), status)
		return
	}
	_ = json.NewEncoder(w).Encode(v) // best effort: the command may be gone
}

// remote is the store of a running bot, by way of its control socket.
type remote struct{ client *http.Client }

func (r remote) get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://bot"+path, nil)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return remoteError(resp)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// remoteError is what a running bot says instead of an answer.
func remoteError(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // what there is of it
	code := session.Internal
	if resp.StatusCode == http.StatusNotFound {
		code = session.NotFound
	}
	return session.Errorf(code, "%s", session.OneLine(string(b), 300))
}

// dialControl returns a client of the bot that runs with a data directory; false if none does.
func dialControl(dataDir string) (*http.Client, bool) {
	path := controlSocket(dataDir)
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, false
	}
	conn.Close()
	dial := func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }
	return &http.Client{Transport: &http.Transport{DialContext: dial}}, true
}

func (r remote) List(ctx context.Context, _ int) (list []session.Session, err error) {
	return list, r.get(ctx, "/sessions", &list)
}

func (r remote) Events(ctx context.Context, id session.ID, after int64, _ int) (events []session.Event, err error) {
	return events, r.get(ctx, fmt.Sprintf("/sessions/%s/events?after=%d", id, after), &events)
}

// data names the data directory of a command that only looks.
type data struct {
	DataDir string `name:"inspect-data-dir" env:"INSPECT_DATA_DIR" help:"Data directory (default: $$XDG_STATE_HOME/openinspect)."`
}

// dir returns the directory.
func (d data) dir() (string, error) {
	c := Config{DataDir: d.DataDir}
	err := c.dataDir(systemEnvironment())
	return c.DataDir, err
}

// hasStore refuses a directory without a store.
func hasStore(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, storeName)); err != nil {
		return &ConfigError{"INSPECT_DATA_DIR", "is " + dir + ", where there is no store. Name the directory that the bot uses."}
	}
	return nil
}

// open returns the store: the running bot's, or the file itself.
func (d data) open() (store, func() error, error) {
	c := Config{DataDir: d.DataDir}
	env := systemEnvironment()
	if err := c.dataDir(env); err != nil {
		return nil, nil, err
	}
	if client, ok := dialControl(c.DataDir); ok {
		return remote{client}, func() error { return nil }, nil
	}
	file := filepath.Join(c.DataDir, storeName)
	if err := hasStore(c.DataDir); err != nil {
		return nil, nil, err
	}
	key, err := env.secret("INSPECT_MASTER_KEY")
	if err == nil {
		err = c.decodeMasterKey(key)
	}
	if err == nil {
		err = c.masterKey(env)
	}
	if err != nil {
		return nil, nil, err
	}
	db, err := boltdb.Open(file, boltdb.Options{MasterKey: c.Secrets.MasterKey})
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

type sessionsCommand struct{ data }

// Run prints one line for each session, newest activity first.
func (c *sessionsCommand) Run(ctx context.Context) error {
	db, done, err := c.open()
	if err != nil {
		return err
	}
	defer done()
	list, err := db.List(ctx, maxListed)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SESSION\tUPDATED\tREPOSITORY\tSANDBOX\tCOST\tTITLE")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t$%.2f\t%s\n", s.ID, s.Updated.Local().Format("2006-01-02 15:04"), s.Repo, s.Sandbox.State, s.Cost, session.OneLine(s.Title, 60))
	}
	return w.Flush()
}

type logsCommand struct {
	data
	Session string `arg:"" help:"Id of the session, as 'openinspect sessions' shows it."`
}

// Run prints a session's log as JSON lines.
func (c *logsCommand) Run(ctx context.Context) error {
	if !session.ID(c.Session).Valid() {
		return session.Errorf(session.Invalid, "%q is not a session id. 'openinspect sessions' lists them.", c.Session)
	}
	db, done, err := c.open()
	if err != nil {
		return err
	}
	defer done()
	out := json.NewEncoder(os.Stdout)
	for after := int64(0); ; {
		events, err := db.Events(ctx, session.ID(c.Session), after, eventPage)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := out.Encode(e); err != nil {
				return err
			}
			after = e.Seq
		}
		if len(events) == 0 {
			return nil
		}
	}
}
