// Package modal is the Provider on Modal (modal.com). It is the one package that knows Modal's SDK; ADR 0031 says which, and when to change it.
//
// # What is where
//
// All sandboxes of an installation are in one App of its own, by which a sweep tells them from others'. A sandbox has the session's name, which Modal
// keeps unique among an App's running ones: a Create whose answer was lost finds the name taken, and adopts what has it. Inside, /sandbox is the
// runner's directory and /opt/openinspect/bin/HASH/openinspect the runner.
//
// A sandbox's own command does nothing: runners come and go while it lives. Everything else is done by small shell scripts (*.sh), run with Exec. They find a
// runner by its environment in /proc, which cannot be stale as a file in a snapshot can.
//
// # The runner
//
// This program's own executable, or another for the sandboxes' platform, is sent over Exec's input, compressed and in pieces, checked, and renamed into
// place: once per sandbox or image, because its path has its hash.
//
// # The link
//
// The runner listens on one port, to which Modal leads a public TLS address. Whoever connects needs the token of that start; the runner has only
// its hash. The address is part of the handle.
//
// # Time
//
// The SDK puts no deadline on anything. Here every call has one, and a handle of the SDK is used by one goroutine, for one operation, and then let go: it
// keeps a connection of its own, and its first Execs must not run at the same time.
package modal
