package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// cpuTime returns user and system time of processes.
func cpuTime(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		one, err := cpuTimeOf(pid)
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}

// threadTime returns the CPU time of a thread of ours (proc(5), schedstat). What the kernel does for a
// frame on the spot is in it: all up to the next queue.
func threadTime(tid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/schedstat", tid))
	if err != nil {
		return 0, err
	}
	onCPU, _, _ := strings.Cut(string(text), " ")
	ns, err := strconv.ParseInt(onCPU, 10, 64)
	return time.Duration(ns), err
}

// cpuTimeOf reads one process (proc(5), fields 14 and 15 of stat).
func cpuTimeOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	const user, system = 14 - 3, 15 - 3
	if len(fields) <= system {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	u, err := strconv.ParseInt(fields[user], 10, 64)
	if err != nil {
		return 0, err
	}
	s, err := strconv.ParseInt(fields[system], 10, 64)
	const clockTick = 10 * time.Millisecond // USER_HZ is 100 on all our machines
	return time.Duration(u+s) * clockTick, err
}

// pss returns the proportional set size of processes in kilobytes.
func pss(pids []int) (sum int, err error) {
	for _, pid := range pids {
		one, err := pssOf(pid)
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}

func pssOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("/proc/%d/smaps_rollup: no Pss", pid)
}
