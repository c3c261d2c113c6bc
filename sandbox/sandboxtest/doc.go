// Package sandboxtest has what tests of sandboxes need: a Provider in this process, a runner that does what a test says, and the suite
// that every Provider passes.
package sandboxtest
