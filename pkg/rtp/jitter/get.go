package jitter

import "time"

// Spurt and pace, in frames.
const (
	// giveUp is how many frames are made up without any packet until the talk spurt counts as over.
	giveUp = 5
	// calm is by how many frames the delay may be too long before it is cut in a quiet place,
	// and urgent before it is cut anywhere.
	calm   = 2
	urgent = 5
)

// Get says what is to be played now. Quiet tells that what was played last was nearly silent, where a
// change of the delay is not heard. The item's payload is the buffer's, until the next call of Put or Get.
func (b *Buffer) Get(at time.Duration, quiet bool) Item {
	now := b.ticks(at)
	if !b.running && !b.begin(now) {
		return Item{Kind: Silence, Ticks: uint32(b.frame)}
	}
	b.shorten(now, quiet)
	s := b.slot(b.next)
	switch {
	case s == nil:
		return b.without(now)
	case s.timestamp > b.position: // packets follow each other but their times don't: silence between
		if now-b.delay.base()-s.timestamp < b.delay.target {
			return Item{Kind: Silence, Ticks: uint32(min(b.frame, s.ticks))}
		}
	case b.late(now, quiet):
		b.stats.Stretched++
		return Item{Kind: Missing, Ticks: uint32(b.frame)}
	}
	return b.play(s)
}

// slot returns the packet of this number, if it waits.
func (b *Buffer) slot(sequence int64) *slot {
	if s := &b.slots[sequence&(slots-1)]; s.used && s.sequence == sequence {
		return s
	}
	return nil
}

func (b *Buffer) play(s *slot) Item {
	s.used = false
	b.next, b.position, b.filled = s.sequence+1, s.timestamp+s.ticks, 0
	b.stats.Played++
	item := Item{Kind: Play, Ticks: uint32(s.ticks), Payload: s.payload, Skipped: b.skipped}
	b.skipped = false
	return item
}

// begin starts a talk spurt when its first packet has waited for the delay.
func (b *Buffer) begin(now int64) bool {
	first := b.first(0)
	if first == nil || now-b.delay.base()-first.timestamp < b.delay.target {
		return false
	}
	b.running, b.next, b.position, b.filled = true, first.sequence, first.timestamp, 0
	return true
}

// first returns the waiting packet with the lowest sequence number from this one on.
func (b *Buffer) first(from int64) (first *slot) {
	for i := range b.slots {
		if s := &b.slots[i]; s.used && s.sequence >= from && (first == nil || s.sequence < first.sequence) {
			first = s
		}
	}
	return first
}

// without says what to do while the next packet is not there.
func (b *Buffer) without(now int64) Item {
	behind := b.first(b.next)
	if behind == nil {
		// Nothing at all came. It may be late, so the position stays: the delay grows by what is made up.
		if b.filled >= giveUp*b.frame {
			b.running = false
			return Item{Kind: Silence, Ticks: uint32(b.frame)}
		}
		b.filled += b.frame
		return Item{Kind: Missing, Ticks: uint32(b.frame)}
	}
	gap := behind.timestamp - b.position
	if gap <= 0 || now-b.delay.base()-behind.timestamp >= b.delay.target {
		// What was lost is filled already: go on behind it.
		b.stats.Lost += uint64(behind.sequence - b.next)
		return b.play(behind)
	}
	length := min(gap, b.frame)
	item := Item{Kind: Missing, Ticks: uint32(length)}
	if gap == length && behind.sequence == b.next+1 {
		item.Payload = behind.payload
	}
	if b.position += length; gap == length {
		b.stats.Lost += uint64(behind.sequence - b.next)
		b.next = behind.sequence
	}
	b.filled += length
	return item
}

// shorten leaves packets out while the delay is too long. One that stands alone is never left out: there
// is nothing to go on with.
func (b *Buffer) shorten(now int64, quiet bool) {
	limit := int64(urgent)
	if quiet {
		limit = calm
	}
	for range slots {
		s := b.slot(b.next)
		if s == nil || b.slot(b.next+1) == nil || now-b.delay.base()-b.position-b.delay.target < limit*b.frame {
			return
		}
		s.used, b.skipped = false, true
		b.next, b.position = b.next+1, s.timestamp+s.ticks
		b.stats.Skipped++
		limit = 1 // once it is cut, it is cut to what is right
	}
}

// late reports whether the delay is so much too short that a frame is put in.
func (b *Buffer) late(now int64, quiet bool) bool {
	short := b.delay.target - (now - b.delay.base() - b.position)
	if quiet {
		return short >= b.frame
	}
	return short >= calm*b.frame
}
