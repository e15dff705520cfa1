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

//export fq_call_begin
func fq_call_begin(engine, id C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_call_begin")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return C.int64_t(e.BeginCall(int64(id)))
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

//export fq_work
func fq_work(engine C.int64_t, group, channel *C.fq_text, token C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_work")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return handleOf(out, 0, e.Work(bytes(group), bytes(channel), int64(token)))
}

//export fq_work_stop
func fq_work_stop(engine, token C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_work_stop")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	if e.StopWork(int64(token)) {
		return 1
	}
	return 0
}

//export fq_revoke
func fq_revoke(engine C.int64_t, revocation *C.fq_text, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_revoke")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return handleOf(out, 0, e.Revoke(bytes(revocation)))
}

//export fq_schema_set
func fq_schema_set(engine C.int64_t, schema *C.fq_text, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_schema_set")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	moved, ended, err := e.SetSchema(bytes(schema))
	return handleOf(out, int64(moved)<<32|int64(ended), err)
}
