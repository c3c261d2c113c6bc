package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"openinspect/session"
	"openinspect/session/model"
	"openinspect/session/model/classify"
)

// Config is everything an operator may set. Each field has an environment variable and a flag of the same name; secrets have no
// flag: they come from the environment or from a file named by NAME_FILE. README's table and this one are kept equal by a test.
type Config struct {
	SlackAPIURL     string   `name:"slack-api-url" env:"SLACK_API_URL" default:"https://slack.com/api/" help:"Slack's Web API."`
	GitHubAppID     string   `name:"github-app-id" env:"GITHUB_APP_ID" help:"Numeric id of the GitHub App."`
	GitHubClientID  string   `name:"github-client-id" env:"GITHUB_CLIENT_ID" help:"Client id of the GitHub App, with which people link their accounts."`
	GitHubURL       string   `name:"github-url" env:"GITHUB_URL" default:"https://github.com" help:"GitHub, or the base URL of a GitHub Enterprise Server."`
	AnthropicURL    string   `name:"anthropic-base-url" env:"ANTHROPIC_BASE_URL" default:"https://api.anthropic.com" help:"Anthropic's API, without /v1."`
	OpenAIURL       string   `name:"openai-base-url" env:"OPENAI_BASE_URL" default:"https://api.openai.com" help:"OpenAI's API, without /v1."`
	Sandbox         string   `name:"inspect-sandbox" env:"INSPECT_SANDBOX" help:"Where agents work: modal or local (default: modal if MODAL_TOKEN_ID is set, else local)."`
	ModalURL        string   `name:"modal-server-url" env:"MODAL_SERVER_URL" default:"https://api.modal.com:443" help:"Modal's API."`
	ModalEnv        string   `name:"modal-environment" env:"MODAL_ENVIRONMENT" help:"Environment of the Modal workspace (default: the workspace's own default)."`
	BaseImage       string   `name:"inspect-base-image" env:"INSPECT_BASE_IMAGE" help:"Image of a registry that sandboxes on Modal start from (default: one that the bot has built there)."`
	Runner          string   `name:"inspect-runner" env:"INSPECT_RUNNER" help:"This program, built for linux/amd64, for sandboxes on Modal (default: the one that runs)."`
	Isolation       string   `name:"inspect-local-isolation" env:"INSPECT_LOCAL_ISOLATION" default:"bwrap" help:"How local sandboxes are kept apart: bwrap, or none."`
	MaxSandboxes    *int     `name:"inspect-max-sandboxes" env:"INSPECT_MAX_SANDBOXES" help:"How many sandboxes may live at once, idle ones included (default: 20 on Modal, else the number of cores)."`
	WarmSandboxes   *int     `name:"inspect-warm-sandboxes" env:"INSPECT_WARM_SANDBOXES" help:"How many sandboxes may wait, booted, for sessions that are likely (default: 2 on Modal, else 1; 0: none)."`
	MaxHours        *int     `name:"inspect-max-sandbox-hours" env:"INSPECT_MAX_SANDBOX_HOURS" help:"How many hours all sandboxes together may live in a day, UTC (default: 18 for each that may live at once)."`
	SandboxCPU      string   `name:"inspect-sandbox-cpu" env:"INSPECT_SANDBOX_CPU" help:"Physical cores that a sandbox on Modal reserves, such as 2 or 0.5 (default: 1)."`
	SandboxMemory   *int     `name:"inspect-sandbox-memory" env:"INSPECT_SANDBOX_MEMORY" help:"MiB of memory that a sandbox on Modal reserves (default: 2048)."`
	SandboxLifetime string   `name:"inspect-sandbox-lifetime" env:"INSPECT_SANDBOX_LIFETIME" help:"How long a sandbox on Modal lives at most, 10m to 24h (default: 24h)."`
	SandboxNetworks []string `name:"inspect-sandbox-networks" env:"INSPECT_SANDBOX_NETWORKS" help:"The only networks, in CIDR form, that sandboxes on Modal reach (default: all of the internet)."`
	DataDir         string   `name:"inspect-data-dir" env:"INSPECT_DATA_DIR" help:"Directory of the store and of local sandboxes (default: $$XDG_STATE_HOME/openinspect)."`
	HTTPAddr        string   `name:"inspect-http-addr" env:"INSPECT_HTTP_ADDR" default:"127.0.0.1:8787" help:"Where the log pages are served."`
	PublicURL       string   `name:"inspect-public-url" env:"INSPECT_PUBLIC_URL" help:"Base of links to the log pages in Slack; without it none are posted."`
	Model           string   `name:"inspect-model" env:"INSPECT_MODEL" help:"Default model, provider/model (default: the catalogue's first for which there is a key)."`
	ClassifierModel string   `name:"inspect-classifier-model" env:"INSPECT_CLASSIFIER_MODEL" help:"Model of Anthropic's that says which repository a request is about where rules and words do not (default: none; people are asked)."`
	MaxSessionCost  string   `name:"inspect-max-session-cost" env:"INSPECT_MAX_SESSION_COST" help:"US dollars a session may cost before its thread is asked (default: no limit)."`
	SetupTimeout    int      `name:"setup-timeout-seconds" env:"SETUP_TIMEOUT_SECONDS" default:"300" help:"How long .openinspect/setup.sh may take."`
	StartTimeout    int      `name:"start-timeout-seconds" env:"START_TIMEOUT_SECONDS" default:"120" help:"How long .openinspect/start.sh may take."`
	AllowedChannels []string `name:"inspect-allowed-channels" env:"INSPECT_ALLOWED_CHANNELS" help:"Ids of the channels where the bot works (default: all it is invited to)."`
	AllowGuests     bool     `name:"inspect-allow-guests" env:"INSPECT_ALLOW_GUESTS" help:"Let guests and people of other organisations act."`
	NamedPaths      []string `name:"inspect-named-paths" env:"INSPECT_NAMED_PATHS" default:".github/workflows/**,.github/actions/**,.openinspect/**,**/CODEOWNERS" help:"Paths that are pushed only after a second approval that names them."`
	EmojiApprove    string   `name:"inspect-emoji-approve" env:"INSPECT_EMOJI_APPROVE" default:"white_check_mark" help:"Reaction that approves a card."`
	EmojiStop       string   `name:"inspect-emoji-stop" env:"INSPECT_EMOJI_STOP" default:"octagonal_sign" help:"Reaction that stops a turn."`
	EmojiMerge      string   `name:"inspect-emoji-merge" env:"INSPECT_EMOJI_MERGE" default:"ship" help:"Reaction that merges a pull request."`
	Merge           bool     `name:"inspect-merge" env:"INSPECT_MERGE" help:"Let people merge pull requests from Slack where no admin of the repository has said otherwise."`
	Approvals       int      `name:"inspect-approvals" env:"INSPECT_APPROVALS" default:"1" help:"Reviews that have to approve before a merge, by people who did not contribute."`
	RetentionDays   int      `name:"inspect-retention-days" env:"INSPECT_RETENTION_DAYS" default:"90" help:"Days that a session is kept after the last thing that happened in it; 0 keeps all."`
	OpenCode        string   `name:"inspect-opencode" env:"INSPECT_OPENCODE" help:"The agent's binary (default: opencode on PATH, else fetched once by npm)."`
	LogLevel        string   `name:"inspect-log-level" env:"INSPECT_LOG_LEVEL" default:"info" help:"debug, info, warn or error; JSON lines on standard error."`

	Secrets Secrets     `kong:"-"`
	budget  float64     // MaxSessionCost; 0: no limit
	size    sandboxSize // of sandboxes on Modal
}

