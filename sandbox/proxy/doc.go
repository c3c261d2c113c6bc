// Package proxy is a local sandbox's only way out to the network: the bot's forward proxy. A sandbox has a network of its own with nothing in it but
// its loopback; what its programs want of the world they ask here, with CONNECT or a request for a whole address (RFC 9110, 9.3.6; RFC 9112, 3.2.2).
//
// # What may be reached
//
// Public unicast addresses, at the ports 80, 443 and from 1024 up; and the one host and port that the configuration excepts, GitHub's, wherever it
// is. Not the addresses of private networks, of this computer and its neighbours on the wire, of a cloud's metadata, nor those that have such an
// address inside (see refusal). A name is resolved here, once, and what is checked is the very address that is then dialled, so that a name that
// means another address a moment later gains nothing. Every refusal says what was refused, and why, in a line of text.
//
// # Whom it serves
//
// Serve takes the connections of one sandbox. Whoever is on the other end is hostile: headers, connections, dials and silence have limits, for each
// sandbox apart, and nothing of one sandbox's connections is used for another.
package proxy
