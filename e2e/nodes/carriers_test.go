package nodes

import (
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// busServer is a real server of a bus that can fail.
type busServer interface {
	// addr is where it listens, host:port, the same after a restart; url that of the bus at such an address.
	addr() string
	url(addr string) string
	// kill ends it at once; restart starts it again on what it had stored.
	kill()
	restart()
}

// carrier is one kind of durable bus.
type carrier struct {
	name  string
	start func(t *testing.T) busServer
	// forgets says that a kill may lose what was acknowledged last: that shows as a gap, and is never silent.
	forgets bool
	faults  []fault // of this kind only
}

var carriers = []carrier{
	{name: "Redis, fsync always", start: redis("always")},
	{name: "Redis, fsync everysec", start: redis("everysec"), forgets: true},
	{name: "PostgreSQL", start: postgres, faults: []fault{{name: "PostgreSQL terminates every backend", happen: terminate}}},
	{name: "JetStream", start: func(t *testing.T) busServer { return natsServer{testkit.StartNATS(t)} }},
}

type redisServer struct{ *testkit.Redis }

func redis(fsync string) func(t *testing.T) busServer {
	return func(t *testing.T) busServer {
		return redisServer{testkit.StartRedis(t, testkit.RedisOptions{Fsync: fsync})}
	}
}

func (s redisServer) addr() string         { return s.Addr }
func (redisServer) url(addr string) string { return "redis://" + addr + "?maxlen=1000000" }
func (s redisServer) kill()                { s.Kill() }
func (s redisServer) restart()             { s.Start() }

type postgresServer struct {
	*testkit.Postgres
	t *testing.T
}

func postgres(t *testing.T) busServer { return postgresServer{testkit.NewPostgres(t), t} }

func (s postgresServer) addr() string { return s.Addr }
func (s postgresServer) kill()        { s.Kill(s.t) }
func (s postgresServer) restart()     { s.Start(s.t) }
func (s postgresServer) url(addr string) string {
	return strings.Replace(s.URL("postgres", "postgres"), s.Addr, addr, 1)
}

// terminate ends the connections of all nodes, as an operator does.
func terminate(t *testing.T, w *world) {
	for range 4 {
		w.bus.(postgresServer).SQL(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		pause(300 * time.Millisecond)
	}
}

type natsServer struct{ *testkit.NATS }

func (s natsServer) addr() string         { return s.Addr }
func (natsServer) url(addr string) string { return "nats://" + addr }
func (s natsServer) kill()                { s.Kill() }
func (s natsServer) restart()             { s.Start() }
