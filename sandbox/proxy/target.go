package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// target is where a connection is to go: a name or an address, and a port.
type target struct {
	host string // lower case, without a final dot; of an address, without brackets
	port uint16
}

func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(int(t.port))) }

// hostBytes are those of a name. Others are in no name that a client sends: what is not ASCII is encoded before that.
const hostBytes = "abcdefghijklmnopqrstuvwxyz0123456789-_."

// parseTarget reads host:port as a request names it.
func parseTarget(s string) (target, error) {
	bad := fmt.Errorf("%q is no host and port", clean(s))
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		return target{}, bad
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return target{}, bad
	}
	t := target{strings.ToLower(strings.TrimSuffix(host, ".")), uint16(port)}
	if a, err := netip.ParseAddr(t.host); err == nil {
		t.host = a.String()
		return t, nil
	}
	if t.host == "" || len(t.host) > 253 || strings.Trim(t.host, hostBytes) != "" || strings.Contains("."+t.host+".", "..") {
		return target{}, bad
	}
	return t, nil
}

// open reports whether a port is one of the web's or a registry's. The others below 1024 are for remote shells, mail and the like.
func open(port uint16) bool { return port == 80 || port == 443 || port >= 1024 }

// clean makes text from outside fit for one line of an answer.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 300)]
}
