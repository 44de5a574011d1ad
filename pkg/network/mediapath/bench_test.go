package mediapath

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// streams is what a thousand calls have.
const streams = 2000

func benchFlows(b *bench) (all []ctl.MediaFlow) {
	for i := range uint32(streams) {
		f := b.flow(false)
		f.Slot, f.SSRC, f.Types = i, i, []uint8{0}
		all = append(all, f)
	}
	return all
}

// What netd does each second, at a thousand calls.
func BenchmarkCounts(b *testing.B) {
	t := newBench(b)
	if _, err := t.table.Change(benchFlows(t), nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.table.Counts(); err != nil {
			b.Fatal(err)
		}
	}
}

// A call that changes: both streams are taken, and put again.
func BenchmarkChange(b *testing.B) {
	t := newBench(b)
	all := benchFlows(t)
	if _, err := t.table.Change(all, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.table.Change(nil, []uint32{0, 1}); err != nil {
			b.Fatal(err)
		}
		if _, err := t.table.Change(all[:2], nil); err != nil {
			b.Fatal(err)
		}
	}
}
