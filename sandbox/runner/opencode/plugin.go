package opencode

import (
	"os"
	"path/filepath"

	"openinspect/sandbox/runner"
	"openinspect/session"
)

// shellPlugin keeps the server's own variables, its password and the model port's key among them, out of the shells that the agent runs, and so
// out of their output. It tells them whose sandbox it is, which the server of a warm one was started too early to know. It imports nothing of
// others: a plugin that cannot be loaded makes every prompt end in silence.
const shellPlugin = `export const shell = async () => ({
  "shell.env": async (_input, output) => {
    for (const name of Object.keys(process.env)) {
      if (name.startsWith("OPENCODE_")) output.env[name] = undefined
    }
    try {
      const { readFileSync } = await import("node:fs")
      output.env.OPENINSPECT_SESSION = readFileSync(process.env.OPENCODE_CONFIG_DIR + "/owner", "utf8")
    } catch {}
  },
})
`

// configDir is where OpenCode finds our plugin, besides its own directory in the home.
func configDir(c runner.AgentConfig) string { return filepath.Join(c.Home, ".openinspect", "opencode") }

// stagePlugins writes our plugin, and in both directories a stand-in for the library that plugins may use: OpenCode would otherwise fetch
// 63 MB of it into each, and let the first prompt wait for that.
func stagePlugins(c runner.AgentConfig) error {
	files := map[string]string{filepath.Join(configDir(c), "plugins", "shell.js"): shellPlugin}
	for _, dir := range []string{filepath.Join(c.Home, ".config", "opencode"), configDir(c)} {
		library := filepath.Join(dir, "node_modules", "@opencode-ai", "plugin")
		files[filepath.Join(library, "package.json")] = `{"name":"@opencode-ai/plugin","version":"` + Version + `"}` + "\n"
		files[filepath.Join(dir, "package.json")] = `{"dependencies":{"@opencode-ai/plugin":"` + Version + `"}}` + "\n"
		files[filepath.Join(dir, "package-lock.json")] = `{"lockfileVersion":3,"packages":{"":{"dependencies":{"@opencode-ai/plugin":"` + Version +
			`"}},"node_modules/@opencode-ai/plugin":{"version":"` + Version + `"}}}` + "\n"
	}
	for path, text := range files {
		if err := makeDir(filepath.Dir(path)); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return session.Wrap("opencode.stagePlugins", err)
		}
	}
	return nil
}