// Secrets are the settings that have no flag.
type Secrets struct {
	SlackBotToken    string // SLACK_BOT_TOKEN
	SlackAppToken    string // SLACK_APP_TOKEN
	GitHubPrivateKey []byte // GITHUB_APP_PRIVATE_KEY, PEM
	GitHubWebhook    string // GITHUB_WEBHOOK_SECRET; empty: no webhooks are taken
	AnthropicKey     string // ANTHROPIC_API_KEY
	OpenAIKey        string // OPENAI_API_KEY
	ModalTokenID     string // MODAL_TOKEN_ID
	ModalTokenSecret string // MODAL_TOKEN_SECRET
	MasterKey        []byte // INSPECT_MASTER_KEY, 32 bytes
}

// redactor knows every secret by value, also one that is added later.
func (s Secrets) redactor() *session.Redactor {
	var values []string
	for _, v := range reflect.ValueOf(s).Fields() {
		switch v.Kind() {
		case reflect.String:
			values = append(values, v.String())
		case reflect.Slice:
			values = append(values, string(v.Bytes()), base64.StdEncoding.EncodeToString(v.Bytes())) // as it is set, if that is not text
		default: // a test holds that there is none
		}
	}
	return session.NewRedactor(values...)
}

// secretNames are the variables that hold secrets; each has a NAME_FILE beside it.
var secretNames = []string{
	"SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "GITHUB_APP_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET", "ANTHROPIC_API_KEY", "OPENAI_API_KEY",
	"MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "INSPECT_MASTER_KEY",
}

