package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-go/bus/pgbus"
	"github.com/fraiseql/fraiseql-go/internal/gql"
)

// pgTriggersCommand is `fraiseql pg triggers`.
type pgTriggersCommand struct {
	database
	Schema    []string `name:"schema" placeholder:"FILE" help:"SDL files, read as one schema; glob patterns are allowed. Every channel of a subscription field becomes a table's."`
	SnakeCase bool     `name:"snake-case" help:"A channel orderItems is of table order_items, as with schema.naming: snake_case."`
	Table     []string `name:"table" sep:"none" placeholder:"TABLE[:OPTIONS]" help:"A table, and what is to be known of it. May be repeated."`
	Remove    bool     `name:"remove" help:"Print SQL that takes the triggers away."`
}

// Help is shown below the flags.
func (*pgTriggersCommand) Help() string {
	return `Prints SQL with one trigger per table and kind of write, called once per statement. With it, every INSERT, UPDATE and DELETE of any program becomes one event per row, in the writer's own transaction. Running the SQL again changes nothing; the database is not connected to (of --bus, only schema= is used).

data of an event is the row, its columns as members: after an insert or update, before a delete. An update has the row before it in the member _before.

With --schema, each channel of the schema's subscription fields is captured from the table of its name. The types of @source are taken for the kind of write that they name (created, updated, deleted or alike), @tenant(path: "tenant_id") for the tenant's column. --table says otherwise, or captures more. Its options, joined by commas:

  channel=NAME    the channel (default: the table's name)
  type=NAME       types NAMECreated, NAMEUpdated, NAMEDeleted (default: created, updated, deleted)
  insert=TYPE     the type of one kind of write; insert= captures none; likewise update=, delete=
  tenant=COLUMN   the column whose value is the event's tenant
  user=COLUMN     the column whose value is the event's user: only that user sees it
  before=NAME     the member for the row before an update; before= leaves it out
  hide=COLUMN     a column that is left out of data; may be repeated

A name with upper case or other characters is quoted as in SQL: --table '"Order Items":channel=items'.

Examples:

  fraiseql pg triggers --schema schema.graphql | psql -v ON_ERROR_STOP=1 app
  fraiseql pg triggers --table orders:channel=orders,type=order,tenant=tenant_id,hide=card_number`
}

// Run prints.
func (c *pgTriggersCommand) Run(_ context.Context, env *Env) error {
	raw, err := c.url(false)
	if err != nil {
		return err
	}
	name, err := pgbus.SchemaOf(raw)
	if err != nil {
		return err
	}
	captures, err := c.captures(env)
	if err != nil {
		return err
	}
	if len(captures) == 0 {
		return usage("nothing to capture: give --schema or --table")
	}
	script, err := pgbus.Triggers(name, captures, c.Remove)
	if err != nil {
		return &exit{exitUsage, err}
	}
	_, err = io.WriteString(env.Stdout, script)
	return err
}

// captures puts together what the schema says and what the flags say; these come first.
func (c *pgTriggersCommand) captures(env *Env) ([]pgbus.Capture, error) {
	channels, err := c.channels()
	if err != nil {
		return nil, err
	}
	var list []pgbus.Capture
	named := map[string]bool{}
	for _, text := range c.Table {
		spec, err := parseTable(text)
		if err != nil {
			return nil, usage("--table %s: %w", text, err)
		}
		of := channels[spec.Channel]
		if of == nil && len(c.Schema) > 0 {
			env.say("warning: no subscription field has channel %s", spec.Channel)
		}
		made, err := spec.capture(of)
		if err != nil {
			return nil, usage("--table %s: %w", text, err)
		}
		named[spec.Channel] = true
		list = append(list, made)
	}
	var rest []string
	for name := range channels {
		if !named[name] {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	for _, name := range rest {
		table := name
		if c.SnakeCase {
			table = snakeCase(name)
		}
		spec := tableSpec{Capture: pgbus.Capture{Table: `"` + strings.ReplaceAll(table, `"`, `""`) + `"`, Channel: name, Before: pgbus.DefaultBefore}, said: map[string]bool{}}
		made, err := spec.capture(channels[name])
		if err != nil {
			return nil, fmt.Errorf("channel %s: %w", name, err)
		}
		list = append(list, made)
	}
	return list, nil
}

// channel is what a schema says about one.
type channel struct {
	types  []string
	tenant string
	all    bool // some field takes every type
}

// channels reads the schema.
func (c *pgTriggersCommand) channels() (map[string]*channel, error) {
	if len(c.Schema) == 0 {
		return nil, nil
	}
	var sources []gql.SchemaSource
	for _, pattern := range c.Schema {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			return nil, fmt.Errorf("schema: no file %s", pattern)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("schema: %w", err)
			}
			sources = append(sources, gql.SchemaSource{Name: name, Text: string(text)})
		}
	}
	schema, problems := gql.LoadSchema(sources, gql.SchemaOptions{SnakeCase: c.SnakeCase})
	if len(problems) > 0 {
		return nil, problems[0]
	}
	found := map[string]*channel{}
	if schema.Subscription == nil {
		return nil, fmt.Errorf("schema: no type Subscription")
	}
	for _, f := range schema.Subscription.Fields {
		of := found[f.Source.Channel]
		if of == nil {
			of = &channel{}
			found[f.Source.Channel] = of
		}
		of.all = of.all || len(f.Source.Types) == 0
		for _, t := range f.Source.Types {
			if !slices.Contains(of.types, t) {
				of.types = append(of.types, t)
			}
		}
		if len(f.Tenant) == 1 {
			if of.tenant != "" && of.tenant != f.Tenant[0] {
				return nil, fmt.Errorf("channel %s: fields disagree on @tenant: say --table with tenant=", f.Source.Channel)
			}
			of.tenant = f.Tenant[0]
		}
	}
	return found, nil
}

