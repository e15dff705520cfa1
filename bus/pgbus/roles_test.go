package pgbus

import (
	"fmt"
	"strings"
	"testing"
)

// TestRoles makes a login for each role and one for none, and tries what each may and may not do.
func TestRoles(t *testing.T) {
	url := fresh(t)
	s, err := parse(url)
	if err != nil {
		t.Fatal(err)
	}
	super := connect(t, url)
	may := map[string]map[string]bool{} // statement → roles
	allow := func(statement string, roles ...string) {
		may[statement] = map[string]bool{}
		for _, r := range roles {
			may[statement][r] = true
		}
	}
	allow(`SELECT {schema}.publish('c', 't', '{}')`, "publisher", "node")
	allow(`SELECT {schema}.publish('c', 't', '{}'::json)`, "publisher", "node")
	allow(`SELECT {schema}.publish('c', 't', '{}'::jsonb)`, "publisher", "node")
	allow(`SELECT count(*) FROM {schema}.outbox`, "reader", "node")
	allow(`SELECT epoch FROM {schema}.meta`, "reader", "node")
	allow(`INSERT INTO {schema}.outbox (slot, channel, type, event_id, data) VALUES (4, '$control', 't', '1', '{}')`, "node")
	allow(`DELETE FROM {schema}.outbox`)
	allow(`UPDATE {schema}.outbox SET data = '{}'`)
	allow(`TRUNCATE {schema}.outbox`)
	allow(`SELECT FROM {schema}.outbox_0`)
	allow(`UPDATE {schema}.meta SET epoch = 1`)
	allow(`SELECT {schema}.maintain()`, "node")
	allow(`SELECT {schema}.adopt()`, "node")
	allow(`SELECT {schema}.renew(0)`, "node")
	allow(`SELECT {schema}.check_data('{}')`)
	allow(`SELECT {schema}.wake()`)
	allow(`CREATE TABLE {schema}.mine (a int)`)
	for _, role := range []string{"publisher", "reader", "node", "nobody"} {
		login := s.schema + "_login_" + role
		runSQL(t, super, url, `CREATE ROLE `+login+` LOGIN`)
		if role != "nobody" {
			runSQL(t, super, url, fmt.Sprintf(`GRANT %s_%s TO %s`, s.schema, role, login))
		}
		conn := connect(t, strings.Replace(url, "postgres@", login+"@", 1))
		for statement, roles := range may {
			_, err := trySQL(t.Context(), conn, url, statement)
			if roles[role] && err != nil {
				t.Errorf("%s may not: %s: %v", role, statement, err)
			}
			if !roles[role] && class(err) != "42" {
				t.Errorf("%s may: %s: %v", role, statement, err)
			}
		}
	}
}

// TestANodeNeedsItsRoleOnly runs a bus as a login that has the role of nodes.
func TestANodeNeedsItsRoleOnly(t *testing.T) {
	url := fresh(t)
	s, err := parse(url)
	if err != nil {
		t.Fatal(err)
	}
	super := connect(t, url)
	login := s.schema + "_server"
	runSQL(t, super, url, `CREATE ROLE `+login+` LOGIN IN ROLE `+s.schema+`_node`)
	b, c := listening(t, strings.Replace(url, "postgres@", login+"@", 1), "c")
	runSQL(t, super, url, `SELECT {schema}.publish('c', 't', '{"n":1}')`)
	if m := c.next(t); string(m.Event.Data) != `{"n":1}` {
		t.Errorf("%s", m.Event.Data)
	}
	if err := b.maintain(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAnOwnerWithoutPrivileges installs as a role that may create schemas and no more: everything works but for the
// roles, which it says.
func TestAnOwnerWithoutPrivileges(t *testing.T) {
	name := server.Database(t)
	server.SQL(t, name, "CREATE ROLE plain LOGIN; GRANT CREATE ON DATABASE "+name+" TO plain")
	url := server.URL("plain", name)
	done, err := Install(t.Context(), url+"&schema=own")
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Warnings) != 1 || !strings.Contains(done.Warnings[0], "CREATEROLE") {
		t.Errorf("warnings: %q", done.Warnings)
	}
	_, c := listening(t, url+"&schema=own", "c")
	conn := connect(t, url)
	runSQL(t, conn, url+"&schema=own", `SELECT {schema}.publish('c', 't', '{}')`)
	c.next(t)
}

// TestInstalledInTwoDatabasesAtOnce installs while another database of the server has made the roles and not committed yet.
func TestInstalledInTwoDatabasesAtOnce(t *testing.T) {
	name := server.Database(t)
	other := server.URL("postgres", "postgres")
	first, looks := connect(t, other), connect(t, other)
	runSQL(t, first, other, `BEGIN`)
	runSQL(t, first, other, `CREATE ROLE together_publisher`)
	installed := make(chan error, 1)
	go func() {
		_, err := Install(t.Context(), server.URL("postgres", name)+"&schema=together")
		installed <- err
	}()
	until(t, "the second waits for the first", func() bool {
		return len(runSQL(t, looks, other, `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '`+name+`'`)) == 1
	})
	runSQL(t, first, other, `COMMIT`)
	if err := <-installed; err != nil {
		t.Error(err)
	}
}
