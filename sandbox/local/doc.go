// Package local is the Provider on this computer: a sandbox is a directory and, while it lives, processes shut up in it.
//
// # On disk
//
// In the provider's directory, NAME/ is a sandbox's own (checkout/, home/ and run/, with the link's socket), NAME.json says which
// runner works there, and NAME.log is what its processes printed. Only NAME/ can be seen from inside, so that what the provider
// believes is out of the agent's reach. An image is such a directory without a runner; its id is the directory's name. A session
// that comes back works in the same directory, at the same path, under a new sandbox name.
//
// # Isolation
//
// With bubblewrap a sandbox has mount, pid, ipc, uts and user namespaces of its own: it sees the system's programs read-only, its
// directory as /sandbox, and no process, file or environment of anybody else. The network is the host's. Process 1 of its pid
// namespace is found again by process id and start time, also by a bot that was started anew, and its death ends everything inside.
//
// Without isolation the runner is an ordinary process of the same user in a session of its own. That hides nothing; it is for tests and the demo.
package local
