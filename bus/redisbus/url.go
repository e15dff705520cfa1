package redisbus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Check reports what Open would refuse. It connects to nothing; a file that the URL names is read.
func Check(rawURL string) error {
	_, err := parseURL(rawURL)
	return err
}

// The kinds of installation.
type topology uint8

const (
	single topology = iota
	sentinel
	cluster
)

// config is a URL, read.
type config struct {
	topology           topology
	addrs              []string // of Redis, or of the Sentinels; a path for a Unix socket
	unix               bool
	user, password     string
	sentinelUser       string
	sentinelPassword   string
	master             string
	db                 int
	tls                *tls.Config
	prefix             string
	pubsub             bool
	partitions         int // 0: as recorded, else defaultPartitions
	maxLen             int64
	maxAge             time.Duration
	group              string
	claim              time.Duration
	trimExactly        bool // of maxLen: the approximate form keeps up to 100 more
	blockFor, tendEach time.Duration
}

const (
	defaultPrefix     = "fraiseql"
	defaultPartitions = 64
	maxPartitions     = 1024
	defaultMaxLen     = 10_000
	defaultMaxAge     = 24 * time.Hour
	defaultGroup      = "fraiseql"
	defaultClaim      = 30 * time.Second
	exactBelow        = 1_000
)

// parseURL reads a URL. No error repeats a part of it: a password that was not escaped may be anywhere in it.
func parseURL(rawURL string) (*config, error) {
	c := &config{
		prefix: defaultPrefix, maxLen: defaultMaxLen, maxAge: defaultMaxAge, group: defaultGroup, claim: defaultClaim,
		blockFor: 2 * time.Second, tendEach: 5 * time.Second,
	}
	scheme, rest, found := strings.Cut(rawURL, "://")
	if !found {
		return nil, errors.New("redis: must be a URL such as redis://127.0.0.1:6379")
	}
	if err := c.setScheme(scheme); err != nil {
		return nil, err
	}
	authority, rest := splitAuthority(rest)
	if strings.ContainsAny(rest, "@#") {
		return nil, errors.New("redis: an @ or a # stands behind the host: in a user name or password, / ? # @ : % must be percent-encoded")
	}
	path, query, _ := strings.Cut(rest, "?")
	errs := []error{c.setAuthority(authority), c.setPath(path)}
	errs = append(errs, c.setQuery(query)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.trimExactly = c.maxLen < exactBelow
	return c, nil
}

func (c *config) setScheme(scheme string) error {
	switch scheme {
	case "redis", "rediss":
	case "unix":
		c.unix = true
	case "redis+sentinel", "rediss+sentinel":
		c.topology = sentinel
	case "redis+cluster", "rediss+cluster":
		c.topology = cluster
	default:
		return errors.New("redis: the scheme must be redis, rediss (TLS), unix, redis+sentinel, rediss+sentinel, redis+cluster or rediss+cluster")
	}
	if strings.HasPrefix(scheme, "rediss") {
		c.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return nil
}

// splitAuthority cuts before the path, the query or the fragment.
func splitAuthority(s string) (authority, rest string) {
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

func (c *config) setAuthority(authority string) error {
	hosts := authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		hosts = authority[i+1:]
		name, password, _ := strings.Cut(authority[:i], ":")
		var err, err2 error
		c.user, err = url.PathUnescape(name)
		c.password, err2 = url.PathUnescape(password)
		if err != nil || err2 != nil || strings.ContainsAny(authority[:i], "@") {
			return errors.New("redis: the user name or password is not percent-encoded correctly")
		}
	}
	if c.unix {
		if hosts != "" {
			return errors.New("redis: a Unix socket has no host: unix:///run/redis/redis.sock, or unix://user:password@/run/redis/redis.sock")
		}
		return nil
	}
	list := strings.Split(hosts, ",")
	if c.topology == single && len(list) > 1 {
		return errors.New("redis: several hosts need redis+sentinel:// or redis+cluster://")
	}
	port := "6379"
	if c.topology == sentinel {
		port = "26379"
	}
	for i, host := range list {
		addr, err := address(host, port)
		if err != nil {
			return fmt.Errorf("redis: host %d: %w", i+1, err)
		}
		c.addrs = append(c.addrs, addr)
	}
	return nil
}

// address completes host, host:port, [v6] or [v6]:port.
func address(host, port string) (string, error) {
	name := host
	if h, p, err := net.SplitHostPort(host); err == nil {
		name, port = h, p
	} else if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		name = strings.TrimSuffix(inner, "]")
	} else if strings.Contains(host, ":") {
		return "", errors.New("must be host, host:port or [IPv6]:port")
	}
	_, err := netip.ParseAddr(name)
	switch {
	case name == "":
		return "", errors.New("is empty")
	case strings.HasPrefix(host, "[") && err != nil:
		return "", errors.New("must be host, host:port or [IPv6]:port")
	case err != nil && strings.ContainsFunc(name, notInHost):
		return "", errors.New("holds a character that no host has")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("the port must be a number from 1 to 65535")
	}
	return net.JoinHostPort(name, port), nil
}

// notInHost reports what a name that is looked up cannot hold.
func notInHost(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune("[]<>{}()|\\^`\"',;%*", r)
}

func (c *config) setPath(path string) error {
	trimmed := strings.Trim(path, "/")
	switch {
	case c.unix:
		file, err := url.PathUnescape(path)
		if err != nil || trimmed == "" {
			return errors.New("redis: a Unix socket needs its path: unix:///run/redis/redis.sock")
		}
		c.addrs = []string{file}
		return nil
	case c.topology == sentinel:
		name, db, _ := strings.Cut(trimmed, "/")
		master, err := url.PathUnescape(name)
		if err != nil || master == "" {
			return errors.New("redis: Sentinel needs the name of the master: redis+sentinel://host1,host2/mymaster")
		}
		c.master, trimmed = master, db
	case c.topology == cluster && trimmed != "" && trimmed != "0":
		return errors.New("redis: a cluster has no databases: leave the path out")
	}
	return c.setDB(trimmed)
}

func (c *config) setDB(text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return errors.New("redis: the database must be a number")
	}
	c.db = int(n)
	return nil
}

