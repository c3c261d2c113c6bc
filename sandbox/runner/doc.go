// Package runner is the process inside a sandbox. It is told what to do on its standard input, accepts the bot's link at once, and then
// boots: it brings the checkout up to date, runs the repository's setup.sh and start.sh, and starts the agent. It hands prompts to the
// agent, writes what happens into its journal, commits what the agent leaves, puts the commits under the right names, and packs them for
// the bot.
//
// Everything around it belongs to the agent: the checkout with its git configuration, the home directory, the processes. So the runner
// holds no secret, believes nothing that would hurt if it were a lie, and puts a limit on whatever could hang. The bot checks what it
// collects.
//
// Programs of the sandbox reach the bot through the runner's inside socket: the agent's tools (MCP) and git's credential helper
// (GitCredential), which are commands of the same executable.
package runner
