package proxy

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestRefusal(t *testing.T) {
	for what, list := range map[string][]string{
		"": {"1.1.1.1", "9.255.255.255", "11.0.0.0", "140.82.121.4", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1", "169.253.255.255",
			"169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
			"168.63.129.15", "2606:4700::1111", "2a00::1", "2003::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"},
		"a loopback address":     {"127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "64:ff9b::127.0.0.1"},
		"a private address":      {"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255", "100.100.100.200", "fc00::1", "fd00:ec2::254", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"},
		"a link-local address":   {"169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "febf::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2606:4700::1111%1"},
		"an unspecified address": {"0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"},
		"a multicast address":    {"224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"},
		"a cloud's own address":  {"168.63.129.16", "::ffff:168.63.129.16"},
		"a reserved address":     {"192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255", "2001:db8::1", "2001::1", "2001:0:a00:1::1", "2001:1ff:ffff::1", "2002:a00:1::", "2002:101:101::", "3fff::1", "64:ff9b:1::a00:1", "100::1", "::10.0.0.1", "::1.1.1.1", "4000::1", "5f00::1", "1::1"},
	} {
		for _, s := range list {
			if got := refusal(netip.MustParseAddr(s)); got != what {
				t.Errorf("%s is %q, want %q", s, got, what)
			}
		}
	}
	if refusal(netip.Addr{}) == "" {
		t.Error("no address may be reached")
	}
}

func TestOwn(t *testing.T) {
	for s, want := range map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "1.1.1.1": false} {
		if own(netip.MustParseAddr(s)) != want {
			t.Errorf("%s: own is not %v", s, want)
		}
	}
}

// Neighbours on the wire may have public addresses, with IPv6 as a rule.
func TestWithin(t *testing.T) {
	var addrs []net.Addr
	for _, s := range []string{"5.5.5.5/24", "6.6.6.6/32", "2a01:4f8:1:2::10/64", "127.0.0.1/8"} {
		ip, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, &net.IPNet{IP: ip, Mask: n.Mask})
	}
	for s, want := range map[string]bool{
		"5.5.5.5": true, "5.5.5.9": true, "::ffff:5.5.5.9": true, "5.5.6.5": false, "6.6.6.6": true, "6.6.6.7": false,
		"2a01:4f8:1:2::10": true, "2a01:4f8:1:2:ffff::1": true, "2a01:4f8:1:3::10": false, "1.1.1.1": false,
	} {
		if within(addrs, netip.MustParseAddr(s)) != want {
			t.Errorf("%s: within is not %v", s, want)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for s, want := range map[string]string{
		"Example.COM:443": "example.com:443", "example.com.:80": "example.com:80", "[::1]:80": "[::1]:80", "[::FFFF:7F00:1]:80": "[::ffff:127.0.0.1]:80",
		"a_b.c-d:65535": "a_b.c-d:65535", "10.0.0.1.:80": "10.0.0.1:80", "[fe80::1%eth0]:80": "[fe80::1%eth0]:80", "127.1:80": "127.1:80", "0x7f.1:80": "0x7f.1:80",
	} {
		if got, err := parseTarget(s); err != nil || got.String() != want {
			t.Errorf("%q is %v, %v; want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", "example.com", ":80", "example.com:", "example.com:0", "example.com:65536", "example.com:-1", "example.com:http", "::1:80", "a b:80",
		"user@example.com:80", "exa\x00mple.com:80", "exämple.com:80", "..:80", "a..b:80", "a..:80", ".a:80", "http://a:80", "a/b:80", "a:80:80", "a:80 ", strings.Repeat("a", 254) + ":80", "a%00:80", "a#:80"} {
		if got, err := parseTarget(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

// Whatever form an address has, it is either understood as the address that would be dialled, or as a name; and one that the standard library
// calls private, loopback, link-local, multicast or unspecified is never let through.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", "[::ffff:10.0.0.1]:443", "[64:ff9b::a9fe:a9fe]:80", "[2002:7f00:1::]:80", "2130706433:80", "0177.0.0.1:80", "127.1:80", "[::1%lo]:80",
		"[0:0:0:0:0:ffff:7f00:0001]:8080", "localhost:80", "1.1.1.1:443", "example.com.:443", "[fe80::1]:1024", "0x7f000001:80", "[::]:80", "10.0.0.1.:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTarget(s)
		if err != nil {
			return
		}
		again, err := parseTarget(got.String())
		if err != nil || again != got {
			t.Fatalf("%q is %v, and that is %v, %v", s, got, again, err)
		}
		// net.ParseIP is another parser than the one that is used.
		if ip := net.ParseIP(got.host); ip != nil {
			a, err := netip.ParseAddr(got.host)
			if err != nil {
				t.Fatalf("%q is an address to one parser and a name to the other", got.host)
			}
			if (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified()) && refusal(a) == "" {
				t.Fatalf("%s would be reached", a)
			}
		}
	})
}

// An IPv4 address is judged the same in every form that carries it.
func FuzzEmbedded(f *testing.F) {
	for _, s := range []string{"10.0.0.1", "127.0.0.1", "169.254.169.254", "1.1.1.1", "100.64.0.1", "8.8.8.8", "0.0.0.0", "255.255.255.255"} {
		a := netip.MustParseAddr(s).As4()
		f.Add(a[0], a[1], a[2], a[3])
	}
	f.Fuzz(func(t *testing.T, a, b, c, d byte) {
		v4 := netip.AddrFrom4([4]byte{a, b, c, d})
		want := refusal(v4)
		for name, in := range map[string][16]byte{
			"mapped": {10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d},
			"NAT64":  {1: 0x64, 2: 0xff, 3: 0x9b, 12: a, 13: b, 14: c, 15: d},
		} {
			if got := refusal(netip.AddrFrom16(in)); got != want {
				t.Errorf("%s is %q, %s is %q", v4, want, name, got)
			}
		}
		for name, in := range map[string][16]byte{
			"compatible":      {12: a, 13: b, 14: c, 15: d},
			"local NAT64":     {1: 0x64, 2: 0xff, 3: 0x9b, 5: 1, 12: a, 13: b, 14: c, 15: d},
			"6to4":            {0: 0x20, 1: 0x02, 2: a, 3: b, 4: c, 5: d},
			"Teredo's client": {0: 0x20, 1: 0x01, 12: ^a, 13: ^b, 14: ^c, 15: ^d},
			"Teredo's server": {0: 0x20, 1: 0x01, 4: a, 5: b, 6: c, 7: d},
		} {
			if refusal(netip.AddrFrom16(in)) == "" {
				t.Errorf("%s in the form %s would be reached", v4, name)
			}
		}
		if std := net.IP(v4.AsSlice()); (std.IsPrivate() || std.IsLoopback() || std.IsLinkLocalUnicast() || std.IsMulticast() || std.IsUnspecified()) && want == "" {
			t.Errorf("%s would be reached", v4)
		}
	})
}
