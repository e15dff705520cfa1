//go:build linux

package embed

import (
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
)

// historyBytes bounds what the memory bus of an engine keeps of past events: a host has memory of its own to care for,
// and the collector lets the heap grow to several times what lives.
const historyBytes = 16 << 20

// remoteLane is the default of limits.resolver_lane for events from outside of the process: no publisher waits for the
// host's resolvers, so a burst is as long as the host's event loop is busy.
const remoteLane = 1000

// busConfig says which bus an engine has.
type busConfig struct{ kind, url, group string }

// busSchemes are the schemes of URLs by the type of bus.
var busSchemes = map[string][]string{
	"redis":      {"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"},
	"postgresql": {"postgresql", "postgres"},
	"nats":       {"nats", "tls"},
}

func (b *busConfig) member(name string, m member) bool {
	switch name {
	case "type":
		m.text(&b.kind)
	case "url", "connection_string":
		m.text(&b.url)
	case "consumer_group":
		m.text(&b.group)
	default:
		return false
	}
	return true
}

// open returns the bus, not yet attached.
func (b *busConfig) open(log *slog.Logger) (bus.Bus, error) {
	if b.kind == "memory" {
		if b.url != "" || b.group != "" {
			return nil, bad("bus.type", "memory takes neither url nor consumer_group")
		}
		return membus.New(membus.Options{Bytes: historyBytes}), nil
	}
	schemes, ok := busSchemes[b.kind]
	if !ok {
		return nil, bad("bus.type", "must be memory, redis, postgresql or nats")
	}
	scheme, _, found := strings.Cut(b.url, "://")
	if !found || !slices.Contains(schemes, strings.ToLower(scheme)) {
		return nil, bad("bus.url", "must begin with "+strings.Join(schemes, ":// or ")+"://")
	}
	rawURL := b.url
	if b.group != "" {
		if b.kind != "redis" {
			return nil, bad("bus.consumer_group", "is for redis only")
		}
		rawURL = withParameter(rawURL, "group", b.group)
	}
	return openRemote(rawURL, bus.Options{Logger: log})
}

// withParameter adds a parameter to a URL, which is otherwise left as it was written.
func withParameter(rawURL, name, value string) string {
	separator := "?"
	if strings.Contains(rawURL, "?") {
		separator = "&"
	}
	return rawURL + separator + name + "=" + url.QueryEscape(value)
}
