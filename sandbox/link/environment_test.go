package link

import (
	"strings"
	"testing"

	"openinspect/session"
)

func TestEnvironment(t *testing.T) {
	many := map[string]string{}
	for range MaxVariables + 1 {
		many["A"+strings.Repeat("_", len(many))] = "x"
	}
	big := map[string]string{}
	for _, name := range []string{"A", "B", "C", "D", "E"} {
		big[name] = strings.Repeat("x", MaxValue)
	}
	const secret = "hunter22-hunter22"
	for _, c := range []struct {
		variables map[string]string
		want      string // of the refusal; empty: none
	}{
		{nil, ""},
		{map[string]string{"DEPLOY_KEY": secret, "database_url": "postgres://a:b@c/d?e=f", "EMPTY": "", "_": "x", "LINES": "a\nb", "PATH_TO": "x", "ANTHROPIC_API_KEY": "k"}, ""},
		{map[string]string{"PATH": secret}, "The variable PATH cannot be set in a sandbox: the sandbox itself depends on it."},
		{map[string]string{"HOME": secret}, "HOME"}, {map[string]string{"LD_PRELOAD": secret}, "LD_PRELOAD"}, {map[string]string{"BUN_BE_BUN": "1"}, "BUN_BE_BUN"}, {map[string]string{"GIT_DIR": secret}, "GIT_DIR"},
		{map[string]string{"OPENINSPECT_SESSION": secret}, "OPENINSPECT_SESSION"}, {map[string]string{"OPENCODE_CONFIG": secret}, "OPENCODE_CONFIG"},
		{map[string]string{"http_proxy": secret}, "http_proxy"}, {map[string]string{"No_Proxy": secret}, "No_Proxy"}, {map[string]string{"BASH_ENV": secret}, "BASH_ENV"},
		{map[string]string{"": secret}, "with a name that is none"}, {map[string]string{"1A": secret}, "with a name that is none"},
		{map[string]string{secret: "x"}, "with a name that is none"}, {map[string]string{"A B": secret}, "with a name that is none"},
		{map[string]string{"A=" + secret: "x"}, "with a name that is none"}, {map[string]string{strings.Repeat("A", MaxName+1): secret}, "with a name that is none"},
		{map[string]string{"A": secret + "\x00"}, "its value is not text"}, {map[string]string{"A": secret + "\xff"}, "its value is not text"},
		{map[string]string{"A": strings.Repeat("x", MaxValue+1)}, "its value has 32769 bytes"},
		{many, "There are 129 variables"}, {big, "bytes together"},
	} {
		err := Environment{c.variables}.Check()
		switch {
		case c.want == "" && err != nil, c.want != "" && (session.CodeOf(err) != session.Invalid || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%d variables: %v, want %q", len(c.variables), err, c.want)
		case err != nil && strings.Contains(err.Error(), secret):
			t.Errorf("the value is told: %v", err)
		}
	}
}

// FuzzVariable holds what is let through to what a process takes, and what is said to names alone.
func FuzzVariable(f *testing.F) {
	for _, s := range [][2]string{{"DEPLOY_KEY", "hunter22"}, {"PATH", "/bin"}, {"a=b", "x"}, {"GIT_DIR", "/"}, {"https_proxy", "http://x"}, {"", ""}, {"É", "x"}, {"A\n", "x"}, {"A", "\x00"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		err := CheckVariable(name, value)
		switch {
		case err == nil && (strings.ContainsAny(name, "=\x00\n") || name == "" || strings.ContainsRune(value, 0)):
			t.Errorf("%q=%q cannot be a process's", name, value)
		case err == nil && (name == "PATH" || strings.HasPrefix(name, "LD_") || strings.EqualFold(name, "https_proxy")):
			t.Errorf("%q was let through", name)
		case err != nil && len(value) > 100 && strings.Contains(err.Error(), value):
			t.Errorf("the value of %q is told: %v", name, err)
		}
	})
}
