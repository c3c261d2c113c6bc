//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"openinspect/sandbox/runner/opencode"
	"openinspect/session"
)

// cli is the command line.
type cli struct {
	Serve      serveCommand    `cmd:"" default:"withargs" help:"Run the bot (the default)."`
	Demo       demoCommand     `cmd:"" help:"Show a whole session without any credential, against doubles of Slack, GitHub and the model on this computer."`
	Sessions   sessionsCommand `cmd:"" help:"List the sessions of a data directory."`
	Logs       logsCommand     `cmd:"" help:"Print a session's log."`
	Audit      auditCommand    `cmd:"" help:"Show who approved what and what came of it, or check that nobody changed that since."`
	Backup     backupCommand   `cmd:"" help:"Back a data directory up, also while the bot runs."`
	Restore    restoreCommand  `cmd:"" help:"Restore a backup into an empty data directory."`
	FetchAgent fetchCommand    `cmd:"" name:"fetch-agent" help:"Fetch the agent (OpenCode) with npm, once, and print where it is."`
	Version    versionCommand  `cmd:"" help:"Print the version."`
	Runner     runnerCommand   `cmd:"" hidden:""`
}

// command runs the command line and returns the exit status: 2 for what the operator has to mend, 1 for other failures.
func command(args []string) int {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		fmt.Fprintf(os.Stderr, "openinspect runs on Linux on amd64 and arm64, not on %s.\n", runtime.GOARCH)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	if err := unsetEmpty(systemEnvironment(), os.Unsetenv); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	parser, err := kong.New(&c, kong.Name("openinspect"), kong.UsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Description("A coding agent in Slack: a thread is a session, a person approves, a pull request appears."))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	k, err := parser.Parse(args)
	if err != nil {
		err = settingError(err)
		fmt.Fprintln(os.Stderr, "openinspect:", err)
		if _, ok := errors.AsType[*ConfigError](err); !ok {
			fmt.Fprintln(os.Stderr, "   openinspect --help lists the commands, and openinspect COMMAND --help what one takes.")
		}
		return 2
	}
	return status(k.Run())
}

// examples show what is written where a whole number is wanted.
var examples = map[string]string{
	"INSPECT_MAX_SANDBOXES": "how many, such as 4", "INSPECT_WARM_SANDBOXES": "how many, such as 2, or 0 for none", "INSPECT_MAX_SANDBOX_HOURS": "hours, such as 48",
	"INSPECT_SANDBOX_MEMORY": "MiB, such as 4096", "INSPECT_RETENTION_DAYS": "days, such as 90", "INSPECT_APPROVALS": "how many, such as 1",
	"SETUP_TIMEOUT_SECONDS": "seconds, such as 300", "START_TIMEOUT_SECONDS": "seconds, such as 120",
}

// unsetEmpty takes settings out of the environment that are set to nothing, as by the line NAME= of a file: they keep their defaults. INSPECT_NAMED_PATHS
// stays, since no paths beside workflows is something to ask for.
func unsetEmpty(env environment, unset func(name string) error) error {
	for field := range reflect.TypeFor[Config]().Fields() {
		name := field.Tag.Get("env")
		if v, set := env.lookup(name); name == "" || name == "INSPECT_NAMED_PATHS" || !set || strings.TrimSpace(v) != "" {
			continue
		}
		if err := unset(name); err != nil {
			return err
		}
	}
	return nil
}

var fromVariable = regexp.MustCompile(`^--[a-z-]+: (.*) \(from envar ([A-Z_]+)="(.*)"\)$`)

// settingError words what the parser says of a variable as the other settings' errors are worded.
func settingError(err error) error {
	if m := fromVariable.FindStringSubmatch(err.Error()); m != nil {
		want := "Look it up in README."
		switch {
		case strings.Contains(m[1], "int"):
			want = "Write a whole number: " + examples[m[2]] + "."
		case strings.Contains(m[1], "bool"):
			want = "Write true or false."
		}
		return &ConfigError{m[2], fmt.Sprintf("is %q. %s", m[3], want)}
	}
	return err
}

// status reports an error in one line and returns the exit status for it.
func status(err error) int {
	if err == nil || errors.Is(err, context.Canceled) {
		return 0
	}
	if e, ok := errors.AsType[*ConfigError](err); ok {
		fmt.Fprintln(os.Stderr, "openinspect:", e)
		return 2
	}
	fmt.Fprintln(os.Stderr, "openinspect:", session.Sentence(err))
	if cause := cause(err); cause != "" {
		fmt.Fprintln(os.Stderr, "  ", cause)
	}
	switch session.CodeOf(err) {
	case session.Invalid, session.Forbidden: // a key, token or program that the operator has to mend: trying again will not help
		return 2
	case session.NotFound, session.Conflict, session.Unavailable, session.Internal:
	}
	return 1
}

// cause is what an operator wants to know beside the sentence: the operation, and the error that is not one of ours.
func cause(err error) string {
	op := ""
	for err != nil {
		e, ok := errors.AsType[*session.Error](err)
		if !ok {
			break
		}
		if e.Op != "" {
			op = e.Op
		}
		err = e.Err
	}
	switch {
	case err == nil:
		return ""
	case op == "":
		return err.Error()
	}
	return op + ": " + err.Error()
}

type serveCommand struct {
	Config `embed:""`
}

func (c *serveCommand) Run(ctx context.Context) error {
	if err := c.Load(systemEnvironment()); err != nil {
		return err
	}
	hide := c.Secrets.redactor()
	o := Options{Logger: newLogger(os.Stderr, c.LogLevel, hide), Redactor: hide, Progress: os.Stderr}
	tune(&o)
	app, err := NewApp(c.Config, o)
	if err != nil {
		return err
	}
	return app.Run(ctx)
}

// tune lets the product's scripts give a served App another clock or agent; in the program it changes nothing.
var tune = func(*Options) {}

func newLogger(w io.Writer, level string, r *session.Redactor) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // checked before; info otherwise
	return slog.New(slog.NewJSONHandler(redacting{w, r}, &slog.HandlerOptions{Level: l}))
}

// redacting takes secrets out of what is logged: errors quote what others answered. Each write is a line of JSON, as slog's handler makes them.
type redacting struct {
	w io.Writer
	r *session.Redactor
}

func (l redacting) Write(line []byte) (int, error) {
	clean := append(l.r.JSON(bytes.TrimSuffix(line, []byte("\n"))), '\n')
	if _, err := l.w.Write(clean); err != nil {
		return 0, err
	}
	return len(line), nil
}

type fetchCommand struct {
	To string `type:"path" help:"Copy the binary to this path."`
}

func (c *fetchCommand) Run(ctx context.Context) error {
	path, err := opencode.Find(ctx, "", os.Stderr)
	if err != nil {
		return err
	}
	if c.To != "" {
		if err := copyFile(path, c.To); err != nil {
			return err
		}
		path = c.To
	}
	fmt.Println(path)
	return nil
}

// copyFile copies an executable; the copy has its name only once it is whole.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".copy-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Chmod(0o755), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

type versionCommand struct{}

func (versionCommand) Run() error {
	fmt.Println("openinspect", version())
	return nil
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}