// tableSpec is a --table.
type tableSpec struct {
	pgbus.Capture
	prefix string
	said   map[string]bool
}

// parseTable reads TABLE:name=value,…
func parseTable(text string) (*tableSpec, error) {
	table, options := cutTable(text)
	s := &tableSpec{Capture: pgbus.Capture{Table: table, Before: pgbus.DefaultBefore}, said: map[string]bool{}}
	parts := strings.Split(table, ".")
	s.Channel = strings.Trim(parts[len(parts)-1], `"`)
	if options == "" {
		return s, nil
	}
	for option := range strings.SplitSeq(options, ",") {
		name, value, found := strings.Cut(option, "=")
		if !found {
			return nil, fmt.Errorf("option %q: want name=value", option)
		}
		if s.said[name] && name != "hide" {
			return nil, fmt.Errorf("option %s is there twice", name)
		}
		s.said[name] = true
		switch name {
		case "channel":
			s.Channel = value
		case "type":
			s.prefix = value
		case "insert":
			s.Insert = value
		case "update":
			s.Update = value
		case "delete":
			s.Delete = value
		case "tenant":
			s.Tenant = value
		case "user":
			s.User = value
		case "before":
			s.Before = value
		case "hide":
			s.Hidden = append(s.Hidden, value)
		default:
			return nil, fmt.Errorf("unknown option %q: they are channel, type, insert, update, delete, tenant, user, before and hide", name)
		}
	}
	return s, nil
}

// cutTable cuts behind the table's name, which may be quoted.
func cutTable(text string) (table, options string) {
	quoted := false
	for i := range len(text) {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == ':' && !quoted:
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// kind is a kind of write.
type kind struct {
	name, past string
	words      []string // by which types name it
}

// names reports whether a type names this kind.
func (k kind) names(eventType string) bool {
	t := strings.ToLower(eventType)
	return slices.ContainsFunc(k.words, func(word string) bool { return strings.Contains(t, word) })
}

var kinds = []kind{
	{"insert", "created", []string{"creat", "insert", "added"}},
	{"update", "updated", []string{"updat", "chang", "modif"}},
	{"delete", "deleted", []string{"delet", "remov"}},
}

// capture fills in what was not said: from the schema, else the defaults.
func (s *tableSpec) capture(of *channel) (pgbus.Capture, error) {
	types := []*string{&s.Insert, &s.Update, &s.Delete}
	said := s.said["insert"] || s.said["update"] || s.said["delete"] || s.said["type"]
	var unknown []string
	if of != nil && !of.all && !said {
		for _, t := range of.types {
			at := slices.IndexFunc(kinds, func(k kind) bool { return k.names(t) })
			if at < 0 || *types[at] != "" {
				unknown = append(unknown, t)
				continue
			}
			*types[at] = t
		}
		if len(unknown) > 0 {
			return pgbus.Capture{}, fmt.Errorf("which kind of write is type %s? Say --table with insert=, update= and delete=", strings.Join(unknown, ", "))
		}
	} else {
		for i, k := range kinds {
			if s.said[k.name] || of != nil && !of.all && s.prefix == "" {
				continue // said, or a type that no field of the schema takes
			}
			*types[i] = k.past
			if s.prefix != "" {
				*types[i] = s.prefix + strings.ToUpper(k.past[:1]) + k.past[1:]
			}
		}
	}
	if of != nil && !s.said["tenant"] {
		s.Tenant = of.tenant
	}
	return s.Capture, nil
}

// snakeCase writes orderItems as order_items.
func snakeCase(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 && name[i-1] != '_' {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
