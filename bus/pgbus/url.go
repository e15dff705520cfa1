package pgbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// settings are what a URL says.
type settings struct {
	server *pgconn.Config
	schema string
	// notify: LISTEN, and wake others. poll is how often is read without being woken.
	notify bool
	poll   time.Duration
	// maxLag is how long the oldest writing transaction may hold back events before the node is not ready.
	maxLag time.Duration
	// retention is how long events are kept; 0: as the database says.
	retention time.Duration
	// pool bounds the connections besides the one that reads.
	pool    int
	install installing
}

// The defaults of what a URL does not say.
const (
	defaultSchema     = "fraiseql"
	defaultPoll       = time.Second
	defaultPollAlone  = 20 * time.Millisecond // with notify=off
	defaultMaxLag     = time.Minute
	defaultPool       = 4
	maxPool           = 100
	defaultDial       = 5 * time.Second
	minRetention      = time.Minute
	maxRetention      = 366 * 24 * time.Hour
	maxSchemaNameSize = 48
)

// Check reports what is wrong with a URL, without connecting.
func Check(rawURL string) error {
	_, err := parse(rawURL)
	return err
}

// SchemaOf returns the schema that a URL names, the default one for "".
func SchemaOf(rawURL string) (string, error) {
	if rawURL == "" {
		return defaultSchema, nil
	}
	s, err := parse(rawURL)
	if err != nil {
		return "", err
	}
	return s.schema, nil
}

// parse reads a URL or a connection string of keywords and values. Its errors name the parameter and never show a
// password.
func parse(raw string) (*settings, error) {
	s := &settings{schema: defaultSchema, notify: true, maxLag: defaultMaxLag, pool: defaultPool}
	raw, own, err := split(raw)
	if err != nil {
		return nil, err
	}
	if s.server, err = pgconn.ParseConfig(raw); err != nil {
		return nil, hidden(err)
	}
	if err := s.takeAll(own); err != nil {
		return nil, err
	}
	if s.poll == 0 {
		s.poll = defaultPollAlone
		if s.notify {
			s.poll = defaultPoll
		}
	}
	if err := checkRuntime(s.server.RuntimeParams); err != nil {
		return nil, err
	}
	s.complete()
	return s, nil
}

// hidden is an error of the parser without the connection string: what it shows of a string that it could not read
// may be a password. So may the cause, where the string was not understood at all.
func hidden(err error) error {
	var own *pgconn.ParseConfigError
	if !errors.As(err, &own) {
		return errors.New("postgresql: the URL cannot be read")
	}
	text, cause := err.Error(), errors.Unwrap(err)
	if cause != nil {
		text = strings.TrimSuffix(text, " ("+cause.Error()+")")
	}
	if i := strings.LastIndex(text, "`: "); i >= 0 { // behind the string
		text = text[i+len("`: "):]
	}
	if cause != nil && !strings.HasPrefix(text, "failed to parse") {
		text += ": " + cause.Error()
	}
	return errors.New("postgresql: " + text)
}

// own are the parameters that are not the server's.
var own = []string{"schema", "prefix", "notify", "poll", "max_lag", "retention", "pool", "install"}

// split takes our parameters out of a URL or connection string.
func split(raw string) (rest string, ours map[string]string, err error) {
	ours = map[string]string{}
	if !strings.HasPrefix(raw, "postgres://") && !strings.HasPrefix(raw, "postgresql://") {
		if strings.Contains(raw, "://") {
			return "", nil, errors.New("postgresql: the scheme of the URL must be postgres or postgresql")
		}
		if !strings.Contains(raw, "=") {
			return "", nil, errors.New("postgresql: want a URL, postgres://…, or a connection string like host=… dbname=…")
		}
		return splitKeywords(raw, ours)
	}
	before, query, _ := strings.Cut(raw, "?")
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		if !slices.Contains(own, name) {
			if part != "" {
				kept = append(kept, part)
			}
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return "", nil, fmt.Errorf("postgresql: parameter %s: invalid escape", name)
		}
		if _, twice := ours[name]; twice {
			return "", nil, fmt.Errorf("postgresql: parameter %s is there twice", name)
		}
		ours[name] = value
	}
	if len(kept) > 0 {
		before += "?" + strings.Join(kept, "&")
	}
	return before, ours, nil
}

// keyword finds a parameter and its value, plain or quoted, in a connection string.
var keyword = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:^|\s)([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']*)`)
})

func splitKeywords(raw string, ours map[string]string) (rest string, _ map[string]string, err error) {
	rest = keyword().ReplaceAllStringFunc(raw, func(found string) string {
		parts := keyword().FindStringSubmatch(found)
		if !slices.Contains(own, parts[1]) {
			return found
		}
		if _, twice := ours[parts[1]]; twice {
			err = fmt.Errorf("postgresql: parameter %s is there twice", parts[1])
		}
		ours[parts[1]] = strings.Trim(parts[2], "'")
		return " "
	})
	return rest, ours, err
}