// ConfigError is a setting that has to be mended: one line that names it and says how. The process ends with status 2.
type ConfigError struct{ Name, Problem string }

func (e *ConfigError) Error() string { return e.Name + " " + e.Problem }

// environment is where settings are read from: os.LookupEnv and os.Environ, or a test's.
type environment struct {
	lookup func(string) (string, bool)
	all    []string
}

func systemEnvironment() environment { return environment{os.LookupEnv, os.Environ()} }

// has reports whether a variable is set, be it empty.
func (e environment) has(name string) bool {
	_, set := e.lookup(name)
	return set
}

// secret reads NAME, or the file that NAME_FILE names.
func (e environment) secret(name string) (string, error) {
	value, direct := e.lookup(name)
	file, byFile := e.lookup(name + "_FILE")
	if value != "" && file != "" {
		return "", &ConfigError{name, "and " + name + "_FILE are both set; keep one."}
	}
	if direct && value != "" || !byFile || file == "" {
		return strings.TrimSpace(value), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", &ConfigError{name + "_FILE", "cannot be read: " + err.Error()}
	}
	return strings.TrimSpace(string(b)), nil
}

// Load completes c from the environment and checks it. It creates the master key's file if there is no key yet.
func (c *Config) Load(env environment) error {
	if err := checkNames(env.all); err != nil {
		return err
	}
	if err := c.secrets(env); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if err := c.dataDir(env); err != nil {
		return err
	}
	return c.masterKey(env)
}

// dataDir fills the data directory in.
func (c *Config) dataDir(env environment) error {
	if c.DataDir == "" {
		dir, err := xdg(env, "XDG_STATE_HOME", ".local/state")
		if err != nil {
			return err
		}
		c.DataDir = dir
	}
	if strings.HasPrefix(c.DataDir, "~") {
		return &ConfigError{"INSPECT_DATA_DIR", fmt.Sprintf("is %q, and nothing replaces that ~ by a home directory. Write the whole path.", c.DataDir)}
	}
	abs, err := filepath.Abs(c.DataDir)
	if err != nil {
		return &ConfigError{"INSPECT_DATA_DIR", "is not a path: " + err.Error()}
	}
	c.DataDir = abs
	return nil
}

