//go:build linux

package main

// #include "fraiseql.h"
import "C"

//export fq_resolver_set
func fq_resolver_set(engine C.int64_t, name *C.fq_text, token, context C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_resolver_set")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return handleOf(out, 0, e.SetResolver(bytes(name), int64(token), context != 0))
}

//export fq_calls_take
func fq_calls_take(engine, max C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_calls_take")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	calls, n := e.AppendCalls(buffer(out), int64(max))
	put(out, calls)
	return C.int64_t(n)
}

//export fq_call_answer
func fq_call_answer(engine, id, answer C.int64_t, text *C.fq_text, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_call_answer")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	n, err := e.Answer(int64(id), int64(answer), bytes(text))
	return handleOf(out, n, err)
}
