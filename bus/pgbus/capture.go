package pgbus

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/event"
)

// Capture says how the writes to one table become events.
type Capture struct {
	// Table is the name, with the schema before a dot unless the search path finds it. A part may be quoted as in SQL;
	// what is not quoted is taken in small letters, as SQL does.
	Table string
	// Channel of the events.
	Channel string
	// Insert, Update and Delete are the types of the events; "" captures no such writes.
	Insert, Update, Delete string
	// Tenant and User are the columns whose values address the events; "" for none. A row where it is NULL has none.
	Tenant, User string
	// Before is the member of data that holds the row as it was before an update; "" leaves it out.
	Before string
	// Hidden are the columns that are left out of data.
	Hidden []string
}

// DefaultBefore is the member for the image before an update.
const DefaultBefore = "_before"

// maxIdentifier is the length in bytes of the longest name that PostgreSQL keeps whole.
const maxIdentifier = 63

// operations are the writes that are captured, in the order of the script.
var operations = []struct {
	name, referencing string
	eventType         func(*Capture) string
}{
	{"insert", "NEW TABLE AS new_rows", func(c *Capture) string { return c.Insert }},
	{"update", "OLD TABLE AS old_rows NEW TABLE AS new_rows", func(c *Capture) string { return c.Update }},
	{"delete", "OLD TABLE AS old_rows", func(c *Capture) string { return c.Delete }},
}

// Triggers returns the SQL that makes the writes of any program to these tables into events, for a schema that is
// installed: one statement-level trigger per table, channel and kind of write. Running it again, or after the captures
// of a table have changed, leaves the triggers that the captures say. With remove it takes them away.
//
// The events of a statement are of its transaction, in the order in which it came to the rows. data is the row, its
// columns as members: after an insert or update, before a delete; an update has the row before it in Capture.Before.
func Triggers(schema string, captures []Capture, remove bool) (string, error) {
	if err := CheckSchemaName(schema); err != nil {
		return "", fmt.Errorf("schema name: %w", err)
	}
	if len(captures) == 0 {
		return "", errors.New("no table is named")
	}
	var tables []string
	byTable := map[string][]*Capture{}
	for i := range captures {
		c := &captures[i]
		table, err := c.check()
		if err != nil {
			return "", fmt.Errorf("table %s: %w", c.Table, err)
		}
		for _, other := range byTable[table] {
			if other.Channel == c.Channel {
				return "", fmt.Errorf("table %s: channel %s is there twice", c.Table, c.Channel)
			}
		}
		if byTable[table] == nil {
			tables = append(tables, table)
		}
		byTable[table] = append(byTable[table], c)
	}
	var b strings.Builder
	b.WriteString("-- Triggers that make writes into events. Written by `fraiseql pg triggers`; may be run again and again.\nBEGIN;\nSET LOCAL client_min_messages = warning;\n")
	for _, table := range tables {
		fmt.Fprintf(&b, "\n-- %s\n%s", oneLine(table), dropTriggers(schema, table))
		if !remove {
			for _, c := range byTable[table] {
				c.write(&b, schema, table)
			}
		}
	}
	b.WriteString("\nCOMMIT;\n")
	return b.String(), nil
}

// check returns the table as SQL names it, every part quoted.
func (c *Capture) check() (table string, err error) {
	parts, err := identifiers(c.Table)
	if err != nil {
		return "", err
	}
	if err := event.ValidateChannel(c.Channel); err != nil {
		return "", fmt.Errorf("channel %s", err.Message)
	}
	captured := false
	for _, op := range operations {
		if t := op.eventType(c); t != "" {
			captured = true
			if err := event.ValidateType(t); err != nil {
				return "", fmt.Errorf("type of %s: %s", op.name, err.Message)
			}
		}
	}
	if !captured {
		return "", errors.New("no kind of write is captured")
	}
	for _, name := range append([]string{c.Tenant, c.User}, c.Hidden...) {
		if err := checkIdentifier(name); name != "" && err != nil {
			return "", fmt.Errorf("column %q: %w", name, err)
		}
	}
	if strings.ContainsRune(c.Before, 0) || !utf8.ValidString(c.Before) {
		return "", errors.New("before: not a text")
	}
	for i := range parts {
		parts[i] = quoteIdentifier(parts[i])
	}
	return strings.Join(parts, "."), nil
}

// identifiers reads a name of one or two parts.
func identifiers(name string) ([]string, error) {
	var parts []string
	for rest := name; ; {
		part, after, err := identifier(rest)
		if err != nil {
			return nil, err
		}
		if err := checkIdentifier(part); err != nil {
			return nil, err
		}
		parts = append(parts, part)
		if after == "" {
			break
		}
		rest = after[1:] // behind the dot
	}
	if len(parts) > 2 {
		return nil, errors.New("want table or schema.table")
	}
	return parts, nil
}

