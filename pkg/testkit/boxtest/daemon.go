package boxtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// PID returns the process id of one of the box's daemons.
func (b *Box) PID(daemon string) int {
	b.t.Helper()
	pid := b.find(daemon)
	if pid == 0 {
		b.t.Fatalf("%s does not run", daemon)
	}
	return pid
}

// find looks for a daemon among the children of `sanchar dev`; 0 is none.
func (b *Box) find(daemon string) int {
	b.t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		// proc_pid_stat(5): pid (comm) state ppid
		open, shut := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
		rest := strings.Fields(string(text[shut+1:]))
		if string(text[open+1:shut]) == daemon && rest[1] == strconv.Itoa(b.prog.PID()) && rest[0] != "Z" {
			pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:open]))) // the kernel wrote it
			return pid
		}
	}
	return 0
}

// lookEvery is how often a daemon's successor is looked for. To look costs the processor time that
// the calls of the test need.
const lookEvery = 20 * time.Millisecond

// Kill ends a daemon with SIGKILL and returns when its successor runs.
func (b *Box) Kill(daemon string) {
	b.t.Helper()
	old := b.PID(daemon)
	b.signal(old, syscall.SIGKILL)
	b.awaitRun(daemon, old)
}

// TakeAway ends a daemon and keeps the supervisor from starting it again until giveBack is called,
// which returns when it runs. The box has programs of its own (Config.Bin).
func (b *Box) TakeAway(daemon string) (giveBack func()) {
	b.t.Helper()
	here := filepath.Join(b.bin, daemon)
	away := here + ".away"
	if err := os.Rename(here, away); err != nil {
		b.t.Fatal(err)
	}
	b.signal(b.PID(daemon), syscall.SIGKILL)
	return func() {
		b.t.Helper()
		if err := os.Rename(away, here); err != nil {
			b.t.Fatal(err)
		}
		b.awaitRun(daemon, 0)
	}
}

// awaitRun waits until a daemon runs that is not the old process.
func (b *Box) awaitRun(daemon string, old int) {
	b.t.Helper()
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(lookEvery) {
		if pid := b.find(daemon); pid != 0 && pid != old {
			return
		}
		if time.Now().After(until) {
			b.t.Fatalf("%s was not started again", daemon)
		}
	}
}

func (b *Box) signal(pid int, s syscall.Signal) {
	b.t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		b.t.Fatalf("signal %v to %d: %v", s, pid, err)
	}
}

// Memory returns what a daemon has in memory of its own, in bytes: not the program's text and mapped
// files, whose share depends on which other boxes run.
func (b *Box) Memory(daemon string) int {
	b.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", b.PID(daemon)))
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Anonymous:"); ok {
			kB, _ := strconv.Atoi(strings.Fields(rest)[0]) // the kernel wrote it
			return kB << 10
		}
	}
	b.t.Fatal("no Anonymous in smaps_rollup")
	return 0
}
