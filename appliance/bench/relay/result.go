package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one measurement.
type result struct {
	relay     string
	calls     int
	sent, got uint64
	wrong     uint64 // packets that came to the wrong caller
	late      uint64
	cpu       time.Duration // of the relay's processes
	path      time.Duration // of these and of the kernel, from the sender to the relay's way out
	p50, p99  time.Duration
	pss       int // kilobytes
}

// perPacket is the relay's CPU time for one packet that it delivered.
func (r result) perPacket() time.Duration {
	if r.got == 0 {
		return 0
	}
	return r.cpu / time.Duration(r.got)
}

// wholePath is the CPU time for one packet on all its way.
func (r result) wholePath() time.Duration {
	if r.got == 0 {
		return 0
	}
	return r.path / time.Duration(r.got)
}

// clean reports whether the relay kept up and was left alone. If it was kept from its CPU for long, it
// then had many packets at a time and cost less than it does.
func (r result) clean() bool {
	return r.late == 0 && r.p50 < maxMedian && 1000*r.got > 995*r.sent
}

// maxMedian is well above what any relay needs that is not short of CPU.
const maxMedian = 5 * time.Millisecond

func (r result) String() string {
	return fmt.Sprintf("%-10s %5d calls: %6.2f µs/packet, %6.2f on all its way, p50 %v, p99 %v, %d of %d packets, %d wrong, %d late, %d kB",
		r.relay, r.calls, float64(r.perPacket())/1e3, float64(r.wholePath())/1e3, r.p50, r.p99, r.got, r.sent, r.wrong, r.late, r.pss)
}

// better prefers clean measurements, then low ones.
func better(a, b result) bool {
	if a.clean() != b.clean() {
		return a.clean()
	}
	return a.wholePath() < b.wholePath()
}

type rowKey struct {
	relay string
	calls int
}

// printTable writes the lowest of each relay's repeats, what it adds to the cable alone, and the ratios
// to the first relay of its kind.
func printTable(w io.Writer, all []result) {
	lowest := map[rowKey]result{}
	var order []rowKey
	for _, r := range all {
		k := rowKey{r.relay, r.calls}
		old, ok := lowest[k]
		if !ok {
			order = append(order, k)
		}
		if !ok || better(r, old) {
			lowest[k] = r
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "calls\trelay\tCPU µs/packet\tcheaper by\tadded µs\tcheaper by\tp50 µs\tp99 µs\tadded p99 µs\tlost %\tPSS MB\tclean\t")
	first := map[rowKey]result{} // by the kind of relay: with SRTP, or without
	for _, k := range order {
		r, cable := lowest[k], lowest[rowKey{cableName, k.calls}]
		kind := rowKey{srtpTitle(strings.HasSuffix(k.relay, srtpTitle(true))), k.calls}
		if _, ok := first[kind]; !ok && k.relay != cableName {
			first[kind] = r
		}
		f := first[kind]
		added, addedP99, addedBy := "–", "–", "–"
		if cable.got > 0 && k.relay != cableName {
			added = fmt.Sprintf("%.2f", float64(r.wholePath()-cable.wholePath())/1e3)
			addedP99 = strconv.FormatInt((r.p99 - cable.p99).Microseconds(), 10)
			addedBy = ratio(f.wholePath()-cable.wholePath(), r.wholePath()-cable.wholePath())
		}
		fmt.Fprintf(t, "%d\t%s\t%.2f\t%s\t%s\t%s\t%d\t%d\t%s\t%.2f\t%.1f\t%v\t\n", k.calls, k.relay, float64(r.perPacket())/1e3,
			ratio(f.perPacket(), r.perPacket()), added, addedBy, r.p50.Microseconds(), r.p99.Microseconds(), addedP99,
			100-100*float64(r.got)/float64(max(r.sent, 1)), float64(r.pss)/1024, r.clean())
	}
	_ = t.Flush() // to standard output
}

// ratio says how many times cheaper b is than a. In the kernel a process costs nothing.
func ratio(a, b time.Duration) string {
	if a <= 0 || b <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}