// parameter is the form of the names that may be repeated in an error.
var parameter = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z_]{1,24}$`) })

func (c *config) setQuery(query string) (errs []error) {
	if query == "" {
		return nil
	}
	seen := map[string]bool{}
	var misplaced error
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		text, err := url.QueryUnescape(value)
		set, known := parameters[name]
		switch {
		case !known && parameter().MatchString(name):
			errs = append(errs, fmt.Errorf("redis: unknown parameter %s", name))
			continue
		case !known:
			errs = append(errs, errors.New("redis: a parameter that is unknown"))
			continue
		case seen[name]:
			err = errors.New("is given twice")
		case err == nil:
			err = set(c, text)
		default:
			err = errors.New("is not percent-encoded correctly")
		}
		seen[name] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("redis: parameter %s: %w", name, err))
		}
	}
	if c.pubsub {
		for _, name := range []string{"maxlen", "maxage", "partitions", "group", "claim"} {
			if seen[name] {
				misplaced = errors.Join(misplaced, fmt.Errorf("redis: parameter %s: has no meaning with mode=pubsub, which keeps nothing", name))
			}
		}
	}
	if misplaced != nil {
		errs = append(errs, misplaced)
	}
	return errs
}

// parameters of the query, each with what sets it.
var parameters = map[string]func(*config, string) error{
	"prefix": func(c *config, s string) error {
		if !prefixes().MatchString(s) {
			return errors.New("must be 1 to 64 letters, digits, and any of . _ : / -")
		}
		c.prefix = s
		return nil
	},
	"mode": func(c *config, s string) error {
		if s != "streams" && s != "pubsub" {
			return errors.New("must be streams or pubsub")
		}
		c.pubsub = s == "pubsub"
		return nil
	},
	"maxlen": func(c *config, s string) (err error) {
		c.maxLen, err = whole(s, 1, 100_000_000)
		return err
	},
	"maxage": func(c *config, s string) (err error) {
		c.maxAge, err = duration(s, time.Second, 10*365*24*time.Hour)
		return err
	},
	"claim": func(c *config, s string) (err error) {
		c.claim, err = duration(s, 100*time.Millisecond, 24*time.Hour)
		return err
	},
	"partitions": func(c *config, s string) error {
		n, err := whole(s, 1, maxPartitions)
		c.partitions = int(n)
		return err
	},
	"group": func(c *config, s string) error {
		if !prefixes().MatchString(s) {
			return errors.New("must be 1 to 64 letters, digits, and any of . _ : / -")
		}
		c.group = s
		return nil
	},
	"db": func(c *config, s string) error {
		if !c.unix {
			return errors.New("is for unix:// only; elsewhere the database stands in the path")
		}
		return c.setDB(s)
	},
	"ca":                setCA,
	"skip_verify":       setSkipVerify,
	"sentinel_user":     setSentinelUser,
	"sentinel_password": setSentinelPassword,
}

var prefixes = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,64}$`) })

func setCA(c *config, s string) error {
	if c.tls == nil {
		return errors.New("needs TLS: rediss://")
	}
	pem, err := os.ReadFile(s)
	if err != nil {
		return errors.New("the file cannot be read")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return errors.New("the file holds no certificate in PEM form")
	}
	c.tls.RootCAs = pool
	return nil
}

func setSkipVerify(c *config, s string) error {
	skip, err := strconv.ParseBool(s)
	switch {
	case err != nil:
		return errors.New("must be true or false")
	case c.tls == nil:
		return errors.New("needs TLS: rediss://")
	}
	c.tls.InsecureSkipVerify = skip
	return nil
}

func setSentinelUser(c *config, s string) error {
	if c.topology != sentinel {
		return errors.New("is for redis+sentinel:// only")
	}
	c.sentinelUser = s
	return nil
}

func setSentinelPassword(c *config, s string) error {
	if c.topology != sentinel {
		return errors.New("is for redis+sentinel:// only")
	}
	c.sentinelPassword = s
	return nil
}

func whole(s string, from, to int64) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < from || n > to {
		return 0, fmt.Errorf("must be a whole number from %d to %d", from, to)
	}
	return n, nil
}

func duration(s string, from, to time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < from || d > to {
		return 0, fmt.Errorf("must be a time from %v to %v, such as %v", from, to, from*10)
	}
	return d, nil
}
