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

func profileOne(ctx context.Context, o options, c *contender, r row) error {
	name := strings.NewReplacer(" ", "-", ",", "").Replace(r.title)
	data := filepath.Join(o.profile, name+".perf")
	var pids []string
	for _, part := range r.ours {
		pids = append(pids, strconv.Itoa(c.server.PID(part)))
	}
	length := o.window + time.Second // the load begins meanwhile
	record := exec.CommandContext(ctx, "perf", "record", "-q", "-e", "cpu-clock", "-F", strconv.Itoa(profileRate), "-g",
		"-p", strings.Join(pids, ","), "-o", data, "--", "sleep", strconv.FormatFloat(length.Seconds(), 'f', 1, 64))
	if err := record.Start(); err != nil {
		return err
	}
	m, err := c.measure(ctx, r.trial, o.window)
	err = errors.Join(err, record.Wait())
	if err != nil {
		return err
	}
	if err := c.settle(); err != nil {
		return err
	}
	text := fmt.Sprintf("%s: %s µs of %s, %.0f a second\n", r.title, micros(m.sum(r.ours)), joined(r.ours), m.rate)
	for _, view := range profileViews() {
		out, err := exec.CommandContext(ctx, "perf", append([]string{"report", "--stdio", "-i", data, "-g", "none", "--percent-limit", "0.5"}, view...)...).Output()
		if err != nil {
			return fmt.Errorf("perf report: %w", err)
		}
		text += "\n# " + strings.Join(view, " ") + "\n" + withoutComments(string(out))
	}
	fmt.Print(text)
	return os.WriteFile(filepath.Join(o.profile, name+".txt"), []byte(text), 0o644)
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
