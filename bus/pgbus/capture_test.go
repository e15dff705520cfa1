package pgbus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// captured runs a capture's script twice in a database of its own with a table, and returns a connection and what
// arrives.
func captured(t *testing.T, url, ddl string, captures ...Capture) *collector {
	t.Helper()
	var channels []string
	for _, c := range captures {
		channels = append(channels, c.Channel)
	}
	_, c := listening(t, url, channels...)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), ddl).ReadAll(); err != nil {
		t.Fatal(err)
	}
	s, err := parse(url)
	if err != nil {
		t.Fatal(err)
	}
	script, err := Triggers(s.schema, captures, false)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := conn.Exec(t.Context(), script).ReadAll(); err != nil {
			t.Fatalf("%v\n%s", err, script)
		}
	}
	return c
}

// texts returns the next n events as channel type tenant/user data.
func (c *collector) texts(t *testing.T, n int) []string {
	t.Helper()
	var list []string
	for range n {
		e := c.next(t).Event
		list = append(list, fmt.Sprintf("%s %s %s/%s %s", e.Channel, e.Type, e.TenantID, e.UserID, e.Data))
	}
	return list
}

func TestCapture(t *testing.T) {
	url := fresh(t)
	name := server.Database(t)
	url = strings.Replace(url, "/postgres?", "/"+name+"?", 1)
	if _, err := Install(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	c := captured(t, url, `CREATE TABLE orders (id bigint PRIMARY KEY, tenant_id text, owner int, total numeric, secret text, note text);
CREATE ROLE writer_`+name+`; GRANT ALL ON orders TO writer_`+name, Capture{
		Table: "orders", Channel: "orders", Insert: "created", Update: "updated", Delete: "deleted", Tenant: "tenant_id", User: "owner", Before: "_before", Hidden: []string{"secret", "note"},
	})
	conn := connect(t, url)
	for _, statement := range []string{
		"SET ROLE writer_" + name, // who has no rights on the outbox
		"INSERT INTO orders VALUES (1, 'acme', 7, 12345678901234567890.10, 's'), (2, NULL, NULL, 1.50, 's')",
		"BEGIN", "INSERT INTO orders VALUES (3, 'x', 1, 1, 's')", "ROLLBACK",
		"UPDATE orders SET total = total + 1, id = id + 10",
		"UPDATE orders SET total = 0 WHERE false",
		"INSERT INTO orders VALUES (11, 'b', 8, 5, 's'), (20, 'c', 9, 6, 's') ON CONFLICT (id) DO UPDATE SET total = EXCLUDED.total",
		"DELETE FROM orders WHERE id = 12",
		"TRUNCATE orders",
		"INSERT INTO orders VALUES (30, '', 0, 'NaN', 's')",
	} {
		runSQL(t, conn, url, statement)
	}
	want := []string{
		`orders created acme/7 {"id":1,"tenant_id":"acme","owner":7,"total":12345678901234567890.10}`,
		`orders created / {"id":2,"tenant_id":null,"owner":null,"total":1.50}`,
		`orders updated acme/7 {"id":11,"tenant_id":"acme","owner":7,"total":12345678901234567891.10,"_before":{"id":1,"tenant_id":"acme","owner":7,"total":12345678901234567890.10}}`,
		`orders updated / {"id":12,"tenant_id":null,"owner":null,"total":2.50,"_before":{"id":2,"tenant_id":null,"owner":null,"total":1.50}}`,
		`orders created c/9 {"id":20,"tenant_id":"c","owner":9,"total":6}`,
		`orders updated acme/7 {"id":11,"tenant_id":"acme","owner":7,"total":5,"_before":{"id":11,"tenant_id":"acme","owner":7,"total":12345678901234567891.10}}`,
		`orders deleted / {"id":12,"tenant_id":null,"owner":null,"total":2.50}`,
		`orders created /0 {"id":30,"tenant_id":"","owner":0,"total":"NaN"}`,
	}
	got := c.texts(t, len(want))
	for i := range got {
		got[i] = strings.ReplaceAll(strings.ReplaceAll(got[i], ` : `, `:`), `, "`, `,"`)
		got[i] = strings.ReplaceAll(got[i], `{ "`, `{"`)
		got[i] = strings.ReplaceAll(strings.ReplaceAll(got[i], ` }`, `}`), ` ,`, `,`)
	}
	if got[4] != want[4] { // PostgreSQL calls the triggers of updates first or last
		got[4], got[5] = got[5], got[4]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestARowThatChangesHands is not shown as it was before to whom it was not of then, nor by a schema that was installed
// when it was, once it is installed again.
func TestARowThatChangesHands(t *testing.T) {
	url := fresh(t)
	c := captured(t, url, `CREATE TABLE held (id int, tenant_id text, owner text)`,
		Capture{Table: "held", Channel: "held", Update: "updated", Tenant: "tenant_id", User: "owner", Before: "_before"})
	conn := connect(t, url)
	runSQL(t, conn, url, `CREATE OR REPLACE FUNCTION {schema}.capture() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	if _, err := Install(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO held VALUES (1, 'acme', 'ada')`,
		`UPDATE held SET id = 2`,
		`UPDATE held SET tenant_id = 'other'`,
		`UPDATE held SET owner = 'bob'`,
		`UPDATE held SET owner = NULL`,
		`UPDATE held SET owner = ''`,
	} {
		runSQL(t, conn, url, statement)
	}
	want := []bool{true, false, false, false, true} // NULL and the empty string are nobody alike
	for i, text := range c.texts(t, len(want)) {
		if strings.Contains(text, "_before") != want[i] {
			t.Errorf("update %d: %s", i+1, text)
		}
	}
}

// TestCaptureOfOddNames quotes everything that needs it, and tells channels apart whose names are long.
func TestCaptureOfOddNames(t *testing.T) {
	url := fresh(t)
	long := strings.Repeat("\u00e9", 100)
	c := captured(t, url, `DROP SCHEMA IF EXISTS "My ""App""" CASCADE; CREATE SCHEMA "My ""App"""; CREATE TABLE "My ""App"""."Order's $do$ \Items" ("Id" int, "the ""tenant" text)`,
		Capture{Table: `"My ""App"""."Order's $do$ \Items"`, Channel: `a'b"c\$do$`, Insert: `t'\`, Tenant: `the "tenant`, Before: "_before"},
		Capture{Table: `"My ""App"""."Order's $do$ \Items"`, Channel: long + "1", Update: "u", Before: `be"fore'`},
		Capture{Table: `"My ""App"""."Order's $do$ \Items"`, Channel: long + "2", Update: "u", Hidden: []string{"Id", `the "tenant`}, Before: "b"})
	conn := connect(t, url)
	runSQL(t, conn, url, `INSERT INTO "My ""App"""."Order's $do$ \Items" VALUES (1, 'x')`)
	runSQL(t, conn, url, `UPDATE "My ""App"""."Order's $do$ \Items" SET "Id" = 2`)
	got := map[string]bool{}
	for _, text := range c.texts(t, 3) {
		got[text] = true
	}
	want := map[string]bool{
		`a'b"c\$do$ t'\ x/ {"Id":1,"the \"tenant":"x"}`:                                    true,
		long + `1 u / {"Id":2,"the \"tenant":"x","be\"fore'":{"Id":1,"the \"tenant":"x"}}`: true,
		long + `2 u / {"b":{}}`: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestCaptureOfPartitions moves a row from one partition to another.
func TestCaptureOfPartitions(t *testing.T) {
	url := fresh(t)
	s, err := parse(url)
	if err != nil {
		t.Fatal(err)
	}
	table := s.schema + "_parts"
	c := captured(t, url, fmt.Sprintf(`CREATE TABLE %[1]s (id int, part int) PARTITION BY LIST (part);
CREATE TABLE %[1]s_1 PARTITION OF %[1]s FOR VALUES IN (1); CREATE TABLE %[1]s_2 PARTITION OF %[1]s FOR VALUES IN (2)`, table),
		Capture{Table: table, Channel: "c", Insert: "i", Update: "u", Delete: "d", Before: "_before"})
	conn := connect(t, url)
	runSQL(t, conn, url, `INSERT INTO `+table+` VALUES (1, 1), (2, 2)`)
	runSQL(t, conn, url, `UPDATE `+table+` SET part = 3 - part`)
	want := []string{
		`c i / {"id":1,"part":1}`, `c i / {"id":2,"part":2}`,
		`c u / {"id":1,"part":2,"_before":{"id":1,"part":1}}`, `c u / {"id":2,"part":1,"_before":{"id":2,"part":2}}`,
	}
	if diff := cmp.Diff(want, c.texts(t, 4)); diff != "" {
		t.Error(diff)
	}
}

func TestTriggersRefuse(t *testing.T) {
	good := Capture{Table: "t", Channel: "c", Insert: "i"}
	change := func(f func(*Capture)) []Capture {
		c := good
		f(&c)
		return []Capture{c}
	}
	for want, captures := range map[string][]Capture{
		"no table is named":                  nil,
		"keeps 63":                           change(func(c *Capture) { c.Table = strings.Repeat("x", 64) }),
		"needs quotes":                       change(func(c *Capture) { c.Table = "a b" }),
		"not closed":                         change(func(c *Capture) { c.Table = `"a` }),
		"follows a quoted name":              change(func(c *Capture) { c.Table = `"a"b` }),
		"want table or schema.table":         change(func(c *Capture) { c.Table = "a.b.c" }),
		"a name is empty":                    change(func(c *Capture) { c.Table = "a." }),
		"begins with __ or $":                change(func(c *Capture) { c.Channel = "$control" }),
		"type of insert: contains white":     change(func(c *Capture) { c.Insert = "a b" }),
		"no kind of write is captured":       change(func(c *Capture) { c.Insert = "" }),
		`column "` + strings.Repeat("y", 64): change(func(c *Capture) { c.Tenant = strings.Repeat("y", 64) }),
		"channel c is there twice":           {good, good},
	} {
		if _, err := Triggers("fraiseql", captures, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestMissingTables and columns stop the script, which then has changed nothing.
func TestMissingTables(t *testing.T) {
	url := fresh(t)
	s, err := parse(url)
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	table := s.schema + "_there"
	runSQL(t, conn, url, "CREATE TABLE "+table+" (id int)")
	for want, captures := range map[string][]Capture{
		"42P01": {{Table: table, Channel: "c", Insert: "i"}, {Table: "missing", Channel: "c", Insert: "i"}},
		"42703": {{Table: table, Channel: "c", Insert: "i", Tenant: "tenant"}},
	} {
		script, err := Triggers(s.schema, captures, false)
		if err != nil {
			t.Fatal(err)
		}
		other := connect(t, url)
		if _, err := other.Exec(t.Context(), script).ReadAll(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s: %v", want, err)
		}
		if rows := runSQL(t, conn, url, `SELECT count(*) FROM pg_trigger WHERE tgrelid = '`+table+`'::regclass`); rows[0][0] != "0" {
			t.Errorf("%s triggers", rows[0][0])
		}
	}
}
