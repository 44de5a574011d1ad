package offload

import (
	"errors"
	"unsafe"

	"github.com/coraltele/sanchar/pkg/media/relay"
)

// counters are the slots of all flows in memory.
type counters struct{ memory []byte }

// mapped is the length of all slots.
const mapped = int(slotSize) * MaxFlows

var errFull = errors.New("no slot is free")

// allSlots are those that are free when there is no flow.
func allSlots() []uint32 {
	all := make([]uint32, MaxFlows)
	for i := range all {
		all[i] = uint32(i)
	}
	return all
}

// Passed returns what was counted for a bypass of which p is known.
func (c counters) Passed(p relay.Passed) relay.Passed {
	if p.Slot == 0 || p.Slot > MaxFlows {
		return p
	}
	return c.slot(p.Slot - 1).passed(p)
}

func (c counters) slot(i uint32) *Slot {
	return (*Slot)(unsafe.Pointer(&c.memory[i*slotSize]))
}

// passed returns the counts of a slot, for what they are known as. They may go on meanwhile: the numbers
// are those of some moment each.
func (s *Slot) passed(as relay.Passed) relay.Passed {
	return relay.Passed{
		Slot: as.Slot, Rate: as.Rate, Formats: as.Formats, Packets: s.Packets, Bytes: s.Bytes, Strangers: s.Strangers, Last: int64(s.Last),
		Highest: s.Highest, Transit: s.Transit, Jitter: s.Jitter, JitterSum: s.JitterSum, Timed: s.Timed, Blind: as.Blind,
	}
}
