// Command openinspect turns Slack threads into coding sessions: a mention opens one, an agent works in a sandbox, the thread shows what
// happens, and a pull request appears once a person approves with an emoji.
package main

import "os"

func main() { os.Exit(command(os.Args[1:])) }
