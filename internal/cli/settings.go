package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-go/internal/config"
)

// settings are the flags that make up a configuration; serve and check have them.
type settings struct {
	Config string   `name:"config" short:"c" placeholder:"FILE" env:"FRAISEQL_CONFIG" help:"YAML file with the configuration."`
	Schema []string `name:"schema" short:"s" placeholder:"FILE" sep:"none" help:"SDL file; may be given several times and may be a glob pattern."`

	Schemaless  bool     `name:"schemaless" help:"Serve without a schema: the root field is the channel."`
	Listen      *string  `name:"listen" placeholder:"HOST:PORT" help:"Address to listen on (default: 127.0.0.1:4000)."`
	AdminListen *string  `name:"admin-listen" placeholder:"HOST:PORT" help:"Address of /metrics, for operators only (default: none)."`
	Bus         *string  `name:"bus" placeholder:"URL" help:"What carries events: memory://, redis://, postgres:// or nats:// (default: memory://)."`
	Origins     []string `name:"origins" placeholder:"ORIGIN" help:"Web origins that may connect, such as https://app.example.com."`
	Preset      *string  `name:"preset" placeholder:"NAME" help:"Defaults: development, production or high-throughput."`
	DrainWindow *string  `name:"drain-window" placeholder:"TIME" help:"After SIGTERM, closes are spread over this time (default: 10s)."`
	LogLevel    *string  `name:"log-level" placeholder:"LEVEL" help:"debug, info, warn or error (default: info)."`
	LogFormat   *string  `name:"log-format" placeholder:"FORM" help:"json or text (default: json; with --dev text)."`
	Set         []string `name:"set" placeholder:"KEY=VALUE" sep:"none" help:"Set any other key of the configuration, such as limits.queue_messages=100."`
	Introspect  *bool    `name:"introspection" negatable:"" help:"Answer introspection queries (default: only with --dev)."`
	Watch       bool     `name:"watch" help:"Read the configuration again when one of its files, of the schema or of keys has changed."`
	Dev         bool     `name:"dev" help:"For your own machine: no authentication, introspection, a page for browsers. Loopback only."`
	DevAnywhere bool     `name:"dev-any-address" help:"Let --dev listen on other addresses. Everybody who reaches the port can do everything."`
	Demo        bool     `name:"demo" help:"--dev with a schema, a page and live figures of this machine."`
}

// load resolves the configuration. The error lists its problems; see problems.
func (s *settings) load(env *Env) (*config.Resolved, error) {
	return config.Load(config.Source{
		File: s.Config, Environ: env.Environ, Sets: s.Set, Flags: s.flags(),
		Dev: s.Dev || s.Demo, DevAnyAddress: s.DevAnywhere, Demo: s.Demo, Builtin: s.Demo,
	})
}

func (s *settings) flags() map[string]string {
	flags := map[string]string{}
	for path, value := range map[string]*string{
		"listen": s.Listen, "admin.listen": s.AdminListen, "bus": s.Bus, "preset": s.Preset,
		"drain.window": s.DrainWindow, "log.level": s.LogLevel, "log.format": s.LogFormat,
	} {
		if value != nil {
			flags[path] = *value
		}
	}
	if len(s.Schema) > 0 {
		flags["schema"] = flow(s.Schema)
	}
	if len(s.Origins) > 0 {
		flags["origins"] = flow(s.Origins)
	}
	if s.Schemaless {
		flags["schemaless.enabled"] = "true"
	}
	if s.Watch {
		flags["reload.watch"] = "true"
	}
	if s.Introspect != nil {
		flags["introspection"] = strconv.FormatBool(*s.Introspect)
	}
	return flags
}

// flow writes a list as YAML, so that no item is split at its commas.
func flow(items []string) string {
	quoted := make([]string, len(items))
	for i, item := range items {
		quoted[i] = strconv.Quote(item)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// problems turns a list of problems into one error with a line for each.
func problems(of string, err error) error {
	var lines []string
	for _, e := range flatten(err) {
		lines = append(lines, "  "+strings.ReplaceAll(e.Error(), "\n", "\n  "))
	}
	if len(lines) == 1 {
		return fmt.Errorf("the %s has a problem:\n%s", of, lines[0])
	}
	return fmt.Errorf("the %s has %d problems:\n%s", of, len(lines), strings.Join(lines, "\n"))
}

// flatten lists the errors that err joins.
func flatten(err error) []error {
	if list, ok := err.(config.Problems); ok {
		all := make([]error, len(list))
		for i, p := range list {
			all[i] = errors.New(p.String())
		}
		return all
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}
