package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func lines(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}

// goodEnvironment is what serve needs at least.
func goodEnvironment(t *testing.T) map[string]string {
	return map[string]string{
		"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "GITHUB_APP_ID": "7", "GITHUB_CLIENT_ID": "Iv1.x",
		"GITHUB_APP_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----",
		"ANTHROPIC_API_KEY":      "sk-ant-1", "HOME": t.TempDir(),
	}
}

// load reads a Config as main does, from an environment of its own.
func load(t *testing.T, env map[string]string, args ...string) (Config, error) {
	t.Helper()
	for name := range env {
		t.Setenv(name, env[name])
	}
	e := environment{lookup: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}
	for k, v := range env {
		e.all = append(e.all, k+"="+v)
	}
	if err := unsetEmpty(e, os.Unsetenv); err != nil {
		t.Fatal(err)
	}
	var c Config
	parser, err := kong.New(&c, kong.Name("openinspect"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		return c, settingError(err)
	}
	return c, c.Load(e)
}

func TestDefaults(t *testing.T) {
	env := goodEnvironment(t)
	c, err := load(t, env)
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != filepath.Join(env["HOME"], ".local/state/openinspect") || c.HTTPAddr != "127.0.0.1:8787" || !strings.HasPrefix(c.Model, "anthropic/") {
		t.Errorf("%+v", c)
	}
	again, err := load(t, env)
	if err != nil || len(c.Secrets.MasterKey) != 32 || !bytes.Equal(c.Secrets.MasterKey, again.Secrets.MasterKey) {
		t.Errorf("the master key is not kept: %v", err)
	}
	st, err := os.Stat(filepath.Join(env["HOME"], ".config/openinspect/master.key"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("master.key: %v %v", st, err)
	}
}

func TestRoom(t *testing.T) {
	env := goodEnvironment(t)
	c, err := load(t, env)
	if err != nil || c.room() != runtime.NumCPU() {
		t.Errorf("%d %v", c.room(), err)
	}
	env["MODAL_TOKEN_ID"], env["MODAL_TOKEN_SECRET"] = "ak-1", "as-1"
	if c, err = load(t, env); err != nil || c.room() != 20 {
		t.Errorf("%d %v", c.room(), err)
	}
	env["INSPECT_MAX_SANDBOXES"] = "7"
	if c, err = load(t, env); err != nil || c.room() != 7 {
		t.Errorf("%d %v", c.room(), err)
	}
}

// Sandboxes are on Modal if there is a token for it, unless something else is said.
func TestWhereAgentsWork(t *testing.T) {
	for _, c := range []struct{ id, secret, said, want string }{
		{"", "", "", "local"}, {"ak-1", "as-1", "", "modal"}, {"ak-1", "as-1", "modal", "modal"}, {"ak-1", "as-1", "local", "local"}, {"ak-1", "", "local", "local"},
		{"as-1", "ak-1", "", "MODAL_TOKEN_ID does not begin with ak-"}, {"ak-1", "ak-1", "", "MODAL_TOKEN_SECRET does not begin with as-"},
	} {
		env := goodEnvironment(t)
		env["MODAL_TOKEN_ID"], env["MODAL_TOKEN_SECRET"], env["INSPECT_SANDBOX"] = c.id, c.secret, c.said
		got, err := load(t, env)
		if err == nil && got.Sandbox != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %q, %v", c, got.Sandbox, err)
		}
	}
}

func TestFlagsBeatTheEnvironment(t *testing.T) {
	env := goodEnvironment(t)
	env["INSPECT_HTTP_ADDR"] = "127.0.0.1:1"
	c, err := load(t, env, "--inspect-http-addr", "127.0.0.1:2")
	if err != nil || c.HTTPAddr != "127.0.0.1:2" {
		t.Errorf("%q %v", c.HTTPAddr, err)
	}
}

// Each mistake is answered by one line that names the variable and says how to mend it.
func TestMistakes(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("xoxb-from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, value, want string }{
		{"SLACK_BOT_TOKEN", "", "SLACK_BOT_TOKEN is not set. Copy"},
		{"SLACK_BOT_TOKEN", "xapp-1", "SLACK_BOT_TOKEN does not begin with xoxb-"},
		{"SLACK_BOT_TOKEN_FILE", key, "SLACK_BOT_TOKEN and SLACK_BOT_TOKEN_FILE are both set"},
		{"SLACK_APP_TOKEN", "", "SLACK_APP_TOKEN is not set. Make"},
		{"SLACK_APP_TOKEN", "xoxb-1", "SLACK_APP_TOKEN does not begin with xapp-"},
		{"SLACK_API_URL", "slack.com/api", "SLACK_API_URL is \"slack.com/api\", which is not a URL"},
		{"GITHUB_APP_ID", "", "GITHUB_APP_ID is not set"},
		{"GITHUB_CLIENT_ID", "", "GITHUB_CLIENT_ID is not set"},
		{"GITHUB_CLIENT_ID", "123456", "GITHUB_CLIENT_ID is \"123456\", which looks like the App ID"},
		{"GITHUB_APP_PRIVATE_KEY", `-----BEGIN RSA PRIVATE KEY-----\nx`, "GITHUB_APP_PRIVATE_KEY has lost its line breaks"},
		{"GITHUB_APP_PRIVATE_KEY", "", "GITHUB_APP_PRIVATE_KEY is not set"},
		{"GITHUB_APP_PRIVATE_KEY", "abc", "GITHUB_APP_PRIVATE_KEY is not a PEM file"},
		{"GITHUB_APP_PRIVATE_KEY_FILE", "/nowhere", "are both set"},
		{"GITHUB_WEBHOOK_SECRET", "", "GITHUB_WEBHOOK_SECRET is set and empty"},
		{"GITHUB_WEBHOOK_SECRET", " \n", "GITHUB_WEBHOOK_SECRET is set and empty"},
		{"GITHUB_WEBHOOK_SECRET_FILE", "/dev/null", "GITHUB_WEBHOOK_SECRET is set and empty"},
		{"GITHUB_WEBHOOK_SECRET_FILE", "/nowhere", "GITHUB_WEBHOOK_SECRET_FILE cannot be read"},
		{"GITHUB_URL", "https://user:pw@github.test", "GITHUB_URL holds a user name or password"},
		{"ANTHROPIC_API_KEY", "", "ANTHROPIC_API_KEY is not set, and neither is OPENAI_API_KEY"},
		{"ANTHROPIC_BASE_URL", "x", "ANTHROPIC_BASE_URL is \"x\""},
		{"INSPECT_MASTER_KEY", "short", "INSPECT_MASTER_KEY is not 32 bytes"},
		{"INSPECT_MODEL", "anthropic/sonet", "INSPECT_MODEL is \"anthropic/sonet\", which is not in the catalogue. Nearest: anthropic/claude-sonnet"},
		{"INSPECT_MODEL", "gpt", "but there is no key for openai. Set OPENAI_API_KEY"},
		{"INSPECT_CLASSIFIER_MODEL", "haikuu", "INSPECT_CLASSIFIER_MODEL is \"haikuu\", which is not in the catalogue. Nearest: anthropic/claude-haiku"},
		{"INSPECT_CLASSIFIER_MODEL", "luna", "is openai/gpt-6-luna, but only Anthropic's models can be asked"},
		{"INSPECT_SANDBOX", "modal", "MODAL_TOKEN_ID is not set, and sandboxes are to be on Modal. Make a token"},
		{"INSPECT_SANDBOX", "docker", "INSPECT_SANDBOX is \"docker\". Use modal or local"},
		{"MODAL_TOKEN_ID", "ak-1", "MODAL_TOKEN_SECRET is not set"},
		{"MODAL_TOKEN_ID", "as-1", "MODAL_TOKEN_SECRET is not set"},
		{"MODAL_TOKEN_SECRET", "as-1", "MODAL_TOKEN_ID is not set"},
		{"MODAL_SERVER_URL", "api.modal.com", "MODAL_SERVER_URL is \"api.modal.com\", which is not a URL"},
		{"INSPECT_LOCAL_ISOLATION", "some", "INSPECT_LOCAL_ISOLATION is \"some\""},
		{"INSPECT_MAX_SANDBOXES", "0", "INSPECT_MAX_SANDBOXES is 0. It must be at least 1"},
		{"INSPECT_MAX_SANDBOXES", "-3", "INSPECT_MAX_SANDBOXES is -3"},
		{"INSPECT_WARM_SANDBOXES", "-1", "INSPECT_WARM_SANDBOXES is -1. Write how many"},
		{"INSPECT_WARM_SANDBOXES", "two", "INSPECT_WARM_SANDBOXES is \"two\". Write a whole number: how many, such as 2, or 0 for none."},
		{"INSPECT_MAX_SANDBOX_HOURS", "8h", "INSPECT_MAX_SANDBOX_HOURS is \"8h\". Write a whole number: hours, such as 48."},
		{"INSPECT_SANDBOX_MEMORY", "4G", "INSPECT_SANDBOX_MEMORY is \"4G\". Write a whole number: MiB, such as 4096."},
		{"INSPECT_MAX_SANDBOX_HOURS", "0", "INSPECT_MAX_SANDBOX_HOURS is 0. It must be at least 1"},
		{"INSPECT_BASE_IMAGE", "debian:13", "INSPECT_BASE_IMAGE is set, but sandboxes are on this computer"},
		{"INSPECT_SANDBOX_CPU", "2", "INSPECT_SANDBOX_CPU is set, but sandboxes are on this computer"},
		{"INSPECT_SANDBOX_MEMORY", "4096", "INSPECT_SANDBOX_MEMORY is set, but sandboxes are on this computer"},
		{"INSPECT_SANDBOX_LIFETIME", "8h", "INSPECT_SANDBOX_LIFETIME is set, but sandboxes are on this computer"},
		{"INSPECT_SANDBOX_NETWORKS", "140.82.112.0/20", "INSPECT_SANDBOX_NETWORKS is set, but sandboxes are on this computer"},
		{"INSPECT_HTTP_ADDR", "8787", "INSPECT_HTTP_ADDR is \"8787\""},
		{"INSPECT_ALLOWED_CHANNELS", "C024BE91L,#general", "INSPECT_ALLOWED_CHANNELS has \"#general\", which is no channel's id. Slack shows"},
		{"INSPECT_DATA_DIR", "~/inspect", "INSPECT_DATA_DIR is \"~/inspect\", and nothing replaces that ~"},
		{"INSPECT_NAMED_PATHS", "infra/**,[", "INSPECT_NAMED_PATHS has \"[\", which is no pattern of paths. Write"},
		{"INSPECT_LOG_LEVEL", "loud", "INSPECT_LOG_LEVEL is \"loud\""},
		{"INSPECT_PUBLICURL", "https://x.test", "INSPECT_PUBLICURL is not a setting. Did you mean INSPECT_PUBLIC_URL?"},
		{"INSPECT_MAX_SESSION_COST", "$5", "INSPECT_MAX_SESSION_COST is \"$5\". Write US dollars"},
		{"INSPECT_MAX_SESSION_COST", "1e3", "INSPECT_MAX_SESSION_COST is \"1e3\""},
		{"INSPECT_MAX_SESSION_COST", "-1", "INSPECT_MAX_SESSION_COST is \"-1\""},
		{"INSPECT_MAX_SESSION_COST", "NaN", "INSPECT_MAX_SESSION_COST is \"NaN\""},
		{"INSPECT_MAX_SESSION_COST", "0.0", "INSPECT_MAX_SESSION_COST must be above 0"},
		{"INSPECT_APPROVALS", "0", "INSPECT_APPROVALS is 0. Nothing is merged without a second pair of eyes"},
		{"INSPECT_EMOJI_MERGE", ":ship:", "INSPECT_EMOJI_MERGE is \":ship:\". Write an emoji's name in Slack without colons"},
		{"INSPECT_EMOJI_MERGE", "white_check_mark", "INSPECT_EMOJI_MERGE is white_check_mark, as INSPECT_EMOJI_APPROVE is."},
		{"SETUP_TIMEOUT_SECONDS", "0", "SETUP_TIMEOUT_SECONDS must be above 0"},
		{"SETUP_TIMEOUT_SECONDS", "9999999999999", "SETUP_TIMEOUT_SECONDS is 9999999999999. Write at most 86400, which is a day"},
		{"START_TIMEOUT_SECONDS", "86401", "START_TIMEOUT_SECONDS is 86401. Write at most 86400, which is a day"},
		{"INSPECT_MAX_SANDBOXES", "999999", "INSPECT_MAX_SANDBOXES is 999999. Write at most 10000"},
		{"INSPECT_MAX_SANDBOX_HOURS", "999999999", "INSPECT_MAX_SANDBOX_HOURS is 999999999. Write at most 240000; that is 10000 sandboxes all day"},
		{"INSPECT_SANDBOX_CPUS", "2", "INSPECT_SANDBOX_CPUS is not a setting. Did you mean INSPECT_SANDBOX_CPU?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := goodEnvironment(t)
			env[c.name] = c.value
			_, err := load(t, env)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v\nwant %s", err, c.want)
			}
			if _, ok := errors.AsType[*ConfigError](err); !ok {
				t.Errorf("%T", err)
			}
		})
	}
}

