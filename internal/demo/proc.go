package demo

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"
)

// busiest is how many processes are published each second.
const busiest = 8

// newMeter reads /proc where there is one, else what the Go runtime knows of this process.
func newMeter() meter {
	m := &procMeter{root: "/proc", pageSize: float64(os.Getpagesize())}
	if _, err := m.cpuTimes(); err != nil {
		return newRuntimeMeter()
	}
	m.read(time.Now())
	return m
}

// hostName is the machine's name, which tells figures of several machines apart.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

// procMeter reads the proc file system of Linux. Times are in clock ticks: only their ratios are used.
type procMeter struct {
	root      string // "/proc"
	pageSize  float64
	cpus      []cpuTime      // of the last reading: all, then each processor
	processes map[int]uint64 // pid to ticks used, at the last reading
}

// cpuTime is a line of /proc/stat: ticks since the start.
type cpuTime struct{ busy, total uint64 }

func (m *procMeter) read(now time.Time) (machine, []process) {
	figures := machine{Host: hostName(), At: now.UTC().Format(time.RFC3339Nano), Cores: []float64{}}
	var elapsed uint64
	if cpus, err := m.cpuTimes(); err == nil {
		for i, cpu := range cpus {
			if i >= len(m.cpus) {
				break
			}
			switch used := percent(cpu.busy-m.cpus[i].busy, cpu.total-m.cpus[i].total); i {
			case 0:
				figures.CPU, elapsed = used, cpu.total-m.cpus[0].total
			default:
				figures.Cores = append(figures.Cores, used)
			}
		}
		m.cpus = cpus
	}
	figures.Memory = m.memory()
	if fields := bytes.Fields(m.file("loadavg")); len(fields) > 0 {
		if load, err := strconv.ParseFloat(string(fields[0]), 64); err == nil {
			figures.Load = &load
		}
	}
	if fields := bytes.Fields(m.file("uptime")); len(fields) > 0 {
		figures.Uptime, _ = strconv.ParseFloat(string(fields[0]), 64)
	}
	perCore := elapsed / uint64(max(1, len(figures.Cores)))
	busy, count := m.busyProcesses(perCore)
	figures.Processes = &count
	return figures, busy
}

// file returns the content of a file below root, nil if it cannot be read: a process may have ended meanwhile.
func (m *procMeter) file(name string) []byte {
	text, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil {
		return nil
	}
	return text
}

// percent is the part of total in percent with one decimal, within 0 and 100 for parts up to total.
func percent(part, total uint64) float64 {
	if total == 0 || part>>63 == 1 {
		return 0
	}
	return float64(int(float64(part)/float64(total)*1000+0.5)) / 10
}

// cpuTimes reads the cpu lines of /proc/stat: "cpu  user nice system idle iowait irq softirq steal …".
func (m *procMeter) cpuTimes() ([]cpuTime, error) {
	text, err := os.ReadFile(filepath.Join(m.root, "stat"))
	if err != nil {
		return nil, err
	}
	var cpus []cpuTime
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[0], "cpu") {
			break
		}
		var cpu cpuTime
		// guest times (fields 9 and 10) are part of user and nice.
		for i, field := range fields[1:min(len(fields), 9)] {
			ticks, err := strconv.ParseUint(field, 10, 64)
			if err != nil {
				return nil, err
			}
			cpu.total += ticks
			if i != 3 && i != 4 { // idle, iowait
				cpu.busy += ticks
			}
		}
		cpus = append(cpus, cpu)
	}
	return cpus, nil
}

// memory reads /proc/meminfo; used is what is not available to new programs.
func (m *procMeter) memory() memory {
	var total, available float64
	for line := range strings.Lines(string(m.file("meminfo"))) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = kib * 1024
		case "MemAvailable:":
			available = kib * 1024
		}
	}
	return memory{Used: max(0, total-available), Total: total}
}

// busyProcesses returns the processes that used most of the last perCore ticks, and how many there are.
func (m *procMeter) busyProcesses(perCore uint64) (busy []process, count int) {
	entries, err := os.ReadDir(m.root)
	if err != nil {
		return nil, 0
	}
	ticks := make(map[int]uint64, len(m.processes))
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		p, used, ok := m.process(pid)
		if !ok {
			continue
		}
		count++
		ticks[pid] = used
		before, known := m.processes[pid]
		if !known || used < before {
			continue
		}
		p.CPU = percent(used-before, perCore)
		busy = append(busy, p)
	}
	m.processes = ticks
	slices.SortFunc(busy, func(a, b process) int { return cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(b.Memory, a.Memory)) })
	return busy[:min(len(busy), busiest)], count
}

// process reads /proc/<pid>/stat: "pid (name) state …"; the name may itself hold parentheses and spaces.
func (m *procMeter) process(pid int) (p process, ticks uint64, ok bool) {
	text := m.file(strconv.Itoa(pid) + "/stat")
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return p, 0, false
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 22 {
		return p, 0, false
	}
	// Fields 14, 15 and 24 of proc_pid_stat(5); fields[0] is its field 3.
	user, _ := strconv.ParseUint(fields[11], 10, 64)
	system, _ := strconv.ParseUint(fields[12], 10, 64)
	pages, _ := strconv.ParseFloat(fields[21], 64)
	name := strings.ToValidUTF8(string(text[open+1:end]), "?")
	return process{PID: pid, Name: name, Memory: pages * m.pageSize}, user + system, true
}

// runtimeMeter knows this process only; it serves systems without /proc.
type runtimeMeter struct {
	start, last time.Time
	used        float64 // CPU seconds at the last reading
	samples     []metrics.Sample
}

func newRuntimeMeter() *runtimeMeter {
	m := &runtimeMeter{start: time.Now(), samples: []metrics.Sample{
		{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}, {Name: "/memory/classes/total:bytes"},
	}}
	m.read(m.start)
	return m
}

func (m *runtimeMeter) read(now time.Time) (machine, []process) {
	metrics.Read(m.samples)
	used := m.samples[0].Value.Float64() - m.samples[1].Value.Float64()
	bytes := float64(m.samples[2].Value.Uint64())
	cpu := 0.0
	if elapsed := now.Sub(m.last).Seconds(); elapsed > 0 {
		cpu = min(100, max(0, 100*(used-m.used)/elapsed/float64(runtime.NumCPU())))
	}
	m.used, m.last = used, now
	figures := machine{
		Host: hostName(), At: now.UTC().Format(time.RFC3339Nano), CPU: cpu, Cores: []float64{},
		Memory: memory{Used: bytes, Total: bytes}, Uptime: now.Sub(m.start).Seconds(),
	}
	return figures, []process{{PID: os.Getpid(), Name: filepath.Base(os.Args[0]), CPU: cpu * float64(runtime.NumCPU()), Memory: bytes}}
}
