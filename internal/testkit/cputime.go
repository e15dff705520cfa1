package testkit

import (
	"syscall"
	"testing"
	"time"
)

// CPUTime starts to measure the CPU time of the process; the function that it returns reports it per operation
// of the benchmark, as cpu-ns/op. On a busy machine it says more than the time that has passed.
func CPUTime(b *testing.B) (report func()) {
	start := cpuTime()
	return func() { b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op") }
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
