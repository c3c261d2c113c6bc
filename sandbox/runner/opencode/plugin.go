package opencode

import (
	"os"
	"path/filepath"

	"openinspect/session"
)

// stagePlugin puts a stand-in where OpenCode looks for its plugin library. It would otherwise fetch 63 MB of it into every new home, for
// plugins that there are none of.
func stagePlugin(home string) error {
	dir := filepath.Join(home, ".config", "opencode")
	library := filepath.Join(dir, "node_modules", "@opencode-ai", "plugin")
	if err := makeDir(library); err != nil {
		return err
	}
	for path, text := range map[string]string{
		filepath.Join(dir, "package.json"):      `{"dependencies":{"@opencode-ai/plugin":"` + Version + `"}}`,
		filepath.Join(library, "package.json"):  `{"name":"@opencode-ai/plugin","version":"` + Version + `"}`,
		filepath.Join(dir, "package-lock.json"): `{"lockfileVersion":3,"packages":{"":{"dependencies":{"@opencode-ai/plugin":"` + Version + `"}},"node_modules/@opencode-ai/plugin":{"version":"` + Version + `"}}}`,
	} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			return session.Wrap("opencode.stagePlugin", err)
		}
	}
	return nil
}