// A setting that is set to nothing, as in a file with a line for each, has its default.
func TestSetToNothing(t *testing.T) {
	env := goodEnvironment(t)
	want, err := load(t, env)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range settingNames() {
		if _, set := env[name]; !set && name != "INSPECT_NAMED_PATHS" && name != "GITHUB_WEBHOOK_SECRET" { // these say something then
			env[name] = " "
		}
	}
	got, err := load(t, env)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// A sandbox on Modal is as large, lives as long and reaches as much as is said, and what makes no sense is answered.
func TestSizeOnModal(t *testing.T) {
	env := goodEnvironment(t)
	env["MODAL_TOKEN_ID"], env["MODAL_TOKEN_SECRET"] = "ak-1", "as-1"
	if c, err := load(t, env); err != nil || !reflect.DeepEqual(c.size, sandboxSize{}) || c.hours() != 0 {
		t.Errorf("%+v %v", c.size, err)
	}
	env["SETUP_TIMEOUT_SECONDS"] = "64681" // 18 hours and a second with start.sh
	if _, err := load(t, env); err == nil || !strings.Contains(err.Error(), "SETUP_TIMEOUT_SECONDS and START_TIMEOUT_SECONDS are 64801 s together. A sandbox on Modal lives 24 hours") {
		t.Error(err)
	}
	env["SETUP_TIMEOUT_SECONDS"] = "64680"
	if _, err := load(t, env); err != nil {
		t.Error(err)
	}
	env["SETUP_TIMEOUT_SECONDS"] = "300"
	for name, value := range map[string]string{
		"INSPECT_SANDBOX_CPU": "0.5", "INSPECT_SANDBOX_MEMORY": "4096", "INSPECT_SANDBOX_LIFETIME": "90m",
		"INSPECT_SANDBOX_NETWORKS": "140.82.112.0/20, 2606:50c0::/32", "INSPECT_MAX_SANDBOX_HOURS": "36",
	} {
		env[name] = value
	}
	c, err := load(t, env)
	want := sandboxSize{cpu: 0.5, memory: 4096, lifetime: 90 * time.Minute, networks: []string{"140.82.112.0/20", "2606:50c0::/32"}}
	if err != nil || !reflect.DeepEqual(c.size, want) || c.hours() != 36*time.Hour {
		t.Errorf("%+v %v", c.size, err)
	}
	env["SETUP_TIMEOUT_SECONDS"] = "3930" // 67 min 30 s with start.sh: three quarters of 90 minutes
	if _, err := load(t, env); err != nil {
		t.Error(err)
	}
	env["SETUP_TIMEOUT_SECONDS"] = "3931"
	if _, err := load(t, env); err == nil || !strings.Contains(err.Error(), "INSPECT_SANDBOX_LIFETIME is 90m, of which the scripts alone may take 4051 s") {
		t.Error(err)
	}
	env["SETUP_TIMEOUT_SECONDS"] = "300"
	for _, c := range []struct{ name, value, want string }{
		{"INSPECT_SANDBOX_CPU", "two", `is "two". Write a number of physical cores from 0.125 to 64`},
		{"INSPECT_SANDBOX_CPU", "NaN", `is "NaN"`}, {"INSPECT_SANDBOX_CPU", "0.1", `is "0.1"`}, {"INSPECT_SANDBOX_CPU", "65", `is "65"`},
		{"INSPECT_SANDBOX_MEMORY", "4", "is 4. Write MiB from 512 to 524288"}, {"INSPECT_SANDBOX_MEMORY", "1000000", "is 1000000."},
		{"INSPECT_SANDBOX_LIFETIME", "1d", `is "1d". Write a time from 10m to 24h`}, {"INSPECT_SANDBOX_LIFETIME", "9m", `is "9m"`},
		{"INSPECT_SANDBOX_LIFETIME", "24h1s", `is "24h1s"`}, {"INSPECT_SANDBOX_LIFETIME", "1h0.5s", `is "1h0.5s"`},
		{"INSPECT_SANDBOX_NETWORKS", "github.com", `has "github.com", which is no network. Write networks such as`},
		{"INSPECT_SANDBOX_NETWORKS", "140.82.112.4", `has "140.82.112.4", an address without a length. For that address alone write 140.82.112.4/32`},
		{"INSPECT_SANDBOX_NETWORKS", "140.82.112.4/20", `has "140.82.112.4/20", whose address is longer than its network. Did you mean 140.82.112.0/20?`},
		{"INSPECT_SANDBOX_NETWORKS", "10.0.0.0/8,0.0.0.0/0", `has "0.0.0.0/0", which is everything`},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := maps.Clone(env)
			env[c.name] = c.value
			_, err := load(t, env)
			if _, ok := errors.AsType[*ConfigError](err); !ok || !strings.Contains(err.Error(), c.name+" "+c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

func TestBudget(t *testing.T) {
	for value, want := range map[string]float64{"": 0, "5": 5, "2.50": 2.5} {
		env := goodEnvironment(t)
		env["INSPECT_MAX_SESSION_COST"] = value
		if c, err := load(t, env); err != nil || c.budget != want {
			t.Errorf("%q: %v %v", value, c.budget, err)
		}
	}
}

func TestSecretFromFile(t *testing.T) {
	env := goodEnvironment(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("xoxb-from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	delete(env, "SLACK_BOT_TOKEN")
	env["SLACK_BOT_TOKEN_FILE"] = file
	env["INSPECT_MASTER_KEY"] = base64.StdEncoding.EncodeToString(make([]byte, 32))
	c, err := load(t, env)
	if err != nil || c.Secrets.SlackBotToken != "xoxb-from-file" {
		t.Errorf("%q %v", c.Secrets.SlackBotToken, err)
	}
}

// README's table and the code name the same settings.
func TestConfigurationTable(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(readme), "## Configuration")
	if !ok {
		t.Fatal("README has no section Configuration")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	var told []string
	for line := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, name := range strings.Split(cell, ",") {
			if name = strings.Trim(strings.TrimSpace(name), "`"); name == strings.ToUpper(name) && strings.Contains(name, "_") {
				told = append(told, name)
			}
		}
	}
	for _, name := range settingNames() {
		if !slices.Contains(told, name) {
			t.Errorf("README does not tell of %s", name)
		}
	}
	for _, name := range told {
		if !slices.Contains(settingNames(), name) {
			t.Errorf("README tells of %s, which is not a setting", name)
		}
	}
}

// Every secret is known to the redactor, also one that is added later, and the log is written through it.
func TestSecretsAreRedacted(t *testing.T) {
	var s Secrets
	v := reflect.ValueOf(&s).Elem()
	var values []string
	for i := range v.NumField() {
		value := fmt.Sprintf("value \\ \"of\" secret %d", i)
		values = append(values, value)
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(value)
		case reflect.Slice:
			f.SetBytes([]byte(value))
		default:
			t.Fatalf("a secret is a %s", f.Type())
		}
	}
	var log bytes.Buffer
	logger := newLogger(&log, "info", s.redactor())
	for _, value := range values {
		logger.Info("said "+value, "error", fmt.Errorf("answer %q", value), "key", []byte(value))
	}
	for line := range bytes.Lines(log.Bytes()) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if fields["msg"] != "said [redacted]" || fields["error"] != `answer "[redacted]"` || !strings.Contains(fmt.Sprint(fields["key"]), "[redacted]") {
			t.Errorf("logged %s", line)
		}
	}
	if n := bytes.Count(log.Bytes(), []byte("\n")); n != len(values) {
		t.Errorf("%d lines for %d", n, len(values))
	}
}

// Without any paths of the operator's an approval names workflows alone.
func TestNamedPaths(t *testing.T) {
	env := goodEnvironment(t)
	c, err := load(t, env)
	if want := ".github/workflows/**,.github/actions/**,.openinspect/**,**/CODEOWNERS"; err != nil || strings.Join(c.NamedPaths, ",") != want {
		t.Errorf("%q %v", c.NamedPaths, err)
	}
	env["INSPECT_NAMED_PATHS"] = ""
	if c, err = load(t, env); err != nil || len(c.NamedPaths) != 0 {
		t.Errorf("%q %v", c.NamedPaths, err)
	}
	env["INSPECT_NAMED_PATHS"] = "infra/**, deploy/"
	if c, err = load(t, env); err != nil || len(c.NamedPaths) != 2 {
		t.Errorf("%q %v", c.NamedPaths, err)
	}
}
