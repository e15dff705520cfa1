//go:build linux

package main

// #include "fraiseql.h"
import "C"

//export fq_sessions_new
func fq_sessions_new(engine C.int64_t, config *C.fq_text, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_sessions_new")
	return C.FQ_ERROR
}

//export fq_session_open
func fq_session_open(engine, sessions C.int64_t, request *C.fq_text, mailbox, token C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_session_open")
	return C.FQ_ERROR
}

//export fq_session_receive
func fq_session_receive(engine, session C.int64_t, message *C.fq_text) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_session_receive")
	return C.FQ_ERROR
}

//export fq_session_take
func fq_session_take(engine, session, max_bytes C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_session_take")
	return C.FQ_ERROR
}

//export fq_session_shut
func fq_session_shut(engine, session, code C.int64_t, reason *C.fq_text) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_session_shut")
	return C.FQ_ERROR
}

//export fq_session_close
func fq_session_close(engine, session C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_session_close")
	return C.FQ_ERROR
}

//export fq_serve
func fq_serve(engine C.int64_t, config *C.fq_text, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_serve")
	return C.FQ_ERROR
}

//export fq_serve_stop
func fq_serve_stop(engine, server, window_ms C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_serve_stop")
	return C.FQ_ERROR
}