// identifier reads the first part of a name.
func identifier(text string) (part, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexByte(text, '.')
		if end < 0 {
			end = len(text)
		}
		for i, r := range text[:end] {
			if !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80 || i > 0 && (r == '$' || r >= '0' && r <= '9')) {
				return "", "", fmt.Errorf(`%q needs quotes: "…"`, text[:end])
			}
		}
		return lower(text[:end]), text[end:], nil
	}
	for i := 1; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		if i+1 < len(text) && text[i+1] == '"' {
			i++
			continue
		}
		if rest = text[i+1:]; rest != "" && rest[0] != '.' {
			return "", "", errors.New("something follows a quoted name")
		}
		return strings.ReplaceAll(text[1:i], `""`, `"`), rest, nil
	}
	return "", "", errors.New("a quote is not closed")
}

// lower folds ASCII letters only, as PostgreSQL does in UTF-8 databases.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// checkIdentifier refuses names that PostgreSQL would shorten or not take.
func checkIdentifier(name string) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case len(name) > maxIdentifier:
		return fmt.Errorf("a name has %d bytes: PostgreSQL keeps %d", len(name), maxIdentifier)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return errors.New("a name is not UTF-8")
	}
	return nil
}

func quoteIdentifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteLiteral writes a text that means the same whatever standard_conforming_strings is.
func quoteLiteral(text string) string {
	quoted := strings.ReplaceAll(text, "'", "''")
	if strings.Contains(text, `\`) {
		return " E'" + strings.ReplaceAll(quoted, `\`, `\\`) + "'"
	}
	return "'" + quoted + "'"
}

// oneLine keeps a comment a comment.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
}

// dropTriggers takes away every trigger of a table that calls our function, whatever it is called.
func dropTriggers(schema, table string) string {
	return do(fmt.Sprintf(`DECLARE old name;
BEGIN
  IF to_regprocedure('"%[1]s".capture()') IS NULL THEN
    RAISE EXCEPTION 'schema %[1]s is not installed: run fraiseql pg install';
  END IF;
  FOR old IN SELECT tgname FROM pg_catalog.pg_trigger WHERE tgrelid = %[2]s::pg_catalog.regclass AND tgfoid = '"%[1]s".capture()'::pg_catalog.regprocedure LOOP
    EXECUTE pg_catalog.format('DROP TRIGGER %%I ON %%s', old, %[2]s);
  END LOOP;
END`, schema, quoteLiteral(table)))
}

// do writes an anonymous block, between dollars that do not occur in it.
func do(body string) string {
	tag := "$do$"
	for n := 1; strings.Contains(body, tag); n++ {
		tag = fmt.Sprintf("$do%d$", n)
	}
	return "DO " + tag + "\n" + body + "\n" + tag + ";\n"
}

// write writes the triggers of one capture.
func (c *Capture) write(b *strings.Builder, schema, table string) {
	var columns []string
	for _, column := range append([]string{c.Tenant, c.User}, c.Hidden...) {
		if column != "" {
			columns = append(columns, quoteIdentifier(column))
		}
	}
	if len(columns) > 0 { // they exist
		b.WriteString(do("BEGIN PERFORM " + strings.Join(columns, ", ") + " FROM " + table + " LIMIT 0; END"))
	}
	for _, op := range operations {
		t := op.eventType(c)
		if t == "" {
			continue
		}
		fmt.Fprintf(b, "CREATE TRIGGER %s AFTER %s ON %s\n  REFERENCING %s FOR EACH STATEMENT\n  EXECUTE FUNCTION \"%s\".capture(%s, %s, %s, %s, %s, %s);\n",
			quoteIdentifier(triggerName(schema, op.name, c.Channel)), strings.ToUpper(op.name), table, op.referencing, schema,
			quoteLiteral(c.Channel), quoteLiteral(t), quoteLiteral(c.Tenant), quoteLiteral(c.User), quoteLiteral(c.Before), quoteLiteral(arrayLiteral(c.Hidden)))
	}
}

// triggerName returns a name of at most 63 bytes that no other capture of a table has: where the channel has to be
// shortened, a hash of it follows.
func triggerName(schema, op, channel string) string {
	name := schema + "_" + op + "_" + channel
	if len(name) <= maxIdentifier {
		return name
	}
	h := fnv.New32a()
	// A hash takes every write.
	_, _ = h.Write([]byte(channel))
	end := maxIdentifier - len("_00000000")
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return fmt.Sprintf("%s_%08x", name[:end], h.Sum32())
}

// arrayLiteral writes texts as PostgreSQL reads an array.
func arrayLiteral(list []string) string {
	quoted := make([]string, len(list))
	for i, text := range list {
		quoted[i] = `"` + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `"`, `\"`) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}"
}
