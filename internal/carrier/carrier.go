// Package carrier opens event buses by URL. It is the one place that knows every adapter: the server, the commands and
// the library for other languages name a bus as memory://, redis://…, postgres://… or nats://….
package carrier

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/bus/spool"
)

// adapter is one kind of bus.
type adapter struct {
	schemes []string
	open    func(rawURL string, o bus.Options) (bus.Bus, error)
	check   func(rawURL string) error
}

// Opener opens buses.
type Opener struct {
	// Embedded opens nats://embedded; nil: this program has no NATS server in it.
	Embedded *Embedded
}

// Embedded is a bus whose carrier runs inside the process.
type Embedded struct {
	Open  func(rawURL string, o bus.Options) (bus.Bus, error)
	Check func(rawURL string) error
}

// embeddedHost is the host that stands for a NATS server inside the process.
const embeddedHost = "embedded"

// Schemes are the schemes of URLs that Open takes.
func Schemes() []string {
	var all []string
	for i := range adapters {
		all = append(all, adapters[i].schemes...)
	}
	return all
}

// Open returns the bus of a URL, not yet attached. Besides the parameters of each bus, every URL but memory:// takes
// buffer (bytes of events to keep in this process while the carrier is away, such as 16MiB; default none) and
// publish_timeout (how long to wait for a carrier that is away, such as 5s). The error names what is wrong and never
// repeats credentials.
func (p *Opener) Open(rawURL string, o bus.Options) (bus.Bus, error) {
	u, err := p.parse(rawURL)
	if err != nil {
		return nil, err
	}
	if u.timeout > 0 {
		o.PublishTimeout = u.timeout
	}
	b, err := u.adapter.open(u.rest, o)
	if err != nil || u.buffer == 0 {
		return b, err
	}
	return spool.New(b, u.buffer, o.Logger), nil
}

// Check reports what Open would refuse, without opening anything.
func (p *Opener) Check(rawURL string) error {
	u, err := p.parse(rawURL)
	if err != nil {
		return err
	}
	return u.adapter.check(u.rest)
}

// Bare returns a URL without the parameters that every bus has, as the packages of the single buses take it.
func Bare(rawURL string) (string, error) {
	u := parsed{rest: rawURL}
	err := u.common()
	return u.rest, err
}

// parsed is a URL without the parameters that every bus has.
type parsed struct {
	adapter *adapter
	rest    string
	buffer  int64
	timeout time.Duration
}

func (p *Opener) parse(rawURL string) (parsed, error) {
	scheme, after, found := strings.Cut(rawURL, "://")
	if !found || scheme == "" {
		return parsed{}, errors.New("must be a URL such as memory:// or redis://127.0.0.1:6379")
	}
	scheme = strings.ToLower(scheme)
	out := parsed{adapter: find(scheme), rest: scheme + "://" + after}
	if out.adapter == nil {
		return parsed{}, fmt.Errorf("unknown bus %s://; this build knows %s", printable(scheme), strings.Join(Schemes(), "://, ")+"://")
	}
	if hostOf(after) == embeddedHost && scheme == "nats" {
		if p.Embedded == nil {
			return parsed{}, errors.New("nats://embedded: this program has no NATS server in it; use fraiseql serve, or name a server")
		}
		out.adapter = &adapter{open: p.Embedded.Open, check: p.Embedded.Check}
	}
	return out, out.common()
}

// common takes the parameters that every bus has off the URL, which is otherwise left as it was written.
func (u *parsed) common() error {
	before, query, found := strings.Cut(u.rest, "?")
	if !found {
		return nil
	}
	var errs []error
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		text, err := url.QueryUnescape(value)
		switch name {
		case "buffer":
			u.buffer, err = size(text, err)
		case "publish_timeout":
			u.timeout, err = positive(text, err)
		default:
			kept, err = append(kept, pair), nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("parameter %s: %w", name, err))
		}
	}
	if u.rest = before; len(kept) > 0 {
		u.rest += "?" + strings.Join(kept, "&")
	}
	return errors.Join(errs...)
}

func positive(text string, err error) (time.Duration, error) {
	d, bad := time.ParseDuration(text)
	if err != nil || bad != nil || d <= 0 || d > time.Hour {
		return 0, errors.New("must be a time from 1ns to 1h, such as 5s")
	}
	return d, nil
}

// maxBuffer bounds what may wait in the process.
const maxBuffer = 16 << 30

func size(text string, err error) (int64, error) {
	number, unit := text, int64(1)
	for name, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(text, name); ok {
			number, unit = n, factor
		}
	}
	n, bad := strconv.ParseInt(number, 10, 64)
	if err != nil || bad != nil || n <= 0 || n > maxBuffer/unit {
		return 0, errors.New("must be a number of bytes up to 16GiB, such as 16MiB")
	}
	return n * unit, nil
}

func find(scheme string) *adapter {
	for i := range adapters {
		if slices.Contains(adapters[i].schemes, scheme) {
			return &adapters[i]
		}
	}
	return nil
}

func hostOf(after string) string {
	host, _, _ := strings.Cut(after, "?")
	host, _, _ = strings.Cut(host, "/")
	return host[strings.LastIndexByte(host, '@')+1:]
}

// printable shortens a scheme that somebody may have pasted something else into.
func printable(scheme string) string {
	for i, r := range scheme {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+-.", r)) || i > 20 {
			return "…"
		}
	}
	return scheme
}

// memory is the adapter of memory://.
func memory(rawURL string, _ bus.Options) (bus.Bus, error) {
	if err := checkMemory(rawURL); err != nil {
		return nil, err
	}
	return membus.New(membus.Options{}), nil
}

func checkMemory(rawURL string) error {
	if rawURL != "memory://" {
		return errors.New("memory:// takes no host and no parameters")
	}
	return nil
}
