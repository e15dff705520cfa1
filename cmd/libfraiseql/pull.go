//go:build linux

package main

// #include "fraiseql.h"
import "C"

//export fq_subscribe
func fq_subscribe(engine C.int64_t, s *C.fq_subscription, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_subscribe")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	made, err := e.Subscribe(subscription(s))
	if err != nil {
		return fail(out, err)
	}
	subscribed(s, &made, out)
	return C.int64_t(made.Handle)
}

//export fq_next
func fq_next(engine, subscription C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_next")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	message, n := e.Next(buffer(out), int64(subscription))
	put(out, message)
	return C.int64_t(n)
}

//export fq_take
func fq_take(engine, subscription, max C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_take")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	messages, n := e.Take(buffer(out), int64(subscription), int64(max))
	put(out, messages)
	return C.int64_t(n)
}

//export fq_take_connection
func fq_take_connection(engine, connection, max C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_take_connection")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	messages, n := e.TakeConnection(buffer(out), int64(connection), int64(max))
	put(out, messages)
	return C.int64_t(n)
}

//export fq_resume
func fq_resume(engine, subscription C.int64_t, cursor *C.fq_text, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_resume")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	n, err := e.Resume(int64(subscription), string(bytes(cursor)))
	if err != nil {
		return fail(out, err)
	}
	return C.int64_t(n)
}

//export fq_complete
func fq_complete(engine, subscription C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_complete")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return C.int64_t(e.Complete(int64(subscription)))
}

//export fq_complete_connection
func fq_complete_connection(engine, connection C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_complete_connection")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return C.int64_t(e.CompleteConnection(int64(connection)))
}
