//go:build linux && (amd64 || arm64)

package uring

import "syscall"

// What include/uapi/linux/io_uring.h says, as far as it is used.
const (
	sysSetup, sysEnter = 425, 426

	offsetRings, offsetEntries = 0, 0x10000000

	featureSingleMap    = 1 << 0 // Linux 5.4
	featureNoDrop       = 1 << 1 // 5.5: completions that find no room are kept
	featureSubmitStable = 1 << 2 // 5.5: an entry is free again once it is taken

	enterGetEvents = 1 << 0
	opSend         = 26 // 5.6
)

// entry is io_uring_sqe.
type entry struct {
	opcode, _     uint8
	_             uint16
	fd            int32
	_             uint64
	address       uint64
	length, flags uint32 // flags are those of the message
	data          uint64
	_             [3]uint64
}

// completion is io_uring_cqe.
type completion struct {
	data   uint64
	result int32
	_      uint32
}

// params is io_uring_params with the offsets of both rings.
type params struct {
	sqEntries, cqEntries, _, _, _, features, _ uint32
	_                                          [3]uint32
	sq                                         struct {
		head, tail, mask, _, _, _, array, _ uint32
		_                                   uint64
	}
	cq struct {
		head, tail, mask, _, _, entries, _, _ uint32
		_                                     uint64
	}
}

// enter submits, and with a number to wait for waits. Go's scheduler is told: it takes as long as all of the sends.
func enter(fd, submit, wait, flags uintptr) (int, syscall.Errno) {
	n, _, errno := syscall.Syscall6(sysEnter, fd, submit, wait, flags, 0, 0)
	return int(n), errno
}
