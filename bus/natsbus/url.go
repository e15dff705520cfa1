package natsbus

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// config is what a URL says.
type config struct {
	servers  []string // scheme://host:port, without credentials
	user     string
	password string
	token    string
	nkey     string // file of a seed
	creds    string // file of a JWT and its seed
	caFile   string
	certFile string
	keyFile  string

	core     bool
	prefix   string
	stream   string
	replicas int           // 0: as the stream has, else 1
	maxBytes int64         // 0: as the stream has, else defaultMaxBytes
	maxAge   time.Duration // 0: as the stream has, else defaultMaxAge
}

// Defaults of streams that this package creates.
const (
	defaultPrefix   = "fraiseql"
	defaultMaxBytes = 1 << 30
	defaultMaxAge   = 24 * time.Hour
	maxReplicas     = 5
	maxServers      = 64
	defaultPort     = "4222"
)

// parameters are what may stand behind the question mark, each with what reads it.
var parameters = map[string]func(c *config, value string) error{
	"mode":      (*config).setMode,
	"prefix":    func(c *config, v string) error { return setName(&c.prefix, v, "-_.") },
	"stream":    func(c *config, v string) error { return setName(&c.stream, v, "-_") },
	"replicas":  (*config).setReplicas,
	"maxbytes":  (*config).setMaxBytes,
	"maxage":    (*config).setMaxAge,
	"creds":     func(c *config, v string) error { return setFile(&c.creds, v) },
	"nkey":      func(c *config, v string) error { return setFile(&c.nkey, v) },
	"tls_ca":    func(c *config, v string) error { return setFile(&c.caFile, v) },
	"tls_cert":  func(c *config, v string) error { return setFile(&c.certFile, v) },
	"tls_key":   func(c *config, v string) error { return setFile(&c.keyFile, v) },
	"store":     onlyEmbedded,
	"name":      onlyEmbedded,
	"listen":    onlyEmbedded,
	"routes":    onlyEmbedded,
	"members":   onlyEmbedded,
	"advertise": onlyEmbedded,
	"sync":      onlyEmbedded,

	"cluster_listen": onlyEmbedded,
}

func onlyEmbedded(*config, string) error { return errors.New("is for nats://embedded only") }

// parseURL reads nats://[user:password@|token@]host[:port][,host…][?parameter=value…]. Errors name the parameter, and
// repeat no credential and nothing that may be one.
func parseURL(rawURL string) (config, error) {
	c := config{prefix: defaultPrefix}
	scheme, rest, _ := strings.Cut(rawURL, "://")
	if scheme != "nats" && scheme != "tls" {
		return c, errors.New("must begin with nats:// or tls://")
	}
	authority, query, _ := strings.Cut(rest, "?")
	if strings.Contains(authority, "#") {
		return c, errors.New("must not have a #: write %23 where a password has one")
	}
	errs := []error{c.setAuthority(scheme, strings.TrimSuffix(authority, "/")), c.setQuery(query)}
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	return c, c.validate(scheme)
}

func (c *config) setAuthority(scheme, authority string) error {
	hosts := authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		hosts = authority[i+1:]
		if err := c.setUserinfo(authority[:i]); err != nil {
			return err
		}
	}
	if strings.ContainsRune(hosts, '/') {
		return errors.New("has a path: the name of the stream is the parameter stream")
	}
	list := strings.Split(hosts, ",")
	if len(list) > maxServers {
		return fmt.Errorf("names %d servers, at most %d", len(list), maxServers)
	}
	for i, host := range list {
		if name, port, err := net.SplitHostPort(host); err == nil && name != "" && validPort(port) {
			c.servers = append(c.servers, scheme+"://"+host)
		} else if name := strings.Trim(host, "[]"); name != "" && validHost(host) {
			c.servers = append(c.servers, scheme+"://"+net.JoinHostPort(name, defaultPort))
		} else {
			return fmt.Errorf("server %d of %d: want host or host:port", i+1, len(list))
		}
	}
	return nil
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// validHost takes a name or IPv4 address without a port, or an IPv6 address in brackets.
func validHost(host string) bool {
	if strings.HasPrefix(host, "[") {
		return strings.HasSuffix(host, "]") && net.ParseIP(strings.Trim(host, "[]")) != nil
	}
	return !strings.ContainsAny(host, ":[] \t%")
}

