//go:build linux

package embed

import (
	"errors"
	"strconv"

	fraiseql "github.com/fraiseql/fraiseql-go"
)

// engineConfig is the JSON object that makes an engine; docs/reference/c.md lists its members.
type engineConfig struct {
	fraiseql.Config
	processors int
	bus        busConfig
}

// maxProcessors bounds the threads that run Go at the same time: each costs memory.
const maxProcessors = 1024

// parseEngine reads the configuration of an engine. The error joins every problem, each a *Fault.
func parseEngine(text []byte) (*engineConfig, error) {
	c := &engineConfig{}
	c.bus.kind = "memory"
	errs := readObject(text, "config", func(name string, m member) bool {
		switch name {
		case "schema":
			m.list(func(item member) { c.source(item) })
		case "snake_case":
			m.flag(&c.SnakeCase)
		case "bus":
			m.members(c.bus.member)
		case "security":
			m.members(c.security)
		case "limits":
			m.members(c.limit)
		case "introspection":
			m.flag(&c.Introspection)
		case "late_resolvers":
			m.flag(&c.LateResolvers)
		case "processors":
			if m.count(&c.processors); c.processors > maxProcessors {
				m.fail("must be at most " + strconv.Itoa(maxProcessors))
			}
		default:
			return false
		}
		return true
	})
	return c, errors.Join(errs...)
}

func (c *engineConfig) source(m member) {
	var s fraiseql.SchemaSource
	m.members(func(name string, m member) bool {
		switch name {
		case "name":
			m.text(&s.Name)
		case "text":
			m.text(&s.Text)
		default:
			return false
		}
		return true
	})
	c.Schema = append(c.Schema, s)
}

func (c *engineConfig) security(name string, m member) bool {
	s := &c.Security
	switch name {
	case "isolation":
		choice(m, &s.Isolation, []string{"addressed", "strict"}, []fraiseql.Isolation{fraiseql.IsolationAddressed, fraiseql.IsolationStrict})
	case "row_filter":
		choice(m, &s.RowFilter, []string{"none", "tenant", "user", "both"},
			[]fraiseql.RowFilter{fraiseql.RowFilterNone, fraiseql.RowFilterTenant, fraiseql.RowFilterUser, fraiseql.RowFilterBoth})
	case "scope":
		m.members(func(name string, m member) bool {
			switch name {
			case "user":
				m.texts(&s.ScopeUser)
			case "tenant":
				m.texts(&s.ScopeTenant)
			default:
				return false
			}
			return true
		})
	default:
		return false
	}
	return true
}

func (c *engineConfig) limit(name string, m member) bool {
	l := &c.Limits
	counts := map[string]*int{
		"document_bytes": &l.DocumentBytes, "document_tokens": &l.DocumentTokens, "document_depth": &l.DocumentDepth,
		"document_aliases": &l.DocumentAliases, "event_bytes": &l.EventBytes, "event_depth": &l.EventDepth,
		"queue_messages": &l.QueueMessages, "queue_bytes": &l.QueueBytes, "connection_queue_bytes": &l.ConnectionQueueBytes,
		"subscriptions_per_connection": &l.SubscriptionsPerConnection, "subscriptions_per_user": &l.SubscriptionsPerUser,
		"subscriptions_per_tenant": &l.SubscriptionsPerTenant, "fields_per_user": &l.FieldsPerUser, "document_fields": &l.DocumentFields,
		"connections_per_ip": &l.ConnectionsPerIP, "connections_per_user": &l.ConnectionsPerUser, "connections_per_tenant": &l.ConnectionsPerTenant,
		"connect_rate": &l.ConnectRate, "memory_bytes": &l.MemoryBytes,
		"subscribe_rate": &l.SubscribeRate, "subscribe_burst": &l.SubscribeBurst, "publish_rate": &l.PublishRate,
		"publish_burst": &l.PublishBurst, "groups_per_channel": &l.GroupsPerChannel,
		"groups_per_tenant": &l.GroupsPerTenant, "plan_cache_bytes": &l.PlanCacheBytes,
		"resolver_lane": &l.ResolverLane, "resume_events": &l.ResumeEvents,
	}
	if dst, ok := counts[name]; ok {
		m.count(dst)
		return true
	}
	if name == "resolver_timeout" {
		m.seconds(&l.ResolverTimeout)
		return true
	}
	return false
}
