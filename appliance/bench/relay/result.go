package main

import (
	"fmt"
	"io"
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
	cpu       time.Duration
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

// clean reports whether the relay kept up and was left alone. If it was kept from its CPU for long, it
// then had many packets at a time and cost less than it does.
func (r result) clean() bool {
	return r.late == 0 && r.p50 < maxMedian && 1000*r.got > 995*r.sent
}

// maxMedian is well above what any relay needs that is not short of CPU.
const maxMedian = 5 * time.Millisecond

func (r result) String() string {
	return fmt.Sprintf("%-10s %5d calls: %6.2f µs/packet, p50 %v, p99 %v, %d of %d packets, %d wrong, %d late, %d kB",
		r.relay, r.calls, float64(r.perPacket())/1e3, r.p50, r.p99, r.got, r.sent, r.wrong, r.late, r.pss)
}

// better prefers clean measurements, then low ones.
func better(a, b result) bool {
	if a.clean() != b.clean() {
		return a.clean()
	}
	return a.perPacket() < b.perPacket()
}

// printTable writes the lowest of each relay's repeats, and the ratio to the first relay.
func printTable(w io.Writer, all []result) {
	type key struct {
		relay string
		calls int
	}
	lowest := map[key]result{}
	var order []key
	for _, r := range all {
		k := key{r.relay, r.calls}
		old, ok := lowest[k]
		if !ok {
			order = append(order, k)
		}
		if !ok || better(r, old) {
			lowest[k] = r
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "calls\trelay\tCPU µs/packet\tcheaper by\tp50 µs\tp99 µs\tlost %\tPSS MB\tclean\t")
	for _, k := range order {
		r := lowest[k]
		first := r
		for _, o := range order {
			if o.calls == k.calls {
				first = lowest[o]
				break
			}
		}
		fmt.Fprintf(t, "%d\t%s\t%.2f\t%.2f\t%d\t%d\t%.2f\t%.1f\t%v\t\n", k.calls, k.relay, float64(r.perPacket())/1e3,
			float64(first.perPacket())/float64(max(r.perPacket(), 1)), r.p50.Microseconds(), r.p99.Microseconds(),
			100-100*float64(r.got)/float64(max(r.sent, 1)), float64(r.pss)/1024, r.clean())
	}
	_ = t.Flush() // to standard output
}
