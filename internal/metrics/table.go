package metrics

import (
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Kind is the type of a metric.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric describes one metric. Every value of every label is known beforehand: none is chosen by a client.
type Metric struct {
	Name   string
	Kind   Kind
	Label  string   // empty: none
	Values []string // of Label; what the program reports besides is counted as `other`
	Doc    string
}

// The names of metrics that are not counters of observe.
const (
	published  = "fraiseql_events_published_total"
	dispatched = "fraiseql_events_dispatched_total"
	projected  = "fraiseql_groups_projected_total"
	enqueued   = "fraiseql_deliveries_total"
	checks     = "fraiseql_security_checks_total"
	latency    = "fraiseql_publish_to_enqueue_seconds"
	requests   = "fraiseql_publish_requests_total"
	ready      = "fraiseql_ready"
	buildInfo  = "fraiseql_build_info"
)

// other is the label value of everything that the table does not list.
const other = "other"

// Table returns every metric of ours in the order of the reference. The caller must not change it.
func Table() []Metric { return table }

var table = []Metric{
	{published, Counter, "", nil, "Events that the bus has acknowledged."},
	{requests, Counter, "status", []string{"202", "400", "401", "403", "405", "413", "415", "422", "429", "500", "503"}, "Answers of `POST /events`."},
	{counters[observe.PublishRefused].name, Counter, "code", codes(), "Events refused before they reached the bus."},
	{dispatched, Counter, "", nil, "Events that came from the bus and were matched."},
	{counters[observe.EventsDiscarded].name, Counter, "reason", []string{"duplicate", "isolation", "invalid"}, "Events from the bus that reach nobody."},
	{checks, Counter, "check, result", nil, "Verdicts of the five security checks: `check` is " + checkNames() + ", `result` is `allowed` or `denied`. The second to the fourth count subscriptions per event, the others subscribes."},
	{projected, Counter, "", nil, "Groups that an event was projected for; less than deliveries as far as subscriptions share."},
	{enqueued, Counter, "", nil, "Messages put into a subscription's queue."},
	{latency, Histogram, "", nil, "Time from publish to the last enqueue of the event; sampled."},
	{counters[observe.Dropped].name, Counter, "policy", []string{"close", "drop_oldest", "drop_newest", "latest", "identity"}, "Messages dropped because a subscriber was too slow, by policy; `identity`: a result that was asked for with credentials that were replaced meanwhile."},
	{"fraiseql_connections", Gauge, "", nil, "Open connections."},
	{"fraiseql_subscriptions", Gauge, "", nil, "Live subscriptions."},
	{"fraiseql_groups", Gauge, "", nil, "Groups of equal subscriptions."},
	{"fraiseql_channels", Gauge, "", nil, "Channels with a subscriber."},
	{"fraiseql_queue_bytes", Gauge, "", nil, "Bytes of results that wait to be written or are being written: those that several clients share count for each."},
	{"fraiseql_plan_cache_bytes", Gauge, "", nil, "Memory of compiled documents, in bytes."},
	{"fraiseql_io_uring_writers", Gauge, "", nil, "Writers, one per core, that submit what they write to clients by io_uring; 0 where `io_uring` is `off`, or the system has none or forbids it."},
	{"fraiseql_bus_connected", Gauge, "", nil, "1 while the bus is in reach, else 0."},
	{"fraiseql_bus_since_timestamp_seconds", Gauge, "", nil, "When `fraiseql_bus_connected` took its value, as Unix time; 0 for the memory bus."},
	{"fraiseql_bus_reconnects_total", Counter, "", nil, "Connections to the bus that were made again."},
	{"fraiseql_bus_gaps_total", Counter, "", nil, "Gaps: events that the bus no longer holds were not delivered by this node."},
	{"fraiseql_bus_repeated_total", Counter, "", nil, "Events that came again from the bus, after a reconnect, and were left out before they were matched."},
	{"fraiseql_bus_buffered_bytes", Gauge, "", nil, "Bytes of events that wait in this process until the bus is back; only with `buffer=` in the URL of the bus."},
	{"fraiseql_pg_horizon_lag_seconds", Gauge, "", nil, "Age of the oldest writing transaction that holds back the events of PostgreSQL; only with that bus."},
	{"fraiseql_redis_entries_invalid", Gauge, "", nil, "Entries of Redis that were left out because they break the format, since the start; only with that bus."},
	{"fraiseql_redis_partitions_read", Gauge, "", nil, "Partitions of Redis that this node reads; only with that bus."},
	{"fraiseql_nats_lanes", Gauge, "", nil, "Partitions (consumers of JetStream, or in core mode subscriptions) that this node reads; only with NATS."},
	{"fraiseql_nats_unreadable_events", Gauge, "", nil, "Messages of NATS that are no events of a known version, left out since the start; only with that bus."},
	{"fraiseql_nats_unordered_batches", Gauge, "", nil, "Publishes of which an event failed while a later one was stored, since the start; only with NATS."},
	{ready, Gauge, "", nil, "1 while `/readyz` says 200, else 0."},
	{counters[observe.ConnectionsOpened].name, Counter, "transport", []string{"websocket", "sse", "multipart", "callback", "pull"}, "Connections accepted."},
	{counters[observe.ConnectionsClosed].name, Counter, "code", []string{"1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1011", "1012", "1013", "4290", "4400", "4401", "4403", "4406", "4408", "4409", "4429", "4500", "abrupt"}, "Connections ended, by close code; `abrupt`: the peer vanished."},
	{counters[observe.ConnectionsRefused].name, Counter, "reason", []string{"origin", "limit", "rate", "memory", "draining", "handshake"}, "Connections refused before the protocol began."},
	{counters[observe.AuthFailures].name, Counter, "reason", observe.AuthReasons[:len(observe.AuthReasons)-1], "Credentials refused."},
	{counters[observe.Refreshes].name, Counter, "result", []string{"accepted", "refused"}, "Fresh credentials that clients of open connections sent."},
	{counters[observe.Revocations].name, Counter, "result", []string{"enforced", "refused"}, "Revocations of credentials; `refused`: there were too many."},
	{counters[observe.Limited].name, Counter, "limit", observe.LimitNames, "What limits refused, by the key of `limits`; `publish_token_rate` is `publish.rate`, `callback_subscriptions` is `callback.max_subscriptions`, `preparing` what waits for a worker, `memory_slowest` clients that were closed to make room below the ceiling."},
	{counters[observe.Hooks].name, Counter, "result", []string{"allowed", "refused", "failed", "dropped"}, "Calls of hooks; `failed`: they could not judge, `dropped`: there was no time to tell one."},
	{counters[observe.SchemaChanges].name, Counter, "result", []string{"accepted", "refused"}, "Schemas that were to take the place of the one in force; `refused`: they were not valid, the one before stays."},
	{counters[observe.Renewed].name, Counter, "result", []string{"moved", "ended"}, "Live subscriptions when another schema came into force: they went on under it, or were not valid any more."},
	{counters[observe.Reloads].name, Counter, "result", []string{"accepted", "refused"}, "Configurations that were read again, by SIGHUP or because a file has changed; `refused`: they, the schema or keys were not valid, and those before stay."},
	{counters[observe.Subscribed].name, Counter, "plan", []string{"cached", "compiled"}, "Subscriptions started."},
	{counters[observe.Resumed].name, Counter, "result", []string{"started", "recovered", "lost"}, "Subscribes that asked for cursors: without one, with one that was recovered, with one that was not or no longer (`recovered: false`)."},
	{counters[observe.Gaps].name, Counter, "subscribers", []string{"told", "untold"}, "Live subscriptions for which the bus has lost events: those that resume are told, others are not."},
	{counters[observe.SubscribesRefused].name, Counter, "code", codes(), "Operations refused."},
	{counters[observe.Resolved].name, Counter, "result", []string{"ok", "error", "timeout", "panic", "overflow"}, "Resolver calls."},
	{buildInfo, Gauge, "version", nil, "Always 1; the version of the program."},
}

// counters names the metric of each observe.Counter.
var counters = [observe.Counters]struct{ name string }{
	observe.PublishRefused:     {"fraiseql_events_refused_total"},
	observe.EventsDiscarded:    {"fraiseql_events_discarded_total"},
	observe.Dropped:            {"fraiseql_messages_dropped_total"},
	observe.ConnectionsOpened:  {"fraiseql_connections_opened_total"},
	observe.ConnectionsClosed:  {"fraiseql_connections_closed_total"},
	observe.ConnectionsRefused: {"fraiseql_connections_refused_total"},
	observe.AuthFailures:       {"fraiseql_auth_failures_total"},
	observe.SubscribesRefused:  {"fraiseql_subscribes_refused_total"},
	observe.Subscribed:         {"fraiseql_subscribes_total"},
	observe.Resolved:           {"fraiseql_resolver_calls_total"},
	observe.Hooks:              {"fraiseql_hooks_total"},
	observe.Reloads:            {"fraiseql_reloads_total"},
	observe.SchemaChanges:      {"fraiseql_schema_changes_total"},
	observe.Renewed:            {"fraiseql_subscriptions_renewed_total"},
	observe.Limited:            {"fraiseql_limited_total"},
	observe.Revocations:        {"fraiseql_revocations_total"},
	observe.Refreshes:          {"fraiseql_credential_refreshes_total"},
	observe.Resumed:            {"fraiseql_resumes_total"},
	observe.Gaps:               {"fraiseql_gaps_total"},
}

func codes() []string {
	var names []string
	for _, e := range code.All() {
		names = append(names, e.Name)
	}
	return names
}

func checkNames() string {
	text := ""
	for c := range policy.Checks {
		if c > 0 {
			text += ", "
		}
		text += "`" + policy.Check(c).String() + "`"
	}
	return text
}
