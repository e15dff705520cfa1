package main

import (
	"encoding/binary"
	"encoding/hex"
	"log"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// data is the JSON of one event: it carries when it was due, in hexadecimal.
func data(due time.Time) []byte {
	b := make([]byte, 0, *size)
	b = append(b, `{"due":"`...)
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(due.UnixNano()))
	b = hex.AppendEncode(b, stamp[:])
	b = append(b, `","pad":"`...)
	for len(b) < *size-2 {
		b = append(b, 'x')
	}
	return append(b, `"}`...)
}

// due reads it back.
func due(data []byte) time.Time {
	var stamp [8]byte
	_, err := hex.Decode(stamp[:], data[8:24])
	check(err)
	return time.Unix(0, int64(binary.BigEndian.Uint64(stamp[:])))
}

// cpu is the time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// throughput publishes as fast as the publishers can; the clock stops when everything has arrived.
func throughput(addr, of string, round int) figures {
	var received atomic.Int64
	s, err := makers[of](addr, func([]byte) { received.Add(1) })
	check(err)
	defer s.close()
	var sent atomic.Int64
	asked := reads(addr)
	began, before, server := time.Now(), cpu(), serverCPU()
	end := began.Add(*length)
	var wait sync.WaitGroup
	for p := range *publishers {
		wait.Go(func() {
			list, publish := make([][]byte, *batch), s.publisher()
			for now := time.Now(); now.Before(end); now = time.Now() {
				for i := range list {
					list[i] = data(now)
				}
				check(publish(p%*channels, list))
				sent.Add(int64(len(list)))
			}
		})
	}
	wait.Wait()
	await(&received, &sent)
	took := time.Since(began)
	n := int(sent.Load())
	return figures{Reads: (reads(addr) - asked) / float64(n) * 1e6, Kind: "throughput", Round: round, Of: of, Batch: *batch, Events: n, PerSecond: float64(n) / took.Seconds(),
		CPU: (cpu() - before).Seconds() / float64(n) * 1e6, ServerCPU: (serverCPU() - server).Seconds() / float64(n) * 1e6}
}

// await waits until everything that was sent has arrived.
func await(received, sent *atomic.Int64) {
	for deadline := time.Now().Add(20 * time.Second); received.Load() < sent.Load(); {
		if time.Now().After(deadline) {
			log.Fatalf("%d of %d events arrived", received.Load(), sent.Load())
		}
		time.Sleep(100 * time.Microsecond)
	}
}
