//go:build linux

package main

// #include "fraiseql.h"
import "C"

import (
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/embed"
)

//export fq_publish_start
func fq_publish_start(engine C.int64_t, events *C.fq_event, n, mailbox, token C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_publish_start")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	operation, err := e.StartPublish(sheet(e, events, n), int64(mailbox), int64(token))
	return handleOf(out, operation, err)
}

//export fq_revoke_start
func fq_revoke_start(engine C.int64_t, revocation *C.fq_text, mailbox, token C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_revoke_start")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	operation, err := e.StartRevoke(bytes(revocation), int64(mailbox), int64(token))
	return handleOf(out, operation, err)
}

//export fq_subscribe_start
func fq_subscribe_start(engine C.int64_t, s *C.fq_subscription, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_subscribe_start")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	operation, err := e.StartSubscribe(subscription(s))
	return handleOf(out, operation, err)
}

//export fq_finish
func fq_finish(operation, wait C.int64_t, s *C.fq_subscription, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_finish")
	made, result, err := library.Finish(int64(operation), time.Duration(wait)*time.Millisecond)
	if err != nil {
		return fail(out, err)
	}
	if made.Handle != 0 && s != nil {
		subscribed(s, &made, out)
	}
	return C.int64_t(result)
}

//export fq_leave
func fq_leave(operation C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_leave")
	return C.int64_t(library.Leave(int64(operation)))
}

// sheet copies events.
func sheet(e *embed.Engine, events *C.fq_event, n C.int64_t) *embed.Sheet {
	s := e.Sheet()
	list := unsafe.Slice(events, int(n))
	for i := range list {
		ev := &list[i]
		s.Add(&embed.Event{
			Channel: bytes(&ev.channel), Type: bytes(&ev._type), Data: bytes(&ev.data), ID: bytes(&ev.id),
			TenantID: bytes(&ev.tenant_id), UserID: bytes(&ev.user_id), FederationID: bytes(&ev.federation_id),
			ServiceName: bytes(&ev.service_name), Broadcast: ev.broadcast != 0,
		})
	}
	return s
}

func subscription(s *C.fq_subscription) *embed.Subscription {
	return &embed.Subscription{
		ConnectionID: bytes(&s.connection_id), SubscriptionID: bytes(&s.subscription_id), Query: bytes(&s.query),
		OperationName: bytes(&s.operation_name), Variables: bytes(&s.variables), Extensions: bytes(&s.extensions),
		Identity: bytes(&s.identity), Resolver: int64(s.resolver), ResolverContext: s.resolver_context != 0,
	}
}

// subscribed hands over what a subscription got.
func subscribed(s *C.fq_subscription, made *embed.Subscribed, out *C.fq_out) {
	s.connection, s.ready = C.int64_t(made.Connection), (*C.fq_ready)(unsafe.Pointer(made.Ready))
	put(out, append(buffer(out), made.Channel...))
}
