package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestPgScripts runs `fraiseql pg` against a server. Each script has a database of its own, $DATABASE, with its URL
// in $FRAISEQL_BUS; `sql STATEMENTS` and `sqlfile FILE` run statements there as another program would, their output is stdout.
func TestPgScripts(t *testing.T) {
	server := testkit.NewPostgres(t)
	run := func(ts *testscript.TestScript, statements string) {
		out, err := server.TrySQL(ts.Getenv("DATABASE"), statements)
		if err != nil {
			ts.Fatalf("%v\n%s", err, out)
		}
		_, err = ts.Stdout().Write([]byte(out + "\n"))
		ts.Check(err)
		// The server knows a little later that the program has gone; until then `status` could show it.
		gone := "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND datname = '" + ts.Getenv("DATABASE") + "'"
		for deadline := time.Now().Add(10 * time.Second); ; {
			n, err := server.TrySQL("postgres", gone)
			ts.Check(err)
			if strings.TrimSpace(n) == "0" {
				return
			}
			if time.Now().After(deadline) {
				ts.Fatalf("psql is still connected: %s", n)
			}
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/pg",
		Setup: func(env *testscript.Env) error {
			name := server.Database(t)
			env.Setenv("DATABASE", name)
			env.Setenv("FRAISEQL_BUS", server.URL("postgres", name))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"sql":     func(ts *testscript.TestScript, _ bool, args []string) { run(ts, strings.Join(args, " ")) },
			"sqlfile": func(ts *testscript.TestScript, _ bool, args []string) { run(ts, ts.ReadFile(args[0])) },
		},
	})
}
