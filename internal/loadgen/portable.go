//go:build !linux

package loadgen

import "time"

// newSource returns the portable source.
func newSource(rd *reader) (source, error) { return &goroutines{reader: rd}, nil }

func sleep(d time.Duration) { time.Sleep(d) }

// process is a server of which nothing can be measured here.
type process struct{}

func findProcess(pid int, port string, local bool) *process { return nil }

func (p *process) id() int            { return 0 }
func (p *process) cpu() time.Duration { return 0 }
func (p *process) memory() int64      { return 0 }

func ownCPU() time.Duration { return 0 }
