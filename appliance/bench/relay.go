package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/peers"
)

// relaySeconds is the length of one measurement of the relay.
const relaySeconds = 8

// measureRelay runs the benchmark of media, which is a program of its own: it wants namespaces.
func measureRelay(ctx context.Context, o options) ([]table, error) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: the relay is left out: it wants network namespaces, and so root")
		return nil, nil
	}
	seconds, calls := relaySeconds, "100,1000"
	if o.quick {
		seconds, calls = 1, "100"
	}
	cmd := exec.CommandContext(ctx, filepath.Join(o.bin, "relay"), "-mediad", filepath.Join(o.bin, peers.Mediad),
		"-netd", filepath.Join(o.bin, peers.Netd), "-kernel", "-kinds", "-calls", calls, "-seconds", strconv.Itoa(seconds), "-repeats", strconv.Itoa(o.repeats))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it removes its namespaces
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	t, err := relayTable(string(out))
	if err != nil {
		return nil, err
	}
	t.note = fmt.Sprintf("µs of CPU for a packet of 172 bytes, 50 a second each way; lowest of %d measurements of %d s in turn. First what the relay's "+
		"processes take, then what a packet costs on all its way, in the kernel too, above a cable alone. `kernel` is mediad and netd with the kernel "+
		"passing media on by its program, `nftables` the same two by the packet filter; with `srtp` packets go one way, plain in and protected out, `transcoded` from PCMU to PCMA, one way too; `recorded` keeps both ways on disk. Aims: mediad 2 times cheaper at 100 calls, 1.4 times at 1,000; of what is added, "+
		"the kernel 15 times with a p99 of at most 50 µs, nftables 4 times; with SRTP 1.3 times, recorded 1.2 times.", o.repeats, seconds)
	return []table{t}, nil
}

// relayTable reads the columns that the program prints.
func relayTable(out string) (table, error) {
	columns := regexp.MustCompile(` {2,}`)
	var lines [][]string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, columns.Split(line, -1))
		}
	}
	if len(lines) < 2 {
		return table{}, errors.New("relay printed no table")
	}
	return table{title: "Relay", head: lines[0], rows: lines[1:]}, nil
}
