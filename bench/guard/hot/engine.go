package main

import (
	"context"
	"fmt"

	"github.com/fraiseql/fraiseql-go"
)

var engineCases = []hotCase{
	{"publish to next, with a schema", 1000, func() (func(), func()) {
		e := newEngine(fraiseql.Config{Schema: []fraiseql.SchemaSource{{Text: schemaText}}})
		return publishNext(e, "orders", `subscription { order `+fiveFields+` }`)
	}},
	{"publish to next, without a schema", 1000, func() (func(), func()) {
		return publishNext(newEngine(fraiseql.Config{}), "room", `subscription { room `+fiveFields+` }`)
	}},
	{"subscribe and complete, group exists", 1000, func() (func(), func()) { return subscribeComplete(`{"i":"1"}`) }},
	{"subscribe and complete, new group", 500, func() (func(), func()) { return subscribeComplete(`{"i":"2"}`) }},
	{"resolve by a deferred resolver", 500, func() (func(), func()) {
		var asked *fraiseql.ResolveRequest
		e := newEngine(fraiseql.Config{
			Schema:    []fraiseql.SchemaSource{{Text: schemaText}},
			Resolvers: map[string]fraiseql.Resolver{"order": {Deferred: func(r *fraiseql.ResolveRequest) { asked = r }}},
		})
		s, ev, buf := register(e, `subscription { order `+fiveFields+` }`), newEvent("orders"), make([]byte, 0, 1024)
		value := []byte(orderData)
		return func() {
			_, err := e.Publish(context.Background(), ev)
			check(err)
			must(asked.Resolve(value), "nobody waits")
			var ok bool
			buf, ok, _ = s.Next(buf[:0])
			must(ok, "nothing came")
		}, nil
	}},
}

func newEngine(cfg fraiseql.Config) *fraiseql.Engine {
	e, err := fraiseql.New(cfg)
	check(err)
	return e
}

func register(e *fraiseql.Engine, query string) *fraiseql.Subscription {
	s, err := e.Register(context.Background(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: fmt.Sprint(query), Query: query})
	check(err)
	return s
}

func newEvent(channel string) fraiseql.Event {
	return fraiseql.Event{Channel: channel, Type: "t", Data: []byte(orderData)}
}

func publishNext(e *fraiseql.Engine, channel, query string) (func(), func()) {
	s, ev, buf := register(e, query), newEvent(channel), make([]byte, 0, 1024)
	return func() {
		_, err := e.Publish(context.Background(), ev)
		check(err)
		var ok bool
		buf, ok, _ = s.Next(buf[:0])
		must(ok, "nothing came")
	}, nil
}

func subscribeComplete(variables string) (func(), func()) {
	e := newEngine(fraiseql.Config{Schema: []fraiseql.SchemaSource{{Text: schemaText}}})
	r := fraiseql.Registration{ConnectionID: "c", SubscriptionID: "first", Query: `subscription($i: ID) { order(id: $i) ` + fiveFields + ` }`,
		Variables: []byte(`{"i":"1"}`)}
	_, err := e.Register(context.Background(), r)
	check(err)
	r.SubscriptionID, r.Variables = "s", []byte(variables)
	return func() {
		s, err := e.Register(context.Background(), r)
		check(err)
		s.Complete()
	}, nil
}