func (c *Config) secrets(env environment) error {
	values := map[string]string{}
	for _, name := range secretNames {
		v, err := env.secret(name)
		if err != nil {
			return err
		}
		values[name] = v
	}
	c.Secrets.SlackBotToken = values["SLACK_BOT_TOKEN"]
	c.Secrets.SlackAppToken = values["SLACK_APP_TOKEN"]
	c.Secrets.GitHubPrivateKey = []byte(values["GITHUB_APP_PRIVATE_KEY"])
	c.Secrets.GitHubWebhook = values["GITHUB_WEBHOOK_SECRET"]
	c.Secrets.AnthropicKey = values["ANTHROPIC_API_KEY"]
	c.Secrets.OpenAIKey = values["OPENAI_API_KEY"]
	c.Secrets.ModalTokenID, c.Secrets.ModalTokenSecret = values["MODAL_TOKEN_ID"], values["MODAL_TOKEN_SECRET"]
	switch {
	case c.Secrets.SlackBotToken == "":
		return &ConfigError{"SLACK_BOT_TOKEN", "is not set. Copy the Bot User OAuth Token (xoxb-…) from your Slack app's page “OAuth & Permissions”. To try it without Slack: openinspect demo"}
	case !strings.HasPrefix(c.Secrets.SlackBotToken, "xoxb-"):
		return &ConfigError{"SLACK_BOT_TOKEN", "does not begin with xoxb-. It is the Bot User OAuth Token of “OAuth & Permissions”, not another one."}
	case c.Secrets.SlackAppToken == "":
		return &ConfigError{"SLACK_APP_TOKEN", "is not set. Make an app-level token (xapp-…) with the scope connections:write on your Slack app's page “Basic Information”."}
	case !strings.HasPrefix(c.Secrets.SlackAppToken, "xapp-"):
		return &ConfigError{"SLACK_APP_TOKEN", "does not begin with xapp-. It is an app-level token of “Basic Information”, not another one."}
	case strings.Trim(c.GitHubAppID, "0123456789") != "":
		return &ConfigError{"GITHUB_APP_ID", fmt.Sprintf("is %q, which is not a number. It is the number called “App ID” on your GitHub App's page.", c.GitHubAppID)}
	case c.GitHubAppID == "":
		return &ConfigError{"GITHUB_APP_ID", "is not set. It is the number called “App ID” on your GitHub App's page."}
	case c.GitHubClientID == "":
		return &ConfigError{"GITHUB_CLIENT_ID", "is not set. It is called “Client ID” on your GitHub App's page."}
	case strings.Trim(c.GitHubClientID, "0123456789") == "":
		return &ConfigError{"GITHUB_CLIENT_ID", fmt.Sprintf("is %q, which looks like the App ID. It is the other one, called “Client ID”, on your GitHub App's page.", c.GitHubClientID)}
	case len(c.Secrets.GitHubPrivateKey) == 0:
		return &ConfigError{"GITHUB_APP_PRIVATE_KEY", "is not set. Generate a private key on your GitHub App's page and set GITHUB_APP_PRIVATE_KEY_FILE to the .pem file."}
	case !strings.Contains(values["GITHUB_APP_PRIVATE_KEY"], "-----BEGIN "):
		return &ConfigError{"GITHUB_APP_PRIVATE_KEY", "is not a PEM file. Set GITHUB_APP_PRIVATE_KEY_FILE to the .pem file that GitHub gave you."}
	case !strings.Contains(values["GITHUB_APP_PRIVATE_KEY"], "\n"):
		return &ConfigError{"GITHUB_APP_PRIVATE_KEY", "has lost its line breaks. Set GITHUB_APP_PRIVATE_KEY_FILE to the .pem file that GitHub gave you."}
	case c.Secrets.AnthropicKey == "" && c.Secrets.OpenAIKey == "":
		return &ConfigError{"ANTHROPIC_API_KEY", "is not set, and neither is OPENAI_API_KEY. Set at least one: the agent needs a model."}
	}
	if c.Secrets.GitHubWebhook == "" && (env.has("GITHUB_WEBHOOK_SECRET") || env.has("GITHUB_WEBHOOK_SECRET_FILE")) {
		return &ConfigError{"GITHUB_WEBHOOK_SECRET", "is set and empty, so anybody could send webhooks. Give it the secret of your GitHub App's webhook, or leave it out: the bot does without."}
	}
	return c.decodeMasterKey(values["INSPECT_MASTER_KEY"])
}

