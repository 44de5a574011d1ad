// Package proc starts the programs that are measured, and reads what the kernel knows of them.
package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopTime is how long a program may take to end by itself.
const stopTime = 10 * time.Second

// Process is a program that runs, with all that it started.
type Process struct {
	Name string
	cmd  *exec.Cmd
	said *tail
	done chan struct{} // closed when it has ended
}

// Start starts a program; env is added to the environment. It ends when this process does.
func Start(name string, args, env []string) (*Process, error) {
	p := &Process{Name: filepath.Base(name), said: &tail{}, done: make(chan struct{})}
	p.cmd = exec.Command(name, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	p.cmd.WaitDelay = time.Second // what a child left behind must not hold the wait
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ends is seen by who waits for its answers
		close(p.done)
	}()
	return p, nil
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Output returns the end of what the program wrote.
func (p *Process) Output() string { return p.said.String() }

// Stop ends the program and its children, and waits.
func (p *Process) Stop() error {
	_ = unix.Kill(p.PID(), unix.SIGTERM) // it may have ended; it ends its children itself
	group := -p.PID()
	select {
	case <-p.done:
	case <-time.After(stopTime):
		_ = unix.Kill(group, unix.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end in %v and was killed", p.Name, stopTime)
	}
	_ = unix.Kill(group, unix.SIGKILL) // children that it left
	return nil
}

// Tree returns a process and all that descend from it.
func Tree(root int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, file := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		fields, err := statFields(pid)
		if err != nil {
			continue // it has ended meanwhile
		}
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
	}
	tree := []int{root}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}

// Command returns the name of a process's program.
func Command(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(text)), err
}

// statFields returns the fields of /proc/PID/stat from the third on: state, parent and so on.
func statFields(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	after := text[bytes.LastIndexByte(text, ')')+1:] // the name may hold anything
	fields := strings.Fields(string(after))
	if len(fields) < 13 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields, nil
}

// CPU returns the user and system time of processes, of threads that have ended too. It is what
// /proc/PID/stat says, to the nanosecond and not to the tick.
func CPU(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|cpuClockOfProcess), &ts); err != nil {
			return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// cpuClockOfProcess makes a process id a clock, as clock_getcpuclockid(3) does.
const cpuClockOfProcess = 2

// PSS returns the memory of processes in bytes: their own pages, and their share of shared ones.
func PSS(pids []int) (sum int64, err error) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		_, after, ok := strings.Cut(string(text), "\nPss:")
		fields := strings.Fields(after)
		if !ok || len(fields) == 0 {
			return 0, fmt.Errorf("memory of process %d: no Pss in smaps_rollup", pid)
		}
		kb, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		sum += kb << 10
	}
	return sum, nil
}

// Own returns the CPU time of this process.
func Own() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// Dropped returns how many datagrams the kernel dropped for want of room in the UDP socket at an IPv4
// address.
func Dropped(at netip.AddrPort) (uint64, error) {
	text, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return 0, err
	}
	a := at.Addr().As4()
	local := fmt.Sprintf("%08X:%04X", binary.LittleEndian.Uint32(a[:]), at.Port())
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) >= 13 && fields[1] == local {
			return strconv.ParseUint(fields[12], 10, 64)
		}
	}
	return 0, fmt.Errorf("no UDP socket at %s", at)
}

// maxSaid is how much of a program's output is kept.
const maxSaid = 8 << 10

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex // guards what follows
	text []byte
}

// Write is for io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - maxSaid; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// ErrEnded is the error of a program that ended while it was to answer.
var ErrEnded = errors.New("it ended by itself")
