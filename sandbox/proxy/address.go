package proxy

import (
	"net"
	"net/netip"
)

// special are the networks that are not the public internet, and what they are: the IANA registries of special-purpose addresses (RFC 6890 and
// its successors), and one address that only looks public.
var special = []struct {
	network netip.Prefix
	what    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address"},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private address"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a private address"}, // shared by carriers, RFC 6598; some clouds' metadata
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"}, // most clouds' metadata
	{netip.MustParsePrefix("172.16.0.0/12"), "a private address"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a reserved address"},
	{netip.MustParsePrefix("192.0.2.0/24"), "a reserved address"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a reserved address"}, // 6to4 relays, RFC 7526
	{netip.MustParsePrefix("192.168.0.0/16"), "a private address"},
	{netip.MustParsePrefix("198.18.0.0/15"), "a reserved address"},
	{netip.MustParsePrefix("198.51.100.0/24"), "a reserved address"},
	{netip.MustParsePrefix("203.0.113.0/24"), "a reserved address"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud's own address"}, // Azure's host agent

	{netip.MustParsePrefix("::/128"), "an unspecified address"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("fc00::/7"), "a private address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fec0::/10"), "a private address"}, // site-local, RFC 3879
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
	{netip.MustParsePrefix("2001::/23"), "a reserved address"}, // Teredo, which has an IPv4 address inside, and others
	{netip.MustParsePrefix("2001:db8::/32"), "a reserved address"},
	{netip.MustParsePrefix("2002::/16"), "a reserved address"}, // 6to4, which has an IPv4 address inside
	{netip.MustParsePrefix("3fff::/20"), "a reserved address"},
}

var (
	global = netip.MustParsePrefix("2000::/3")     // all that IANA has given out for unicast; whatever else there is, is refused
	nat64  = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the last four bytes are an IPv4 address
)

// refusal says what an address is that a sandbox may not reach, "" if it may. An IPv4 address inside an IPv6 one counts as itself.
func refusal(a netip.Addr) string {
	if !a.IsValid() {
		return "no address"
	}
	if a.Zone() != "" {
		return "a link-local address"
	}
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, s := range special {
		if s.network.Contains(a) {
			return s.what
		}
	}
	if a.Is6() && !global.Contains(a) {
		return "a reserved address"
	}
	return ""
}

// own reports whether an address is one of this computer's or of its neighbours': of a network that an interface of it is in. From here it leads to
// services that a firewall keeps from everybody else, whether or not the address is public, as IPv6 addresses are also at home.
func own(a netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	return err != nil || within(addrs, a) // what is not known is not another's
}

// within reports whether an address is in the network of one of an interface's addresses.
func within(addrs []net.Addr, a netip.Addr) bool {
	ip := net.IP(a.Unmap().AsSlice())
	for _, i := range addrs {
		if n, ok := i.(*net.IPNet); ok && n.Contains(ip) {
			return true
		}
	}
	return false
}
