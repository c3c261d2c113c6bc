// Package local is the Provider on this computer: a sandbox is a directory and, while it lives, processes shut up in it.
//
// # On disk
//
// In the provider's directory, NAME/ is a sandbox's own (checkout/, home/ and run/, with the link's socket), NAME.json says which
// runner works there, NAME.log is the newest of what its processes printed, and NAME.net/ has the socket of its way out. Only NAME/ can be seen from inside, and
// NAME.net/, which cannot be written to there, so that what the provider believes is out of the agent's reach. An image is such a directory without a runner; its id is the directory's name. A session
// that comes back works in the same directory, at the same path, under a new sandbox name.
//
// # Isolation
//
// With bubblewrap a sandbox has mount, pid, ipc, uts, network and user namespaces of its own: it sees the system's programs read-only, its
// directory as /sandbox, and no process, file or environment of anybody else. Its network is a loopback of its own. The one way out is its
// door, a socket of the bot's, where Config.Network serves; the runner passes the connections of the sandbox's programs on to it. Doors go with the
// bot, and Open opens them again. Process 1 of its pid
// namespace is found again by process id and start time, also by a bot that was started anew, and its death ends everything inside.
//
// Without isolation the runner is an ordinary process of the same user in a session of its own. That hides nothing; it is for tests and the demo.
package local