func (c *config) setUserinfo(info string) error {
	user, password, both := strings.Cut(info, ":")
	var errs [2]error
	c.user, errs[0] = url.PathUnescape(user)
	c.password, errs[1] = url.PathUnescape(password)
	switch {
	case errs[0] != nil || errs[1] != nil:
		return errors.New("user or password: a % that is not followed by two hexadecimal digits")
	case c.user == "":
		return errors.New("user: is empty before the @")
	case !both:
		c.token, c.user = c.user, ""
	}
	return nil
}

func (c *config) setQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the parameters behind ? are not name=value joined by &")
	}
	var errs []error
	for _, name := range sorted(values) {
		set, known := parameters[name]
		switch {
		case !known:
			errs = append(errs, fmt.Errorf("unknown parameter %.40q", name))
		case len(values[name]) > 1:
			errs = append(errs, fmt.Errorf("parameter %s: is there %d times", name, len(values[name])))
		default:
			if err := set(c, values[name][0]); err != nil {
				errs = append(errs, fmt.Errorf("parameter %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func sorted(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c *config) setMode(value string) error {
	if value != "core" && value != "jetstream" {
		return errors.New("must be jetstream (the default) or core")
	}
	c.core = value == "core"
	return nil
}

// setName takes letters, digits and the marks given, 1 to 64 of them; dots stand between other characters.
func setName(dst *string, value, marks string) error {
	for _, r := range value {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(marks, r)) {
			return fmt.Errorf("may have letters, digits and %s only", marks)
		}
	}
	if value == "" || len(value) > 64 || strings.HasPrefix(value, ".") || strings.HasSuffix(value, ".") || strings.Contains(value, "..") {
		return errors.New("must have 1 to 64 characters, and dots only between others")
	}
	*dst = value
	return nil
}

func setFile(dst *string, value string) error {
	if value == "" {
		return errors.New("must be the path of a file")
	}
	*dst = value
	return nil
}

// readable refuses files that cannot be read now: no connection would be made with them.
func (c *config) readable() error {
	for _, f := range [...]struct{ parameter, path string }{
		{"creds", c.creds}, {"nkey", c.nkey}, {"tls_ca", c.caFile}, {"tls_cert", c.certFile}, {"tls_key", c.keyFile},
	} {
		if f.path == "" {
			continue
		}
		file, err := os.Open(f.path)
		if err != nil {
			return fmt.Errorf("parameter %s: the file cannot be read", f.parameter)
		}
		_ = file.Close()
	}
	return nil
}

func (c *config) setReplicas(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n != 1 && n != 3 && n != 5 {
		return errors.New("must be 1, 3 or 5")
	}
	c.replicas = n
	return nil
}

func (c *config) setMaxBytes(value string) error {
	number, unit := value, int64(1)
	for name, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} {
		if n, ok := strings.CutSuffix(value, name); ok {
			number, unit = n, factor
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > (1<<50)/unit || n*unit < 1<<20 {
		return errors.New("must be a number of bytes from 1MiB, such as 10GiB")
	}
	c.maxBytes = n * unit
	return nil
}

func (c *config) setMaxAge(value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d < time.Second || d > 10*365*24*time.Hour {
		return errors.New("must be a time from 1s, such as 24h")
	}
	c.maxAge = d
	return nil
}

// validate checks what parameters mean together.
func (c *config) validate(scheme string) error {
	var errs []error
	if c.core && (c.stream != "" || c.replicas != 0 || c.maxBytes != 0 || c.maxAge != 0) {
		errs = append(errs, errors.New("parameter mode: core keeps nothing, so stream, replicas, maxbytes and maxage have no meaning"))
	}
	if c.stream == "" {
		c.stream = strings.ReplaceAll(c.prefix, ".", "_")
	}
	if (c.certFile == "") != (c.keyFile == "") {
		errs = append(errs, errors.New("parameters tls_cert and tls_key: one needs the other"))
	}
	if scheme == "nats" && (c.caFile != "" || c.certFile != "") {
		errs = append(errs, errors.New("parameters tls_…: write tls:// instead of nats://"))
	}
	ways := 0
	for _, way := range []bool{c.user != "", c.token != "", c.nkey != "", c.creds != ""} {
		if way {
			ways++
		}
	}
	if ways > 1 {
		errs = append(errs, errors.New("more than one of user and password, token, nkey and creds"))
	}
	return errors.Join(errs...)
}
