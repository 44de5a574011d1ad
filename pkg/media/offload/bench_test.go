package offload

import (
	"net/netip"
	"testing"
	"time"
)

// What a packet costs in the program alone: one that is passed on, with and without a checksum, and one
// that is not ours.
func BenchmarkProgram(b *testing.B) {
	for name, w := range worlds() {
		for _, c := range []struct {
			name string
			edit func(*datagram)
		}{
			{"passed on", func(*datagram) {}},
			{"without checksum", func(d *datagram) { d.noSum = true }},
			{"other", func(d *datagram) { d.dst = netip.AddrPortFrom(d.dst.Addr(), 20002) }},
		} {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				p, m := loaded(b)
				w.from, w.to = w.peer, w.local // what goes out is what came in, so that it can come again
				w.started(b, m)
				d := w.datagram()
				d.hops = 255
				c.edit(&d)
				const repeat = 250 // until its hops are used up
				var sum time.Duration
				for range b.N {
					_, one, err := p.Benchmark(d.frame(), repeat, b.ResetTimer)
					if err != nil {
						b.Fatal(err)
					}
					sum += one
				}
				b.ReportMetric(float64(sum.Nanoseconds())/float64(b.N), "ns/packet")
			})
		}
	}
}
