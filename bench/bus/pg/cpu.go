package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sleepUntil sleeps to some ten microseconds: timers of Go are late by up to a millisecond while a processor is idle. Linux only.
func sleepUntil(at time.Time) {
	for d := time.Until(at); d > 0; d = time.Until(at) {
		left := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&left, nil) // interrupted: the rest
	}
}

// cpuSeconds returns what this process and, if its postmaster is given, the server have used of the processors so far: it
// says more than time does on a machine that has other work. Linux only.
func cpuSeconds(postmaster int) float64 {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0
	}
	total := float64(own.Utime.Nano()+own.Stime.Nano()) / 1e9
	if postmaster == 0 {
		return total
	}
	// What has ended counts at its parent.
	total += ticks(postmaster, 4) / 100
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", postmaster, postmaster))
	if err != nil {
		return total
	}
	for _, field := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			total += ticks(pid, 2) / 100
		}
	}
	return total
}

// ticks adds the first n of a process' utime, stime, cutime and cstime.
func ticks(pid, n int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	sum := 0.0
	for i := 11; i < 11+n && i < len(fields); i++ {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0
		}
		sum += v
	}
	return sum
}