// takeAll applies our parameters.
func (s *settings) takeAll(ours map[string]string) error {
	if _, both := ours["schema"]; both {
		if _, both = ours["prefix"]; both {
			return errors.New("postgresql: parameters schema and prefix are the same thing: give one of them")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		if err := s.take(name, ours[name]); err != nil {
			return fmt.Errorf("postgresql: parameter %s: %w", name, err)
		}
	}
	return nil
}

func (s *settings) take(name, value string) (err error) {
	switch name {
	case "schema", "prefix":
		s.schema, err = value, CheckSchemaName(value)
	case "notify":
		s.notify, err = onOff(value)
	case "install":
		s.install, err = whenToInstall(value)
	case "poll":
		s.poll, err = duration(value, time.Millisecond, time.Minute)
	case "max_lag":
		s.maxLag, err = duration(value, 10*time.Millisecond, 24*time.Hour)
	case "retention":
		s.retention, err = duration(value, minRetention, maxRetention)
	case "pool":
		if s.pool, err = strconv.Atoi(value); err != nil || s.pool < 1 || s.pool > maxPool {
			err = fmt.Errorf("want a number from 1 to %d", maxPool)
		}
	}
	return err
}

var schemaName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z_][a-z0-9_]*$`) })

// CheckSchemaName reports whether a deployment may have this name: the names of its schema, its roles and its
// NOTIFY channel are made of it.
func CheckSchemaName(name string) error {
	switch {
	case !schemaName().MatchString(name):
		return errors.New("want small letters, digits and _, not beginning with a digit")
	case len(name) > maxSchemaNameSize:
		return fmt.Errorf("want at most %d characters", maxSchemaNameSize)
	case strings.HasPrefix(name, "pg_"):
		return errors.New("names that begin with pg_ are the server's")
	}
	return nil
}

func onOff(value string) (bool, error) {
	switch value {
	case "on", "true", "yes", "1":
		return true, nil
	case "off", "false", "no", "0":
		return false, nil
	}
	return false, errors.New("want on or off")
}

func duration(value string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > most {
		return 0, fmt.Errorf("want a duration from %v to %v, like %v", least, most, max(20*time.Millisecond, least))
	}
	return d, nil
}

// runtime are the settings of a session that may be in a URL, besides those with a dot in their name.
var runtime = []string{
	"application_name", "client_encoding", "options", "search_path", "synchronous_commit", "statement_timeout", "lock_timeout",
	"idle_in_transaction_session_timeout", "tcp_user_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
	"role", "timezone", "TimeZone", "datestyle", "DateStyle", "fallback_application_name", "gssencmode", "requiressl", "sslcompression", "sslcrl",
	"replication", "load_balance_hosts", "commit_delay", "work_mem", "transaction_timeout", "client_connection_check_interval",
}

// libpqOnly are parameters that libpq knows and that mean nothing here.
var libpqOnly = []string{
	"tcp_user_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "gssencmode", "requiressl", "sslcompression", "sslcrl",
	"load_balance_hosts", "replication", "client_encoding", "datestyle", "DateStyle",
}

// checkRuntime refuses what the server would refuse when it is connected to: an unknown parameter is a spelling
// mistake.
func checkRuntime(params map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !slices.Contains(runtime, name) && !strings.Contains(name, ".") {
			return fmt.Errorf("postgresql: unknown parameter %s: ours are %s; the others are those of libpq", name, strings.Join(own, ", "))
		}
	}
	for _, name := range libpqOnly {
		delete(params, name)
	}
	return nil
}

// complete adds what every connection has.
func (s *settings) complete() {
	if name, ok := s.server.RuntimeParams["fallback_application_name"]; ok {
		delete(s.server.RuntimeParams, "fallback_application_name")
		if s.server.RuntimeParams["application_name"] == "" {
			s.server.RuntimeParams["application_name"] = name
		}
	}
	if s.server.RuntimeParams["application_name"] == "" {
		s.server.RuntimeParams["application_name"] = "fraiseql"
	}
	if s.server.ConnectTimeout == 0 {
		s.server.ConnectTimeout = defaultDial
		s.server.DialFunc = (&net.Dialer{Timeout: defaultDial, KeepAlive: 15 * time.Second}).DialContext
	}
	if len(s.server.Fallbacks) > 0 && s.server.ValidateConnect == nil {
		s.server.ValidateConnect = primary
	}
}

// primary passes over servers that only follow another one: they have no present.
func primary(ctx context.Context, c *pgconn.PgConn) error {
	return pgconn.ValidateConnectTargetSessionAttrsPrimary(ctx, c)
}

// installing says when a node installs the schema by itself.
type installing uint8

const (
	installMissing installing = iota // where there is none, which takes the right to create schemas
	installAlways                    // and where it is of an earlier version
	installNever
)

func whenToInstall(value string) (installing, error) {
	switch value {
	case "missing":
		return installMissing, nil
	case "on":
		return installAlways, nil
	case "off":
		return installNever, nil
	}
	return installMissing, errors.New("want missing, on or off")
}
