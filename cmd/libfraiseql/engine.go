//go:build linux

package main

// #include "fraiseql.h"
import "C"

import "unsafe"

//export fq_abi
func fq_abi() (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_abi")
	return C.FQ_ABI
}

//export fq_engine_new
func fq_engine_new(config *C.fq_text, shared **C.fq_shared, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_engine_new")
	*shared = nil // before there is something to lose
	handle, word, err := library.Open(bytes(config))
	if err != nil {
		return fail(out, err)
	}
	*shared = (*C.fq_shared)(unsafe.Pointer(word))
	return C.int64_t(handle)
}

//export fq_engine_close
func fq_engine_close(engine C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_engine_close")
	return handleOf(out, 0, library.Close(int64(engine)))
}

//export fq_metrics
func fq_metrics(engine C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_metrics")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	put(out, e.AppendMetrics(buffer(out)))
	return 0
}

//export fq_publish
func fq_publish(engine C.int64_t, events *C.fq_event, n C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_publish")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	count, err := sheet(e, events, n).Publish()
	return handleOf(out, count, err)
}
