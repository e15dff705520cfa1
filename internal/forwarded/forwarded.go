// Package forwarded finds out who sent a request that came through proxies: their headers count only where the
// configuration trusts the peer, and from the right, where the nearest proxy writes. It depends on the standard
// library only.
package forwarded

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Family is the kind of headers that proxies write. Only one is read: a proxy that writes the one passes the other on
// as a client sent it.
type Family uint8

const (
	// XForwarded is X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host.
	XForwarded Family = iota
	// Forwarded is the header of RFC 7239.
	Forwarded
)

// Rules says whose headers count. The zero value trusts nobody. It is immutable.
type Rules struct {
	Trusted []netip.Prefix
	Family  Family
}

// maxHops bounds how many proxies are looked at.
const maxHops = 32

// headers are those that say where a request came from; a request keeps none of them.
var headers = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Real-Ip"}

// ParseNetworks reads networks (10.0.0.0/8) and single addresses.
func ParseNetworks(texts []string) ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		p, err := ParseNetwork(text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// ParseNetwork reads one network or address.
func ParseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is not a network such as 10.0.0.0/8, nor an address", text)
	case p != p.Masked():
		return p, fmt.Errorf("%q has bits beyond its mask; write %s", text, p.Masked())
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q: write the IPv4 network itself", text)
	}
	return p, nil
}

// Apply puts what trusted proxies say into RemoteAddr, Host and URL.Scheme and takes every such header out, so that
// nothing else reads it. A request of a peer that is not trusted keeps its own address and Host.
func (r *Rules) Apply(req *http.Request) {
	defer func() {
		for _, name := range headers {
			delete(req.Header, name)
		}
	}()
	peer, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil || !r.trusts(peer.Addr()) {
		return
	}
	hops, proto, host := r.read(req.Header)
	if from, ok := r.client(hops); ok {
		req.RemoteAddr = from.String()
	}
	if proto == "http" || proto == "https" {
		req.URL.Scheme = proto
	}
	if validHost(host) {
		req.Host = host
	}
}

func (r *Rules) trusts(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(r.Trusted, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// read returns the hops from the client's to the nearest, and what the nearest proxy says of scheme and host.
func (r *Rules) read(h http.Header) (hops []string, proto, host string) {
	if r.Family == Forwarded {
		return readForwarded(strings.Join(h["Forwarded"], ","))
	}
	hops = strings.Split(strings.Join(h["X-Forwarded-For"], ","), ",")
	return hops, strings.ToLower(nearest(h["X-Forwarded-Proto"])), nearest(h["X-Forwarded-Host"])
}

// nearest is the last of a header's values.
func nearest(values []string) string {
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}

// client is the first hop from the right that is no trusted proxy; with none, the leftmost. What is no address ends the
// search: who wrote it is as far as anybody can be trusted.
func (r *Rules) client(hops []string) (from netip.AddrPort, ok bool) {
	for i := len(hops) - 1; i >= 0 && len(hops)-i <= maxHops; i-- {
		hop, valid := parseHop(strings.TrimSpace(hops[i]))
		if !valid {
			return from, ok
		}
		from, ok = hop, true
		if !r.trusts(hop.Addr()) {
			return from, ok
		}
	}
	return from, ok
}

// parseHop reads an address with or without a port.
func parseHop(text string) (netip.AddrPort, bool) {
	if at, err := netip.ParseAddrPort(text); err == nil && at.Addr().Zone() == "" {
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), true
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if text, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.AddrPort{}, false
		}
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip.Unmap(), 0), true
}

// validHost reports whether a text is host[:port] and nothing else.
func validHost(host string) bool {
	name, port := host, ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		name, port = h, p
	}
	if name == "" || len(host) > 255 || strings.Trim(port, "0123456789") != "" {
		return false
	}
	if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return ip.Zone() == ""
	}
	for i := range len(name) {
		c := name[i]
		if c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
