//go:build linux && !fqmemory

package main

// #include "fraiseql.h"
import "C"

import "time"

//export fq_sessions_new
func fq_sessions_new(engine C.int64_t, config *C.fq_text, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_sessions_new")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	handle, err := e.Sessions(bytes(config))
	return handleOf(out, handle, err)
}

//export fq_session_open
func fq_session_open(engine, sessions C.int64_t, request *C.fq_text, mailbox, token C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_session_open")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	handle, err := e.OpenSession(int64(sessions), bytes(request), int64(mailbox), int64(token))
	return handleOf(out, handle, err)
}

//export fq_session_receive
func fq_session_receive(engine, session C.int64_t, message *C.fq_text) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_session_receive")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return C.int64_t(e.SessionReceive(int64(session), bytes(message)))
}

//export fq_session_take
func fq_session_take(engine, session, max_bytes C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_session_take")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	messages, n := e.SessionTake(buffer(out), int64(session), int64(max_bytes))
	put(out, messages)
	return C.int64_t(n)
}

//export fq_session_shut
func fq_session_shut(engine, session, code C.int64_t, reason *C.fq_text) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_session_shut")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	n, err := e.SessionShut(int64(session), int64(code), bytes(reason))
	return handleOf(nil, n, err)
}

//export fq_session_close
func fq_session_close(engine, session C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_session_close")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return C.int64_t(e.SessionClose(int64(session)))
}

//export fq_serve
func fq_serve(engine C.int64_t, config *C.fq_text, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_serve")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	address, handle, err := e.Serve(buffer(out), bytes(config))
	if err != nil {
		return fail(out, err)
	}
	put(out, address)
	return C.int64_t(handle)
}

//export fq_serve_stop
func fq_serve_stop(engine, server, window_ms C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_serve_stop")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	n, err := e.StopServing(int64(server), time.Duration(window_ms)*time.Millisecond)
	return handleOf(out, n, err)
}
