// Package modaltest is a Modal on loopback: as much of its control plane and of its task command router, over real gRPC on one port, as
// Modal's own Go SDK needs to make images and sandboxes and to run programs in them. It is for tests.
//
// # What is real
//
// A sandbox is a directory that bubblewrap makes the root of: absolute paths mean what they mean in a container, processes are real, see only each
// other, and end with their sandbox. Output can be read again from any offset, input may be sent twice and is taken once, names are unique among an App's
// running sandboxes, a list comes in pages, a snapshot is a copy of the directory, and a tunnel is TLS that ends here. Lifetimes and idle times pass on
// the clock that a test gives. Tokens are checked: both planes refuse a caller without.
//
// # What is not
//
// A Dockerfile's commands are recorded and not run: an image has this computer's /usr and /etc. Sandboxes share this computer's network, so two
// that run at the same time must not listen on the same port (see FreePort). Resources, regions, secrets' secrecy and network rules are taken and not enforced. Nothing here
// says how long Modal takes for anything, and where Modal's behaviour is not published it is what its SDK expects of it.
//
// # What goes wrong
//
// Break makes calls of one method fail in a way that has a name, as often as told; Vanish takes a sandbox away as when its worker dies; BlockTunnels lets nobody in. Live lists the
// sandboxes that run, and Close tells of those that nobody owned, so that no test forgets to look.
package modaltest
