package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-go/bus/natsbus/embedded"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/carrier"
)

// Buses opens what `bus` may name: every bus, and the NATS server that is in this program.
var Buses = carrier.Opener{Embedded: &carrier.Embedded{Open: carrier.As(embedded.Open), Check: embedded.Check}}

// settle fills what depends on other keys.
func (r *Resolved) settle() {
	c := &r.Config
	if c.Security.Isolation == "" {
		c.Security.Isolation = "strict"
		if c.Dev && !c.Auth.JWT.Configured() {
			c.Security.Isolation = "addressed"
		}
	}
	if c.Security.RowFilter == "" {
		c.Security.RowFilter = "tenant"
		if c.Schemaless.Enabled {
			c.Security.RowFilter = "both"
		}
	}
	if c.Dev {
		l := &c.Limits
		for _, n := range []*int{&l.Connections, &l.HTTPConnections, &l.ConnectionsPerIP, &l.ConnectionsPerUser, &l.ConnectionsPerTenant,
			&l.ConnectRate, &l.SubscribeRate, &l.SubscribeBurst, &l.PublishRate, &l.PublishBurst, &c.Publish.Rate} {
			*n = 0
		}
	}
}

// check collects problems; a key that could not be read is not judged again.
type check struct {
	*Resolved
	builtin  bool
	bad      map[string]bool
	problems Problems
}

func (v *check) fail(path, format string, args ...any) {
	if v.bad[path] {
		return
	}
	key, _, _ := strings.Cut(path, "[")
	v.problems = append(v.problems, Problem{v.Places[key], path, fmt.Sprintf(format, args...)})
}

func (v *check) warn(path, format string, args ...any) {
	v.Warnings = append(v.Warnings, Problem{v.Places[path], path, fmt.Sprintf(format, args...)})
}

func (v *check) set(path string) bool { _, ok := v.Places[path]; return ok }

// validate reports every contradiction and every value out of its range.
func (r *Resolved) validate(builtin bool, bad map[string]bool) Problems {
	v := &check{Resolved: r, builtin: builtin, bad: bad}
	v.schema()
	v.addresses()
	v.bus()
	v.origins()
	v.wire()
	v.http()
	v.jwt()
	v.open()
	v.tokens()
	v.admin()
	v.hooks()
	v.security()
	v.limits()
	return v.problems
}

func (v *check) schema() {
	c := &v.Config
	files, unread := c.Schema.Files, v.bad["schema"]
	switch {
	case v.builtin && (len(files) > 0 || c.Schemaless.Enabled):
		v.fail("schema", "--demo brings its own schema; leave --schema and --schemaless out")
	case v.builtin:
	case len(files) > 0 && c.Schemaless.Enabled:
		v.fail("schemaless.enabled", "contradicts schema; use one of them")
	case len(files) == 0 && !c.Schemaless.Enabled && !unread:
		v.fail("schema", "nothing to serve: give --schema FILE (key schema), or --schemaless to serve channels without one")
	}
	if v.set("schemaless.channels") && !c.Schemaless.Enabled && !v.bad["schemaless.enabled"] {
		v.fail("schemaless.channels", "has no effect unless schemaless.enabled is true")
	}
	if c.Schemaless.Enabled && !c.Dev && len(c.Schemaless.Channels) == 0 {
		v.fail("schemaless.channels", "must list the channels that clients may subscribe to (a name, or a prefix and *); only --dev serves every channel")
	}
	for i, ch := range c.Schemaless.Channels {
		if problem := pattern(ch); problem != "" {
			v.fail(fmt.Sprintf("schemaless.channels[%d]", i), "%q %s", ch, problem)
		}
	}
	for _, f := range files {
		if matches, err := filepath.Glob(f); err != nil || len(matches) == 0 {
			v.fail("schema", "no file %s", f)
		}
	}
}

// pattern judges a channel name or prefix with *; the result is what is wrong, or "".
func pattern(p string) string {
	name, prefix := strings.CutSuffix(p, "*")
	if prefix && name == "" {
		return ""
	}
	if err := event.ValidateChannel(name); err != nil {
		return err.Message
	}
	return ""
}

func (v *check) addresses() {
	c := &v.Config
	main := v.address("listen", c.Listen)
	if c.Admin.Listen != "" {
		admin := v.address("admin.listen", c.Admin.Listen)
		if main && admin && c.Admin.Listen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
			v.fail("admin.listen", "is the same as listen; operators' endpoints need a port of their own")
		}
	} else if c.Admin.Pprof {
		v.fail("admin.pprof", "needs admin.listen")
	}
	if c.DevAnyAddress && !c.Dev {
		v.fail("", "--dev-any-address needs --dev")
	}
	if c.Dev && !c.DevAnyAddress && main && !loopback(c.Listen) {
		v.fail("listen", "%s is not a loopback address; with --dev everything is open, so listen on 127.0.0.1 (or add --dev-any-address if you must)", c.Listen)
	}
}

func (v *check) address(path, addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		v.fail(path, "%q must be host:port, such as 127.0.0.1:4000", addr)
		return false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		v.fail(path, "port %q must be a number from 0 to 65535", port)
		return false
	}
	if strings.ContainsAny(host, " /@") {
		v.fail(path, "%q is not a host", host)
		return false
	}
	return true
}

// loopback reports whether a host:port is reachable from this machine only.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (v *check) bus() {
	c := &v.Config
	path := "bus"
	if c.BusFile != "" {
		path = "bus_file"
	}
	if v.bad["bus_file"] {
		return
	}
	if err := Buses.Check(c.Bus); err != nil {
		v.fail(path, "%v", err)
	}
}

func (v *check) origins() {
	for i, o := range v.Config.Origins {
		path := fmt.Sprintf("origins[%d]", i)
		if o == "*" {
			if v.Config.Auth.JWT.Cookie != "" {
				v.fail(path, "* together with auth.jwt.cookie would let every web page act as its visitor; list the origins")
			}
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			v.fail(path, "%q must be scheme://host[:port], such as https://app.example.com", o)
		} else if u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(o, "#") || strings.HasSuffix(o, "?") {
			v.fail(path, "%q must end after the host and the port: %s://%s", u.Redacted(), u.Scheme, u.Host)
		} else if strings.Contains(u.Host, "*") {
			v.fail(path, "%q: wildcards are not supported; list the origins", o)
		}
	}
}