// decodeMasterKey takes the key from the environment; "" leaves it to masterKey.
func (c *Config) decodeMasterKey(text string) error {
	if text == "" {
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != 32 {
		return &ConfigError{"INSPECT_MASTER_KEY", "is not 32 bytes in base64. Make one with: openssl rand -base64 32"}
	}
	c.Secrets.MasterKey = key
	return nil
}

func (c *Config) check() error {
	for name, u := range map[string]string{"SLACK_API_URL": c.SlackAPIURL, "MODAL_SERVER_URL": c.ModalURL, "GITHUB_URL": c.GitHubURL, "ANTHROPIC_BASE_URL": c.AnthropicURL, "OPENAI_BASE_URL": c.OpenAIURL, "INSPECT_PUBLIC_URL": c.PublicURL} {
		if u == "" && name == "INSPECT_PUBLIC_URL" {
			continue
		}
		p, err := url.Parse(u)
		if err != nil || p.Host == "" || p.Scheme != "https" && p.Scheme != "http" {
			return &ConfigError{name, fmt.Sprintf("is %q, which is not a URL. Write it with its scheme, such as https://example.com", u)}
		}
		if p.User != nil {
			return &ConfigError{name, "holds a user name or password. Take it out of the URL."}
		}
		if name == "INSPECT_PUBLIC_URL" && strings.Trim(p.Path, "/")+p.RawQuery != "" {
			return &ConfigError{name, "has a path. Give the host alone, such as https://inspect.example.com"}
		}
	}
	for _, name := range []*string{&c.AnthropicURL, &c.OpenAIURL} {
		*name = strings.TrimSuffix(strings.TrimSuffix(*name, "/"), "/v1")
	}
	if err := errors.Join(c.checkSandbox(), c.checkSize()); err != nil {
		return err
	}
	switch {
	case c.Isolation != "bwrap" && c.Isolation != "none":
		return &ConfigError{"INSPECT_LOCAL_ISOLATION", fmt.Sprintf("is %q. Use bwrap or none.", c.Isolation)}
	case c.MaxSandboxes != nil && *c.MaxSandboxes < 1:
		return &ConfigError{"INSPECT_MAX_SANDBOXES", fmt.Sprintf("is %d. It must be at least 1: nothing could run otherwise.", *c.MaxSandboxes)}
	case c.MaxSandboxes != nil && *c.MaxSandboxes > maxSandboxes:
		return &ConfigError{"INSPECT_MAX_SANDBOXES", fmt.Sprintf("is %d. Write at most %d.", *c.MaxSandboxes, maxSandboxes)}
	case c.WarmSandboxes != nil && *c.WarmSandboxes < 0:
		return &ConfigError{"INSPECT_WARM_SANDBOXES", fmt.Sprintf("is %d. Write how many sandboxes may wait for sessions, or 0 for none.", *c.WarmSandboxes)}
	case c.MaxHours != nil && *c.MaxHours < 1:
		return &ConfigError{"INSPECT_MAX_SANDBOX_HOURS", fmt.Sprintf("is %d. It must be at least 1: nothing could run otherwise.", *c.MaxHours)}
	case c.MaxHours != nil && *c.MaxHours > 24*maxSandboxes:
		return &ConfigError{"INSPECT_MAX_SANDBOX_HOURS", fmt.Sprintf("is %d. Write at most %d; that is %d sandboxes all day.", *c.MaxHours, 24*maxSandboxes, maxSandboxes)}
	case c.RetentionDays < 0 || c.RetentionDays > 36_500:
		return &ConfigError{"INSPECT_RETENTION_DAYS", fmt.Sprintf("is %d. Write a number of days, such as 90, or 0 to keep every session.", c.RetentionDays)}
	case c.Approvals < 1:
		return &ConfigError{"INSPECT_APPROVALS", fmt.Sprintf("is %d. Nothing is merged without a second pair of eyes: it must be at least 1.", c.Approvals)}
	case c.SetupTimeout <= 0:
		return &ConfigError{"SETUP_TIMEOUT_SECONDS", "must be above 0."}
	case c.StartTimeout <= 0:
		return &ConfigError{"START_TIMEOUT_SECONDS", "must be above 0."}
	case c.SetupTimeout > maxTimeout:
		return &ConfigError{"SETUP_TIMEOUT_SECONDS", fmt.Sprintf("is %d. Write at most %d, which is a day.", c.SetupTimeout, maxTimeout)}
	case c.StartTimeout > maxTimeout:
		return &ConfigError{"START_TIMEOUT_SECONDS", fmt.Sprintf("is %d. Write at most %d, which is a day.", c.StartTimeout, maxTimeout)}
	}
	if _, _, err := net.SplitHostPort(c.HTTPAddr); err != nil {
		return &ConfigError{"INSPECT_HTTP_ADDR", fmt.Sprintf("is %q. Write host:port, such as 127.0.0.1:8787", c.HTTPAddr)}
	}
	if err := new(slog.Level).UnmarshalText([]byte(c.LogLevel)); err != nil {
		return &ConfigError{"INSPECT_LOG_LEVEL", fmt.Sprintf("is %q. Use debug, info, warn or error.", c.LogLevel)}
	}
	if err := errors.Join(c.checkNamed(), c.checkChannels(), c.checkEmojis(), c.checkBudget()); err != nil {
		return err
	}
	return c.checkModel()
}

// amount is how an amount of money is written: no sign, exponent or unit.
var amount = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]+)?$`)

func (c *Config) checkBudget() (err error) {
	if c.MaxSessionCost == "" {
		return nil
	}
	c.budget, err = strconv.ParseFloat(c.MaxSessionCost, 64)
	switch {
	case err != nil || !amount.MatchString(c.MaxSessionCost):
		return &ConfigError{"INSPECT_MAX_SESSION_COST", fmt.Sprintf("is %q. Write US dollars as a decimal number, such as 5 or 2.50", c.MaxSessionCost)}
	case c.budget <= 0:
		return &ConfigError{"INSPECT_MAX_SESSION_COST", "must be above 0. Leave it out for no limit."}
	}
	return nil
}

// channelID is the form of Slack's ids of channels.
var channelID = regexp.MustCompile(`^[CG][A-Z0-9]+$`)

func (c *Config) checkChannels() error {
	for i, id := range c.AllowedChannels {
		c.AllowedChannels[i] = strings.TrimSpace(id)
		if !channelID.MatchString(c.AllowedChannels[i]) {
			return &ConfigError{"INSPECT_ALLOWED_CHANNELS", fmt.Sprintf("has %q, which is no channel's id. Slack shows the id, such as C024BE91L, at the end of a channel's details.", id)}
		}
	}
	return nil
}

// providers returns the model providers for which there is a key.
func (c *Config) providers() []string {
	var p []string
	if c.Secrets.AnthropicKey != "" {
		p = append(p, "anthropic")
	}
	if c.Secrets.OpenAIKey != "" {
		p = append(p, "openai")
	}
	return p
}

func (c *Config) checkModel() error {
	if err := c.checkClassifier(); err != nil {
		return err
	}
	if c.Model == "" {
		m, ok := model.Default(c.providers()...)
		if !ok {
			return &ConfigError{"INSPECT_MODEL", "is not set, and no model provider has a key."}
		}
		c.Model = m.ID
		return nil
	}
	m, ok := model.Find(c.Model)
	if !ok {
		return &ConfigError{"INSPECT_MODEL", fmt.Sprintf("is %q, which is not in the catalogue. Nearest: %s", c.Model, strings.Join(model.Nearest(c.Model), ", "))}
	}
	if !slices.Contains(c.providers(), m.Provider) {
		return &ConfigError{"INSPECT_MODEL", fmt.Sprintf("is %s, but there is no key for %s. Set %s_API_KEY.", m.ID, m.Provider, strings.ToUpper(m.Provider))}
	}
	c.Model = m.ID
	return nil
}

func (c *Config) checkClassifier() error {
	const name = "INSPECT_CLASSIFIER_MODEL"
	if c.ClassifierModel == "" {
		return nil
	}
	m, ok := model.Find(c.ClassifierModel)
	switch {
	case !ok:
		return &ConfigError{name, fmt.Sprintf("is %q, which is not in the catalogue. Nearest: %s", c.ClassifierModel, strings.Join(model.Nearest(c.ClassifierModel), ", "))}
	case !classify.Knows(m):
		return &ConfigError{name, fmt.Sprintf("is %s, but only Anthropic's models can be asked, such as haiku. Leave it empty, and people are asked.", m.ID)}
	case !slices.Contains(c.providers(), m.Provider):
		return &ConfigError{name, fmt.Sprintf("is %s, but there is no key for it. Set ANTHROPIC_API_KEY, or leave it empty, and people are asked.", m.ID)}
	}
	c.ClassifierModel = m.ID
	return nil
}

// masterKey reads the key that seals tokens, or makes one. It lives outside the data directory, so that a backup never has it.
func (c *Config) masterKey(env environment) error {
	if c.Secrets.MasterKey != nil {
		return nil
	}
	dir, err := xdg(env, "XDG_CONFIG_HOME", ".config")
	if err != nil {
		return err
	}
	c.Secrets.MasterKey, err = readOrMakeKey(filepath.Join(dir, "master.key"))
	return err
}

// existingKey returns the key of an installation that was there before: none is made.
func existingKey(env environment) ([]byte, error) {
	var c Config
	text, err := env.secret("INSPECT_MASTER_KEY")
	if err == nil {
		err = c.decodeMasterKey(text)
	}
	if err != nil || c.Secrets.MasterKey != nil {
		return c.Secrets.MasterKey, err
	}
	dir, err := xdg(env, "XDG_CONFIG_HOME", ".config")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "master.key")
	if _, err := os.Stat(path); err != nil {
		return nil, &ConfigError{"INSPECT_MASTER_KEY", "is not set, and " + path + " does not exist. A backup needs the master key of the bot that it was made of."}
	}
	return readOrMakeKey(path)
}

func xdg(env environment, name, fallback string) (string, error) {
	if dir, ok := env.lookup(name); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "openinspect"), nil
	}
	home, ok := env.lookup("HOME")
	if !ok || home == "" {
		return "", &ConfigError{"HOME", "is not set. Set it, or INSPECT_DATA_DIR and INSPECT_MASTER_KEY."}
	}
	return filepath.Join(home, fallback, "openinspect"), nil
}

// checkNames refuses INSPECT_ variables that mean nothing: a misspelt setting would otherwise be ignored in silence.
func checkNames(environ []string) error {
	known := settingNames()
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "INSPECT_") && !slices.Contains(known, strings.TrimSuffix(name, "_FILE")) {
			problem := "is not a setting. README lists them all."
			if near := session.Nearest(name, known, 1); len(near) > 0 {
				problem = "is not a setting. Did you mean " + near[0] + "?"
			}
			return &ConfigError{name, problem}
		}
	}
	return nil
}

// settingNames returns the names of all settings.
func settingNames() []string {
	names := slices.Clone(secretNames)
	for field := range reflect.TypeFor[Config]().Fields() {
		if name := field.Tag.Get("env"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// configFrom reads a Config from an environment of its own, as a process with just that environment would.
func configFrom(vars map[string]string, args ...string) (Config, error) {
	var c Config
	lookup := kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			if v, ok := vars[name]; ok {
				return v, nil
			}
		}
		return nil, nil
	})
	env := environment{lookup: func(k string) (string, bool) { v, ok := vars[k]; return v, ok }}
	for k, v := range vars {
		env.all = append(env.all, k+"="+v)
	}
	parser, err := kong.New(&c, kong.Name("openinspect"), kong.Resolvers(lookup))
	if err != nil {
		return c, err
	}
	if _, err := parser.Parse(args); err != nil {
		return c, err
	}
	return c, c.Load(env)
}
