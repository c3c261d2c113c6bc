package link

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"openinspect/session"
)

// Environment is the answer to POST /environment: what the repository's own variables are, its secrets among them. The runner asks once, when Boot says
// that there is something to ask for. It keeps the answer in memory, and gives it to the scripts, the agent and what these start, to nobody else.
type Environment struct {
	Variables map[string]string `json:"variables"`
}

// Limits of an Environment, in bytes.
const (
	MaxVariables   = 128 // how many
	MaxName        = 256
	MaxValue       = 32 << 10
	MaxEnvironment = 128 << 10 // of all names and values together
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Names that a repository cannot set: what decides how programs are found, loaded and talked to in a sandbox, and what the bot says by them. The agent
// would not start, git would ask elsewhere, or the network would be another; nobody would look for that among a repository's secrets.
var (
	ours = []string{
		"PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "TERM", "LANG", "TZ", "TMPDIR", "IFS", "ENV", "BASH_ENV", "BASHOPTS", "SHELLOPTS", "PS4",
		"PROMPT_COMMAND", "PAGER", "SSH_ASKPASS", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME",
		"BUN_BE_BUN", // the agent would be Bun, which it is made with
	}
	oursBegin = []string{"LD_", "LC_", "GIT_", "BASH_FUNC_", "OPENINSPECT_", "OPENCODE_"}
	proxies   = []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY"}
)

// CheckVariable tells why a sandbox cannot have a variable, in a sentence with its name and without its value; nil if it can.
func CheckVariable(name, value string) error {
	invalid := func(format string, args ...any) error {
		return session.Errorf(session.Invalid, "The variable %s cannot be set in a sandbox: %s", shortName(name), fmt.Sprintf(format, args...))
	}
	upper := strings.ToUpper(name)
	switch {
	case !variable.MatchString(name) || len(name) > MaxName:
		return invalid("a name has letters, digits and underscores, at most %d of them, and no digit first.", MaxName)
	case slices.Contains(ours, name), slices.Contains(proxies, upper),
		slices.ContainsFunc(oursBegin, func(s string) bool { return strings.HasPrefix(name, s) }):
		return invalid("the sandbox itself depends on it. Give it another name.")
	case len(value) > MaxValue:
		return invalid("its value has %d bytes, and %d is the most.", len(value), MaxValue)
	case strings.ContainsRune(value, 0) || !utf8.ValidString(value):
		return invalid("its value is not text.")
	}
	return nil
}

// shortName is a variable's name as it may be shown: what is no name could be a value in the wrong place.
func shortName(name string) string {
	if variable.MatchString(name) && len(name) <= MaxName {
		return name
	}
	return "with a name that is none"
}

// Check tells why a sandbox cannot have this environment, in a sentence without a value.
func (e Environment) Check() error {
	if len(e.Variables) > MaxVariables {
		return session.Errorf(session.Invalid, "There are %d variables, and %d is the most that a sandbox can have.", len(e.Variables), MaxVariables)
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(e.Variables)) {
		if err := CheckVariable(name, e.Variables[name]); err != nil {
			return err
		}
		size += len(name) + len(e.Variables[name])
	}
	if size > MaxEnvironment {
		return session.Errorf(session.Invalid, "The variables have %d bytes together, and %d is the most that a sandbox can have.", size, MaxEnvironment)
	}
	return nil
}

// List returns the variables as a process takes them, NAME=value, sorted.
func (e Environment) List() []string {
	var all []string
	for name, value := range e.Variables {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return all
}

// minHidden is how long a value is at least that is taken out of what is stored and shown. Shorter ones are words, ports and numbers, which stand
// everywhere: a log with holes at every "true" would hide nothing and tell little.
const minHidden = 8

// Hideable reports whether a variable's value is taken out of what is stored and shown.
func Hideable(value string) bool { return len(strings.TrimSpace(value)) >= minHidden }
