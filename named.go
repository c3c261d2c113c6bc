package main

import (
	"openinspect/github"
	"openinspect/session"
)

// checkNamed refuses a pattern that would never be a path.
func (c *Config) checkNamed() error {
	if _, err := github.ParsePaths(c.NamedPaths); err != nil {
		return &ConfigError{"INSPECT_NAMED_PATHS", "has " + session.Sentence(err) + ", which is no pattern of paths. Write for example .github/workflows/**,infra/**,**/CODEOWNERS"}
	}
	return nil
}
