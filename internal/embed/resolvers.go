//go:build linux

package embed

import (
	fraiseql "github.com/fraiseql/fraiseql-go"
)

// resolverKey is a resolver of one subscription, as the host names it.
type resolverKey struct {
	token   int64
	context bool
}

// ownResolver is one with the subscriptions that have it: equal ones may share results.
type ownResolver struct {
	fraiseql.Resolver
	users int
}

// SetResolver sets the resolver of a root field or an event type: calls for it carry the token.
func (e *Engine) SetResolver(name []byte, token int64, context bool) error {
	if err := e.facade.SetResolver(string(name), e.resolver(token, context)); err != nil {
		return bad("name", err.Error())
	}
	return nil
}

func (e *Engine) resolver(token int64, context bool) fraiseql.Resolver {
	return fraiseql.Resolver{Context: context, Queued: true, Deferred: func(r *fraiseql.ResolveRequest) { e.resolve(token, r) }}
}

// resolverOf returns the resolver of one subscription alone, nil for none, which resolverDone gives back.
func (e *Engine) resolverOf(s *Subscription) (*resolverKey, *fraiseql.Resolver) {
	if s.Resolver == 0 {
		return nil, nil
	}
	key := resolverKey{s.Resolver, s.ResolverContext}
	e.mu.Lock()
	defer e.mu.Unlock()
	own := e.resolvers[key]
	if own == nil {
		own = &ownResolver{Resolver: e.resolver(key.token, key.context)}
		if e.resolvers == nil {
			e.resolvers = make(map[resolverKey]*ownResolver)
		}
		e.resolvers[key] = own
	}
	own.users++
	return &key, &own.Resolver
}

// resolverDone says that the subscription of a resolver has ended.
func (e *Engine) resolverDone(key *resolverKey) {
	if key == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if own := e.resolvers[*key]; own != nil {
		if own.users--; own.users == 0 {
			delete(e.resolvers, *key)
		}
	}
}
