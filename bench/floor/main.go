//go:build linux

// Command floor measures what the kernel takes for messages that are ready: one write(2) for each delivery over TCP
// on loopback, nothing else. It is what no server can go below.
//
//	go run ./bench/floor -connections 1000 -size 220 -burst 25 -tick 10ms -time 4s
//
// A burst of writes, each to another connection in turn, every tick; tick 0 writes without a pause. A child process
// reads. The line that it prints is JSON: CPU seconds of the writing process per million writes. With -sendto the writes are
// made as the server's writers make them, with -uring those of a burst are submitted by io_uring, some with each system call.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

var (
	connections = flag.Int("connections", 1000, "TCP connections")
	size        = flag.Int("size", 220, "bytes of a message")
	burst       = flag.Int("burst", 25, "writes per tick")
	tick        = flag.Duration("tick", 10*time.Millisecond, "time between bursts; 0: none")
	length      = flag.Duration("time", 4*time.Second, "how long to measure")
	sendto      = flag.Bool("sendto", false, "sendto(2) without Go's accounting of system calls, as the server's writers do, in the place of write(2)")
	uring       = flag.Int("uring", 0, "submit so many writes at once by io_uring; 0: write(2)")
	fixed       = flag.Bool("fixed", false, "with -uring: registered descriptors")
	reader      = flag.String("reader", "", "address to read from (used by itself)")
)

func main() {
	flag.Parse()
	log.SetFlags(0)
	if *reader != "" {
		read(*reader)
		return
	}
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	child := exec.Command(os.Args[0], "-reader", listener.Addr().String(), "-connections", fmt.Sprint(*connections))
	child.Stderr = os.Stderr
	check(child.Start())
	fds := accept(listener)
	writes, cpu := write(fds)
	check(child.Process.Kill())
	_ = child.Wait() // killed
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"connections": *connections, "size": *size, "burst": *burst, "tick_ms": tick.Seconds() * 1000, "writes": writes,
		"sendto": *sendto, "uring": *uring, "fixed": *fixed, "writes_per_second": float64(writes) / length.Seconds(), "cpu_seconds_per_million": cpu.Seconds() * 1e6 / float64(writes),
	}))
}

// accept returns the descriptors of all connections, out of the runtime's poller.
func accept(listener net.Listener) []int {
	fds := make([]int, *connections)
	for i := range fds {
		c, err := listener.Accept()
		check(err)
		f, err := c.(*net.TCPConn).File() // a duplicate
		check(err)
		fds[i], err = syscall.Dup(int(f.Fd()))
		check(err)
		check(f.Close())
		check(c.Close())
	}
	return fds
}

// write writes bursts and returns how many messages, and the CPU time of this process meanwhile.
func write(fds []int) (writes int, cpu time.Duration) {
	message := make([]byte, *size)
	one, flush := writer(fds, message)
	before, next := used(), time.Now()
	for end := next.Add(*length); time.Now().Before(end); {
		for range *burst {
			one(writes % len(fds))
			writes++
		}
		flush()
		if *tick > 0 {
			next = next.Add(*tick)
			pause(time.Until(next))
		}
	}
	return writes, used() - before
}

// writer returns what writes the message to a connection, and what is to be done at the end of a burst.
func writer(fds []int, message []byte) (one func(i int), flush func()) {
	if *sendto {
		return func(i int) {
			n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fds[i]), uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)),
				syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
			if int(n) != len(message) || errno != 0 {
				log.Fatalf("sendto: %d of %d bytes, %v", n, len(message), errno)
			}
		}, func() {}
	}
	if *uring == 0 {
		return func(i int) {
			if n, err := syscall.Write(fds[i], message); n != len(message) || err != nil {
				log.Fatalf("write: %d of %d bytes, %v", n, len(message), err)
			}
		}, func() {}
	}
	runtime.LockOSThread()
	r, err := newRing(*uring, fds, *fixed)
	check(err)
	return func(i int) { check(r.write(fds[i], i, message)) }, func() { check(r.submit()) }
}

// pause sleeps in the kernel, without the help of Go's scheduler.
func pause(d time.Duration) {
	if d > 0 {
		t := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&t, nil) // woken early: the next burst is early
	}
}

func used() time.Duration {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// read is the child: it connects and discards what comes.
func read(address string) {
	var all sync.WaitGroup
	for range *connections {
		c, err := net.Dial("tcp", address)
		check(err)
		all.Go(func() { _, _ = io.Copy(io.Discard, c) })
	}
	all.Wait()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
