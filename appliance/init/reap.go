package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// reap waits for processes whose parents died before them: they are the first process's then. Those
// that the supervisor started it waits for itself, by their pids.
func reap(ctx context.Context) {
	gone := make(chan os.Signal, 1)
	signal.Notify(gone, unix.SIGCHLD)
	defer signal.Stop(gone)
	for {
		select {
		case <-ctx.Done():
			return
		case <-gone:
			reapAll("/proc")
		}
	}
}

// reapAll waits for the dead that are in a process group of somebody else: what we start ourselves
// leads its own group.
func reapAll(proc string) {
	stats, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	if err != nil {
		return
	}
	for _, path := range stats {
		if text, err := os.ReadFile(path); err == nil {
			if pid, orphan := deadOrphan(string(text)); orphan {
				_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // another one has waited for it
			}
		}
	}
}

// deadOrphan reads proc(5)'s stat: a zombie whose parent is the first process and that does not lead
// its process group.
func deadOrphan(stat string) (pid int, orphan bool) {
	i := strings.LastIndexByte(stat, ')') // a name may hold anything
	if i < 0 {
		return 0, false
	}
	first, _, _ := strings.Cut(stat, " ")
	pid, err := strconv.Atoi(first)
	fields := strings.Fields(stat[i+1:])
	if err != nil || len(fields) < 3 {
		return 0, false
	}
	return pid, fields[0] == "Z" && fields[1] == "1" && fields[2] != first
}
