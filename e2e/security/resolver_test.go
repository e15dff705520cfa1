package security

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go"
)

const resolved = `
type Subscription {
  seen: Seen @source(channel: "item")
  own: Seen @source(channel: "item") @owner(path: "owner")
}
type Seen { id: ID!  by: String  secret: String @requiresRole(roles: ["admin"], deny: MASK) }
`

// who is an identity as text.
func who(id *fraiseql.ResolverContext) string {
	return fmt.Sprintf("%s/%s/%v/%v", id.TenantID, id.UserID, id.Roles, id.Scopes)
}

// TestResolversSeeTheirCallerAlone: a resolver that takes the identity computes for one caller what no other gets,
// and only those who may see an event get anything. After each event comes a broadcast, which ends the wait.
func TestResolversSeeTheirCallerAlone(t *testing.T) {
	e, err := fraiseql.New(fraiseql.Config{
		Schema: []fraiseql.SchemaSource{{Name: "s", Text: resolved}},
		Resolvers: map[string]fraiseql.Resolver{"seen": {Context: true, Resolve: func(_ context.Context, ev *fraiseql.Event, _ json.RawMessage, id *fraiseql.ResolverContext) (any, error) {
			return map[string]any{"id": ev.Type, "by": who(id), "secret": "s"}, nil
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close(context.Background()) }()
	d := dice{rand.New(rand.NewPCG(1, 2))}
	w := &world{filter: fraiseql.RowFilterTenant}
	var all []*caller
	var subs []*fraiseql.Subscription
	for i := range 40 {
		c := d.caller(w)
		c.identity.FederationID, c.identity.ServiceName = "", ""
		sub, err := e.Register(t.Context(), fraiseql.Registration{
			ConnectionID: fmt.Sprint(i), SubscriptionID: "op", Query: `subscription { seen { id by secret } }`, Identity: c.identity,
		})
		if err != nil {
			t.Fatal(err)
		}
		all, subs = append(all, c), append(subs, sub)
	}
	arrived := 0
	for i := range 40 {
		ev := d.event(i)
		ev.FederationID, ev.ServiceName, ev.Type = "", "", "event"
		if !w.published(ev) {
			continue
		}
		end := fraiseql.Event{Channel: "item", Type: "end", Broadcast: true, Data: []byte(`{}`)}
		if _, err := e.Publish(t.Context(), *ev, end); err != nil {
			t.Fatal(err)
		}
		for k, c := range all {
			if w.sees(c, ev) {
				wantResolved(t, subs[k], c, "event")
				arrived++
			}
			wantResolved(t, subs[k], c, "end")
		}
	}
	if arrived < 50 {
		t.Errorf("%d events arrived", arrived)
	}
}

func wantResolved(t *testing.T, sub *fraiseql.Subscription, c *caller, eventType string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := sub.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	secret := "null"
	for _, role := range c.identity.Roles {
		if role == "admin" {
			secret = `"s"`
		}
	}
	by := who(&fraiseql.ResolverContext{UserID: c.identity.UserID, TenantID: c.identity.TenantID, Roles: c.identity.Roles, Scopes: c.identity.Scopes})
	want := fmt.Sprintf(`{"id":"op","type":"next","payload":{"data":{"seen":{"id":%q,"by":%q,"secret":%s}}}}`, eventType, by, secret)
	if string(got) != want {
		t.Fatalf("for %+v: got  %s\nwant %s", c.identity, got, want)
	}
}

// TestResultsAreNotSharedBetweenTenantsAndOwners counts for whom a resolver that sees no identity is called: what it
// returns may still come from the outside, so its result stays within a tenant and federation, and with @owner with
// one user.
func TestResultsAreNotSharedBetweenTenantsAndOwners(t *testing.T) {
	var mu sync.Mutex
	calls := map[string]int{}
	count := func(field string) fraiseql.Resolver {
		return fraiseql.Resolver{Resolve: func(_ context.Context, _ *fraiseql.Event, _ json.RawMessage, id *fraiseql.ResolverContext) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			if id != nil {
				calls["with an identity"]++
			}
			calls[field]++
			return map[string]any{"id": fmt.Sprint(field, calls[field])}, nil
		}}
	}
	e, err := fraiseql.New(fraiseql.Config{
		Schema:    []fraiseql.SchemaSource{{Name: "s", Text: resolved}},
		Resolvers: map[string]fraiseql.Resolver{"seen": count("seen"), "own": count("own")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close(context.Background()) }()
	result := map[string]map[string]bool{} // what may share → results
	var subs []*fraiseql.Subscription
	var shares []string
	for i, id := range []fraiseql.Identity{
		{TenantID: "a", UserID: "u"}, {TenantID: "a", UserID: "v"}, {TenantID: "a", UserID: "u"}, {TenantID: "b", UserID: "u"}, {UserID: "u"}, {},
	} {
		for _, field := range []string{"seen", "own"} {
			sub, err := e.Register(t.Context(), fraiseql.Registration{
				ConnectionID: fmt.Sprint(i), SubscriptionID: field, Query: `subscription { ` + field + ` { id } }`, Identity: id,
			})
			if err != nil {
				t.Fatal(err)
			}
			share := field + " of " + id.TenantID
			if field == "own" {
				if share += "/" + id.UserID; id.UserID == "" {
					sub.Complete() // owns nothing
					continue
				}
			}
			subs, shares = append(subs, sub), append(shares, share)
		}
	}
	if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "item", Type: "t", Broadcast: true, Data: []byte(`{"owner":["u","v"]}`)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	by := map[string]string{}
	for i, sub := range subs {
		got, err := sub.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := by[string(got)]; taken && other != shares[i] {
			t.Errorf("%s and %s share %s", other, shares[i], got)
		}
		by[string(got)] = shares[i]
		if result[shares[i]] == nil {
			result[shares[i]] = map[string]bool{}
		}
		result[shares[i]][string(got)] = true
	}
	for share, results := range result {
		if len(results) != 1 {
			t.Errorf("%s: computed %d times", share, len(results))
		}
	}
	if calls["with an identity"] > 0 {
		t.Error("a resolver without context saw an identity")
	}
}

// TestAFailingResolverLeaksNothing: neither the event nor the error's text, whichever way it fails.
func TestAFailingResolverLeaksNothing(t *testing.T) {
	const secret = "s3cr3t"
	for name, resolve := range map[string]func(context.Context) (any, error){
		"error": func(context.Context) (any, error) { return map[string]string{"id": secret}, errors.New(secret) },
		"panic": func(context.Context) (any, error) { panic(secret) },
		"timeout": func(ctx context.Context) (any, error) {
			<-ctx.Done()
			return map[string]string{"id": secret}, ctx.Err()
		},
		"not JSON":       func(context.Context) (any, error) { return json.RawMessage(`{"id":` + secret), nil },
		"not encodable":  func(context.Context) (any, error) { return func() {}, nil },
		"another shape":  func(context.Context) (any, error) { return secret, nil },
		"missing member": func(context.Context) (any, error) { return map[string]string{"other": secret}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			e, err := fraiseql.New(fraiseql.Config{
				Schema: []fraiseql.SchemaSource{{Name: "s", Text: resolved}},
				Limits: fraiseql.Limits{ResolverTimeout: 10 * time.Millisecond},
				Resolvers: map[string]fraiseql.Resolver{"seen": {Resolve: func(ctx context.Context, _ *fraiseql.Event, _ json.RawMessage, _ *fraiseql.ResolverContext) (any, error) {
					return resolve(ctx)
				}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.Close(context.Background()) }()
			sub, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: "op", Query: `subscription { seen { id by } }`})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "item", Type: "t", Data: []byte(`{"id":"` + secret + `","by":"` + secret + `"}`)}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := sub.Receive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(got), secret) || !strings.Contains(string(got), `"errors":[`) || !strings.Contains(string(got), `"data":{"seen":null}`) {
				t.Errorf("got %s", got)
			}
		})
	}
}
