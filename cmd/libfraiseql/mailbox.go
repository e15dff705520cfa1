//go:build linux

package main

// #include "fraiseql.h"
import "C"

import "unsafe"

//export fq_mailbox_new
func fq_mailbox_new(engine C.int64_t, fd *C.int64_t, out *C.fq_out) (ret C.int64_t) {
	defer guard(out, &ret)
	fault("fq_mailbox_new")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	*fd = -1 // before there is something to lose
	handle, descriptor, err := e.Mailbox()
	if err != nil {
		return fail(out, err)
	}
	*fd = C.int64_t(descriptor)
	return C.int64_t(handle)
}

//export fq_mailbox_take
func fq_mailbox_take(engine, mailbox C.int64_t, tokens *C.int64_t, cap C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_mailbox_take")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return C.int64_t(e.MailboxTake(int64(mailbox), unsafe.Slice((*int64)(unsafe.Pointer(tokens)), int(cap))))
}

//export fq_mailbox_calls
func fq_mailbox_calls(engine, mailbox C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_mailbox_calls")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return C.int64_t(e.MailboxCalls(int64(mailbox)))
}

//export fq_mailbox_close
func fq_mailbox_close(engine, mailbox C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_mailbox_close")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return C.int64_t(e.MailboxClose(int64(mailbox)))
}

//export fq_watch
func fq_watch(engine, subscription, mailbox, token C.int64_t) (ret C.int64_t) {
	defer guard(nil, &ret)
	fault("fq_watch")
	e := library.Engine(int64(engine))
	if e == nil {
		return C.FQ_UNKNOWN
	}
	return C.int64_t(e.Watch(int64(subscription), int64(mailbox), int64(token)))
}
