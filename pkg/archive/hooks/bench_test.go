package hooks

import (
	"fmt"
	"testing"

	"github.com/coraltele/sanchar/pkg/record"
)

// BenchmarkTell measures an event from the archive to a target on this machine, signed, over TLS.
func BenchmarkTell(b *testing.B) {
	r, g := start(b), newTarget(b)
	r.hook(g, g.spec("CRM"))
	const batch = 100
	told := 0
	b.ReportAllocs()
	for b.Loop() {
		all := make([]record.Envelope, batch)
		for i := range all {
			all[i] = envelope(message("asha", "vikram", fmt.Sprint("a message of some words, number ", told+i)))
		}
		if _, err := r.archive.Store(b.Context(), all); err != nil {
			b.Fatal(err)
		}
		told += batch
		for range batch {
			<-g.news
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(told), "µs/event")
}
