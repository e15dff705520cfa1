package outbound

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
)

// judgeDial looks at the address that is about to be dialled: the name has been resolved, and this connection goes
// there and nowhere else.
func (c *Client) judgeDial(_ context.Context, network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("dial: %w", ErrAddress)
	}
	if !c.reachable(at.Addr()) {
		return ErrAddress
	}
	return nil
}

// reachable reports whether an address may be dialled.
func (c *Client) reachable(ip netip.Addr) bool {
	if ip.Zone() != "" {
		return false
	}
	ip = ip.Unmap()
	for _, network := range c.networks {
		if network.Contains(ip) {
			return true
		}
	}
	return Public(ip)
}

// special4 are the ranges of IPv4 that are not public (IANA's registry of special-purpose addresses).
var special4 = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
)

// global6 is what of IPv6 is assigned for public use; special6 are the exceptions, among them those that carry an
// IPv4 address in them.
var (
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

// Public reports whether an address is one of the public internet.
func Public(ip netip.Addr) bool {
	ip = ip.Unmap()
	special := special4
	switch {
	case !ip.IsValid():
		return false
	case ip.Is6():
		if !global6.Contains(ip) {
			return false
		}
		special = special6
	}
	for _, network := range special {
		if network.Contains(ip) {
			return false
		}
	}
	return true
}

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}
