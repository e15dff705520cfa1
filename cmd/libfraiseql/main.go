//go:build linux

// Command libfraiseql is the engine as a shared library: the C functions of fraiseql.h over internal/embed.
//
//	go build -buildmode=c-shared -o libfraiseql.so ./cmd/libfraiseql
//
// It is thin on purpose: it turns pointers into slices, puts results into the caller's buffer, and makes an error
// of every panic. Nothing here keeps a pointer of the caller.
package main

// #include <stdlib.h>
// #include "fraiseql.h"
import "C"

import (
	"os"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/embed"
)

var library = embed.New(func(bytes int) unsafe.Pointer { return C.calloc(1, C.size_t(bytes)) })

func init() { embed.Tune(os.Getenv) }

func main() {} // never called: the host has its own

// guard makes an error of a panic. It is deferred by every export.
func guard(out *C.fq_out, ret *C.int64_t) {
	if recover() == nil {
		return
	}
	*ret = C.FQ_ERROR
	put(out, append(buffer(out), embed.InternalFault...))
}

// bytes is a text of the caller, for as long as the call lasts; nil when it is absent.
func bytes(t *C.fq_text) []byte {
	if t == nil || t.data == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(t.data)), int(t.len))
}

// buffer is the caller's buffer, empty, to be appended to.
func buffer(out *C.fq_out) []byte {
	if out == nil || out.data == nil || out.cap <= 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(out.data)), int(out.cap))[:0]
}

// put hands a result over: it lies in the caller's buffer already, or grew out of it and gets a block of malloc.
func put(out *C.fq_out, result []byte) {
	if out == nil {
		return
	}
	out.len, out.owned = C.int64_t(len(result)), 0
	if len(result) == 0 || unsafe.Pointer(unsafe.SliceData(result)) == unsafe.Pointer(out.data) {
		return
	}
	// The block ends in a 0 byte that does not count. C.malloc never returns nil.
	block := C.malloc(C.size_t(len(result) + 1))
	copied := unsafe.Slice((*byte)(block), len(result)+1)
	copied[copy(copied, result)] = 0
	out.data, out.cap, out.owned = (*C.char)(block), out.len, 1
}

// fail hands an error over.
func fail(out *C.fq_out, err error) C.int64_t {
	put(out, embed.AppendError(buffer(out), err))
	return C.FQ_ERROR
}

// handleOf answers with a handle or with why there is none.
func handleOf(out *C.fq_out, handle int64, err error) C.int64_t {
	if err != nil {
		return fail(out, err)
	}
	return C.int64_t(handle)
}
