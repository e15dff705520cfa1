package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-go/bus/natsbus"
)

// config is what a URL says about the server; the rest of it is for the client.
type config struct {
	client string // URL for natsbus

	store          string
	name           string
	user           string // of the URL: clients and routes
	password       string
	clientUser     string // what clients need: those, or made up where nobody else may connect
	clientPassword string
	listen         string // host:port, "": only this process connects
	clusterListen  string
	advertise      string
	routes         []string // host:port
	members        int
	syncAlways     bool
	caFile         string
	certFile       string
	keyFile        string
}

// ours are the parameters that are taken off the URL; what is left goes to natsbus.
var ours = []string{
	"store", "name", "listen", "cluster_listen", "advertise", "routes", "members", "sync", "tls_ca", "tls_cert", "tls_key",
}

const form = "must be nats://[user:password@]embedded?store=DIR"

// parseURL reads nats://[user:password@]embedded?store=DIR&…. Errors repeat no credential.
func parseURL(rawURL string) (config, error) {
	c := config{members: 1}
	rest, ok := strings.CutPrefix(rawURL, "nats://")
	authority, query, _ := strings.Cut(rest, "?")
	userinfo, host, found := cutLast(strings.TrimSuffix(authority, "/"), "@")
	if !found {
		userinfo, host = "", userinfo
	}
	if !ok || host != "embedded" {
		return c, errors.New(form)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return c, errors.New("the parameters behind ? are not name=value joined by &")
	}
	errs := []error{c.setUser(userinfo), c.setStrings(values), c.setMembers(values)}
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	if err := c.validate(values); err != nil {
		return c, err
	}
	return c, c.setClient(values)
}

// cutLast is strings.Cut at the last separator; without one, before is all of it.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (c *config) setUser(userinfo string) error {
	if userinfo == "" {
		return nil
	}
	user, password, _ := strings.Cut(userinfo, ":")
	var errs [2]error
	c.user, errs[0] = url.PathUnescape(user)
	c.password, errs[1] = url.PathUnescape(password)
	if errs[0] != nil || errs[1] != nil || c.user == "" || c.password == "" {
		return errors.New("user and password: both are needed, with % as %25")
	}
	return nil
}

func (c *config) setStrings(values url.Values) error {
	c.store, c.name, c.caFile, c.certFile, c.keyFile = values.Get("store"), values.Get("name"), values.Get("tls_ca"), values.Get("tls_cert"), values.Get("tls_key")
	var errs []error
	for _, name := range ours {
		if list, there := values[name]; there && (len(list) > 1 || list[0] == "") {
			errs = append(errs, fmt.Errorf("parameter %s: must have one value", name))
		}
	}
	for name, dst := range map[string]*string{"listen": &c.listen, "cluster_listen": &c.clusterListen, "advertise": &c.advertise} {
		if *dst = values.Get(name); *dst != "" && !hostPort(*dst) {
			errs = append(errs, fmt.Errorf("parameter %s: must be host:port", name))
		}
	}
	if list := values.Get("routes"); list != "" {
		for i, route := range strings.Split(list, ",") {
			route = strings.TrimPrefix(route, "nats://")
			if strings.Contains(route, "@") {
				errs = append(errs, errors.New("parameter routes: must be host:port without credentials: those of the URL are used"))
			} else if !hostPort(route) {
				errs = append(errs, fmt.Errorf("parameter routes: number %d must be host:port", i+1))
			}
			c.routes = append(c.routes, route)
		}
	}
	switch v := values.Get("sync"); v {
	case "", "interval":
	case "always":
		c.syncAlways = true
	default:
		errs = append(errs, errors.New("parameter sync: must be interval (the default: every two minutes) or always"))
	}
	return errors.Join(errs...)
}

func hostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil && n > 0 && host != "" && !strings.ContainsAny(host, " /@?")
}

func (c *config) setMembers(values url.Values) error {
	text := values.Get("members")
	if text == "" {
		if values.Has("routes") || values.Has("cluster_listen") {
			return errors.New("parameter members: must be 3 or 5 where there are routes: how many machines hold the events")
		}
		return nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err == nil && (n == 2 || n == 4):
		return fmt.Errorf("parameter members: %d is not safe: half of them cannot tell whether the others are dead or cut off; use 1, 3 or 5, and let further nodes connect to them with nats://host:port", n)
	case err != nil || n != 1 && n != 3 && n != 5:
		return errors.New("parameter members: must be 1, 3 or 5; further nodes connect to the members with nats://host:port")
	}
	c.members = n
	return nil
}

// validate checks what parameters mean together.
func (c *config) validate(values url.Values) error {
	var errs []error
	need := func(name, why string) {
		if !values.Has(name) {
			errs = append(errs, fmt.Errorf("parameter %s: %s", name, why))
		}
	}
	need("store", "is required: the folder that holds the events")
	if c.members > 1 {
		need("name", "is required for members: a name that this member keeps, such as that of its machine")
		need("cluster_listen", "is required for members: the host:port where the others reach this one")
		need("routes", "is required for members: host:port of the others, joined by commas")
		if n := len(c.routes); n > 0 && n != c.members && n != c.members-1 {
			errs = append(errs, fmt.Errorf("parameter routes: names %d, want the %d others, or all %d", n, c.members-1, c.members))
		}
	} else if values.Has("routes") || values.Has("cluster_listen") {
		errs = append(errs, errors.New("parameter members: 1 has no routes and no cluster_listen"))
	}
	for _, r := range c.name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			errs = append(errs, errors.New("parameter name: may have letters, digits, - and _ only"))
			break
		}
	}
	if values.Get("mode") == "core" {
		errs = append(errs, errors.New("parameter mode: the embedded server is there to keep events; core is for servers of others"))
	}
	for _, at := range []struct{ name, addr string }{{"listen", c.listen}, {"cluster_listen", c.clusterListen}} {
		if at.addr != "" && !loopback(at.addr) && c.user == "" {
			errs = append(errs, fmt.Errorf("parameter %s: others can reach this address, so the URL needs credentials: nats://user:password@embedded?…", at.name))
		}
	}
	if (c.certFile == "") != (c.keyFile == "") {
		errs = append(errs, errors.New("parameters tls_cert and tls_key: one needs the other"))
	}
	if c.certFile != "" && c.listen == "" && c.clusterListen == "" {
		errs = append(errs, errors.New("parameters tls_…: nothing listens: set listen or cluster_listen"))
	}
	return errors.Join(errs...)
}

func loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// setClient makes the URL of the client in this process: each member holds each stream, unless told otherwise.
func (c *config) setClient(values url.Values) error {
	rest := url.Values{"replicas": {strconv.Itoa(c.members)}}
	for name, list := range values {
		if !slices.Contains(ours, name) {
			rest[name] = list
		}
	}
	if n, err := strconv.Atoi(rest.Get("replicas")); err == nil && n > c.members {
		return fmt.Errorf("parameter replicas: %d, but there are %d members", n, c.members)
	}
	u := url.URL{Scheme: "nats", Host: "embedded", RawQuery: rest.Encode()}
	c.clientUser, c.clientPassword = c.user, c.password
	if c.listen == "" {
		c.clientUser, c.clientPassword = "fraiseql", rand.Text()
	}
	if c.clientUser != "" {
		u.User = url.UserPassword(c.clientUser, c.clientPassword)
	}
	c.client = u.String()
	return natsbus.Check(c.client)
}
