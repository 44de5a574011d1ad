package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/peers"
)

// profileRate is how often a second perf looks: often enough for 1 % in a window, and not in step
// with the kernel's tick.
const profileRate = 1499

// profile records where the box spends its time under each load, from outside by perf: the daemons
// need no port for it.
func profile(ctx context.Context, o options) (err error) {
	if _, err := exec.LookPath("perf"); err != nil {
		return errors.New("perf is not installed: apt-get install linux-perf")
	}
	if err := os.MkdirAll(o.profile, 0o755); err != nil {
		return err
	}
	b, err := peers.StartBox(ctx, o.bin, udpUsers+tcpUsers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	c, err := newContender(ctx, b, o, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	done := map[trial]bool{}
	for _, r := range rows() {
		if done[r.trial] {
			continue
		}
		done[r.trial] = true
		if err := profileOne(ctx, o, c, r); err != nil {
			return fmt.Errorf("%s: %w", r.title, err)
		}
	}
	return nil
}

// profileOne makes two runs: one to see where time goes, one to count system calls.
func profileOne(ctx context.Context, o options, c *contender, r row) error {
	base := filepath.Join(o.profile, strings.NewReplacer(" ", "-", ",", "").Replace(r.title))
	var text strings.Builder
	for _, part := range r.ours {
		data, calls := base+"."+part+".perf", base+"."+part+".stat"
		m, err := underLoad(ctx, o, c, r.trial, "record", "-q", "-e", "cpu-clock", "-F", strconv.Itoa(profileRate), "-g", "-o", data, "-p", c.pid(part))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s: %s µs of %s, %.0f a second\n", r.title, micros(m.cost[part]), part, m.rate)
		for _, view := range profileViews() {
			out, err := exec.CommandContext(ctx, "perf", append([]string{"report", "--stdio", "-i", data, "-g", "none", "--percent-limit", "0.5"}, view...)...).Output()
			if err != nil {
				return fmt.Errorf("perf report: %w", err)
			}
			text.WriteString("\n# " + strings.Join(view, " ") + "\n" + withoutComments(string(out)))
		}
		m, err = underLoad(ctx, o, c, r.trial, "stat", "-x", ";", "-e", systemCalls(), "-o", calls, "-p", c.pid(part))
		if err != nil {
			return err
		}
		counted, err := perOperation(calls, m.seen.Done)
		if err != nil {
			return err
		}
		text.WriteString("\n# system calls of an operation\n" + counted)
	}
	fmt.Print(text.String())
	return os.WriteFile(base+".txt", []byte(text.String()), 0o644)
}

func (c *contender) pid(part string) string { return strconv.Itoa(c.server.PID(part)) }

// underLoad runs perf while the contender is loaded.
func underLoad(ctx context.Context, o options, c *contender, t trial, perf ...string) (*measurement, error) {
	cmd := exec.CommandContext(ctx, "perf", append(perf, "--", "sleep", strconv.FormatFloat((o.window+time.Second).Seconds(), 'f', 1, 64))...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	time.Sleep(200 * time.Millisecond) // it opens its events
	m, err := c.measure(ctx, t, o.window)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("perf %s: %w", perf[0], err)
	}
	time.Sleep(portRest)
	return m, c.settle()
}

// systemCalls are those that a server makes while it serves.
func systemCalls() string {
	var events []string
	for _, name := range []string{
		"futex", "nanosleep", "epoll_pwait", "recvmmsg", "sendmmsg", "sendmsg", "read", "write", "pwrite64", "fdatasync", "fsync",
		"socket", "bind", "close", "setsockopt", "io_uring_enter", "sched_yield", "madvise", "openat",
	} {
		events = append(events, "syscalls:sys_enter_"+name)
	}
	return strings.Join(events, ",")
}

// perOperation reads what perf stat counted.
func perOperation(file string, operations uint64) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(line, ";")
		if len(fields) < 3 {
			continue
		}
		n, err := strconv.ParseFloat(fields[0], 64)
		if name, ok := strings.CutPrefix(fields[2], "syscalls:sys_enter_"); ok && err == nil && n > 0 {
			fmt.Fprintf(&b, "%10.3f %s\n", n/float64(operations), name)
		}
	}
	return b.String(), nil
}

// profileViews are the questions to a profile: kernel or program, which functions, and which with
// all that they call.
func profileViews() [][]string {
	return [][]string{
		{"--no-children", "--sort", "comm,dso"},
		{"--no-children", "--sort", "symbol"},
		{"--children", "--sort", "symbol"},
	}
}

func withoutComments(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			b.WriteString(line)
		}
	}
	return b.String()
}
