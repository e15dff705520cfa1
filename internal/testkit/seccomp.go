//go:build linux && (amd64 || arm64)

package testkit

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// forbidden is the variable that tells a test's second process what it is.
const forbidden = "FRAISEQL_TEST_FORBIDDEN"

// Forbidden runs the calling test once more, in a process of its own to which the system refuses some system calls with an
// error, as filters of containers do. It is false in the first process, which has nothing more to do; the second one goes on:
//
//	if !testkit.Forbidden(t, syscall.EPERM, 425) {
//		return
//	}
func Forbidden(t *testing.T, errno syscall.Errno, calls ...uint32) bool {
	t.Helper()
	if os.Getenv(forbidden) == t.Name() {
		forbid(t, errno, calls)
		return true
	}
	name := strings.ReplaceAll(t.Name(), "/", "$/^")
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+name+"$", "-test.count=1")
	again.Env = append(os.Environ(), forbidden+"="+t.Name())
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// filter is an instruction of the classic packet filter.
type filter struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// forbid installs the filter for all threads, those to come included. It cannot be taken back.
func forbid(t *testing.T, errno syscall.Errno, calls []uint32) {
	const (
		load, equal, answer                     = 0x20, 0x15, 0x06
		allow, fail                             = 0x7fff0000, 0x00050000
		noNewPrivileges, setFilter, allTogether = 38, 1, 1
	)
	program := []filter{{code: load}} // the number of the call comes first
	for _, n := range calls {
		program = append(program, filter{equal, 0, 1, n}, filter{code: answer, k: fail | uint32(errno)})
	}
	program = append(program, filter{code: answer, k: allow})
	described := struct {
		length  uint16
		program *filter
	}{uint16(len(program)), &program[0]}
	runtime.LockOSThread() // the privilege is that of a thread, which passes it on with the filter
	defer runtime.UnlockOSThread()
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, noNewPrivileges, 1, 0, 0, 0, 0); e != 0 {
		t.Fatal("prctl:", e)
	}
	if _, _, e := syscall.RawSyscall(sysSeccomp, setFilter, allTogether, uintptr(unsafe.Pointer(&described))); e != 0 {
		t.Fatal("seccomp:", e)
	}
}
