package pgbus

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/bustest"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestCauses(t *testing.T) {
	own, err := testkit.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	own.SQL(t, "postgres", "CREATE ROLE locked LOGIN PASSWORD 'topsecret'; CREATE ROLE stranger LOGIN")
	// The one role needs its password; everybody else is trusted as before.
	own.SQL(t, "postgres", `DO $$BEGIN EXECUTE format('COPY (VALUES (''host all locked 127.0.0.1/32 scram-sha-256''), (''host all all 127.0.0.1/32 trust'')) TO %L',
current_setting('hba_file')); END$$; SELECT pg_reload_conf()`)
	database := own.Database(t)
	at := func(role, name string) string { return own.URL(role, name) }
	bustest.Causes(t, func(u string, o bus.Options) (bus.Bus, error) { return Open(u, o) }, map[string]bus.Cause{
		"postgres://locked:topsecret@" + testkit.FreeAddr(t) + "/app?sslmode=disable":  bus.Refused,
		"postgres://locked:topsecret@no-such-host.invalid/app":                         bus.NoHost,
		strings.Replace(at("locked", database), "locked@", "locked:topsecret-not@", 1): bus.BadLogin,
		at("nobody", database):                    bus.BadLogin,
		at("postgres", "no_such_database"):        bus.NoDatabase,
		at("stranger", database) + "&install=off": bus.NotSet,
		strings.Replace(at("postgres", database), "sslmode=disable", "sslmode=require", 1): bus.BadTLS,
	}, "topsecret", "locked", "stranger")
}
