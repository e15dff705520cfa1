// Package origin judges the Origin header of requests: the one rule for every door that web pages reach. It
// depends on the standard library only.
package origin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// List is the origins that may connect beside a request's own host. The zero value has none. It is immutable
// once made.
type List struct {
	origins  []string // as text writes them
	everyone bool
}

// Parse reads entries of the form scheme://host[:port], or "*" for every origin. bad are those that are
// neither.
func Parse(entries []string) (l List, bad []string) {
	for _, entry := range entries {
		if entry == "*" {
			l.everyone = true
			continue
		}
		u, err := url.Parse(entry)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			bad = append(bad, entry)
			continue
		}
		l.origins = append(l.origins, text(u))
	}
	return l, bad
}

// Everyone reports whether "*" is in the list.
func (l *List) Everyone() bool { return l.everyone }

// Verdict is what an Origin header says about a request.
type Verdict uint8

const (
	// Foreign: a page that may not connect, or more than one header.
	Foreign Verdict = iota
	// Absent: no page made the request.
	Absent
	// Own: a page of the host that the request was sent to.
	Own
	// Listed: a page that the list names.
	Listed
	// Anybody: a page that passes only because every one does. What its browser sends by itself (cookies) says
	// nothing about who wants what the request asks for.
	Anybody
)

// Judge looks at a request. The scheme of its own host is unknown behind a proxy that ends TLS: either passes, unless
// the request came over TLS or whoever believes the proxy has noted it in URL.Scheme.
func (l *List) Judge(r *http.Request) Verdict {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return Absent
	}
	if len(values) > 1 {
		return Foreign
	}
	if u, err := url.Parse(values[0]); err == nil && u.Hostname() != "" && serialised(values[0]) {
		if ownScheme(r, u.Scheme) && text(u) == text(&url.URL{Scheme: u.Scheme, Host: r.Host}) {
			return Own
		}
		if slices.Contains(l.origins, text(u)) {
			return Listed
		}
	}
	if l.everyone {
		return Anybody
	}
	return Foreign
}

func ownScheme(r *http.Request, scheme string) bool {
	switch {
	case r.TLS != nil:
		return scheme == "https"
	case r.URL != nil && r.URL.Scheme != "":
		return scheme == r.URL.Scheme
	default:
		return scheme == "http" || scheme == "https"
	}
}

// serialised reports whether an origin is written as browsers write it: names in ASCII, nothing escaped. What is written otherwise
// would be compared with what it stands for.
func serialised(origin string) bool {
	for i := range len(origin) {
		if c := origin[i]; c <= ' ' || c >= 0x7f || c == '%' {
			return false
		}
	}
	return true
}

// text is scheme://host[:port] in lower case, default ports left out.
func text(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if port := u.Port(); scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return scheme + "://" + host
}
