package loadgen

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// process is the server, as /proc shows it. All methods work on nil and return 0.
type process struct{ pid int }

// ticksPerSecond is USER_HZ, which is 100 on every architecture that Go runs on.
const ticksPerSecond = 100

// findProcess returns the process with that id, or the one that listens on a local port, or nil.
func findProcess(pid int, port string, local bool) *process {
	if pid > 0 {
		return &process{pid}
	}
	if !local {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil
	}
	inodes := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listeners(file, uint16(n), inodes)
	}
	if pid = ownerOf(inodes); pid == 0 {
		return nil
	}
	return &process{pid}
}

// listeners adds the inodes of the sockets that listen on a port.
func listeners(file string, port uint16, inodes map[string]bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	const listening = "0A"
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(string(text)) {
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
		if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[1], suffix) && f[3] == listening {
			inodes["socket:["+f[9]+"]"] = true
		}
	}
}

// ownerOf returns the id of a process that has one of the sockets open, or 0.
func ownerOf(inodes map[string]bool) int {
	if len(inodes) == 0 {
		return 0
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := "/proc/" + e.Name() + "/fd"
		files, err := os.ReadDir(dir)
		if err != nil {
			continue // another user's
		}
		for _, f := range files {
			if target, err := os.Readlink(dir + "/" + f.Name()); err == nil && inodes[target] {
				return pid
			}
		}
	}
	return 0
}

func (p *process) id() int {
	if p == nil {
		return 0
	}
	return p.pid
}

// cpu is the time that the process has used, user and system, of all its threads.
func (p *process) cpu() time.Duration {
	if p == nil {
		return 0
	}
	// The clock of the process counts nanoseconds, /proc hundredths of a second.
	const clockOfProcess = 2
	var t syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(^p.pid<<3|clockOfProcess), uintptr(unsafe.Pointer(&t)), 0); errno == 0 {
		return time.Duration(t.Nano())
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0
	}
	// The second field is the name, in parentheses; it may hold spaces.
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return 0
	}
	f := strings.Fields(string(text[end+1:]))
	const utime, stime = 14 - 3, 15 - 3
	if len(f) <= stime {
		return 0
	}
	user, _ := strconv.ParseInt(f[utime], 10, 64)
	system, _ := strconv.ParseInt(f[stime], 10, 64)
	return time.Duration(user+system) * (time.Second / ticksPerSecond)
}

// memory is the resident set in bytes.
func (p *process) memory() int64 {
	if p == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// ownCPU is the time that this process has used.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
