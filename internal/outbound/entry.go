package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
)

// entry is one URL that may be called, or those below it.
type entry struct {
	text   string // as configured
	scheme string
	host   string // with its port, lower case
	path   string // exact, or, when below is set, what ends in /
	query  string
	below  bool
}

// ParseURL reports what is wrong with an entry of Config.URLs.
func ParseURL(text string) error {
	_, err := parseEntry(text)
	return err
}

// CheckHost reports whether the host of an entry of Config.URLs can be called at all: one that is an address, or localhost,
// must be public or lie in one of the networks. A name is judged when it is dialled. A text that is no entry passes: see
// ParseURL.
func CheckHost(text string, networks []netip.Prefix) error {
	raw, _ := strings.CutSuffix(text, "/*")
	u, err := parse(raw)
	if err != nil {
		return nil
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	var addresses []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		addresses = []netip.Addr{ip}
	} else if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		addresses = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	c := Client{networks: networks}
	if len(addresses) == 0 || slices.ContainsFunc(addresses, c.reachable) {
		return nil
	}
	return fmt.Errorf("%s is %w, and no network that is allowed has it: it could not be called", host, ErrAddress)
}

func parseEntries(texts []string) ([]entry, error) {
	var entries []entry
	var errs []error
	for _, text := range texts {
		e, err := parseEntry(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("allow %q: %w", text, err))
			continue
		}
		entries = append(entries, e)
	}
	return entries, errors.Join(errs...)
}

func parseEntry(text string) (entry, error) {
	raw, below := strings.CutSuffix(text, "/*")
	if below {
		raw += "/"
	}
	u, err := parse(raw)
	switch {
	case err != nil:
		return entry{}, err
	case strings.Contains(raw, "*"):
		return entry{}, errors.New("a * may stand at the end only, as /*")
	case below && u.RawQuery != "":
		return entry{}, errors.New("an entry that ends in /* has no query")
	}
	return entry{text: text, scheme: u.Scheme, host: hostPort(u), path: u.EscapedPath(), query: u.RawQuery, below: below}, nil
}

// parse reads a URL that may be called or allowed.
func parse(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Opaque != "":
		return nil, errors.New("must begin with https:// or http://")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not hold a user or a password")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, errors.New("must not have a fragment")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

func hostPort(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return host + " " + port
}

// find returns a URL that may be called and the entry that allows it.
func (c *Client) find(raw string) (*url.URL, string, error) {
	u, err := parse(raw)
	if err != nil {
		return nil, "", fmt.Errorf("%w: it %w", ErrNotAllowed, err)
	}
	for i := range c.allowed {
		if c.allowed[i].allows(u) {
			return u, c.allowed[i].text, nil
		}
	}
	return nil, "", ErrNotAllowed
}

func (e *entry) allows(u *url.URL) bool {
	if u.Scheme != e.scheme || hostPort(u) != e.host {
		return false
	}
	if !e.below {
		return u.EscapedPath() == e.path && u.RawQuery == e.query
	}
	rest, ok := strings.CutPrefix(u.EscapedPath(), e.path)
	return ok && rest != "" && u.RawQuery == "" && !u.ForceQuery && straight(u)
}

// straight reports whether servers agree on where a path leads: no dot segments, no empty ones, nothing that some
// take for a slash.
func straight(u *url.URL) bool {
	escaped := strings.ToLower(u.EscapedPath())
	if strings.Contains(escaped, "%2f") || strings.Contains(escaped, "%5c") || strings.Contains(u.Path, `\`) {
		return false
	}
	return path.Clean(u.Path) == strings.TrimSuffix(u.Path, "/")
}
