// Package stats judges a stream by what arrives: loss and jitter as RFC 3550 counts them, and the
// quality that a listener would give it.
package stats

import "time"

// Limits of RFC 3550 §A.1: a sequence number further ahead than maxDropout, or further behind than
// maxMisorder, is of a sender that has started again.
const (
	maxDropout  = 3000
	maxMisorder = 100
)

// maxStep bounds how far the time between two packets may differ from that between their timestamps.
// Beyond it the sender has a new time line, for instance after a hold, and it is no jitter.
const maxStep = time.Second

// Receiver counts one incoming stream. Its fields are its whole state, so that it can be kept over a
// restart; they are read by its methods. The zero value is ready.
type Receiver struct {
	Packets uint64 // all, of all sources
	Before  uint64 // lost of sources, or of runs of a source, that ended

	SSRC     uint32
	Started  bool
	Base     uint32 // first sequence number of the run
	Highest  uint32 // highest one, extended by its wraps
	Received uint32 // packets of the run
	Resume   uint32 // sequence number that would prove a new run; above 65535 for none

	Rate      uint32 // of the clock that Transit is in; 0 before the first timed packet
	Transit   uint32 // arrival less timestamp, in ticks
	Jitter    uint32 // in 1/16 ticks (RFC 3550 §A.8)
	JitterSum uint64 // of the jitter after each packet, in nanoseconds
	Timed     uint64 // packets in JitterSum
}

// Break ends the run: what comes next was not seen from the start, so nothing before it counts as lost.
func (r *Receiver) Break() {
	r.Before += r.lostInRun()
	r.Started = false
}

// none is no sequence number.
const none = 1 << 16

// Packet counts a packet.
func (r *Receiver) Packet(ssrc uint32, seq uint16) {
	r.Packets++
	if !r.Started || ssrc != r.SSRC {
		r.Rate = 0
		r.run(ssrc, seq)
		return
	}
	switch ahead := seq - uint16(r.Highest); {
	case ahead < maxDropout:
		r.Highest += uint32(ahead)
	case ahead <= 1<<16-1-maxMisorder:
		if uint32(seq) != r.Resume {
			r.Resume = uint32(seq + 1)
			r.Packets-- // not counted until a second one follows it
			return
		}
		r.Packets++ // now both
		r.run(ssrc, seq-1)
		r.Highest++
		r.Received++
		return
	}
	r.Resume = none
	r.Received++
}

// run starts to count anew, with seq as the first.
func (r *Receiver) run(ssrc uint32, seq uint16) {
	r.Break()
	r.SSRC, r.Started, r.Base, r.Highest, r.Received, r.Resume = ssrc, true, uint32(seq), uint32(seq), 1, none
}

// Time counts the arrival, in nanoseconds of a steady clock, of the packet with this timestamp of a
// clock of rate ticks a second (RFC 3550 §A.8). It is not called for packets whose timestamp does not
// tell when they were sent, such as those of an event (RFC 4733 §2.2.1).
func (r *Receiver) Time(timestamp, rate uint32, arrival int64) {
	if rate == 0 {
		return
	}
	ticks := uint32(uint64(arrival)/1e9*uint64(rate) + uint64(arrival)%1e9*uint64(rate)/1e9)
	transit := ticks - timestamp
	if rate != r.Rate {
		r.Rate, r.Transit, r.Jitter = rate, transit, 0
		return
	}
	step := int64(int32(transit - r.Transit))
	r.Transit = transit
	if step < 0 {
		step = -step
	}
	if step > int64(rate)*int64(maxStep/time.Second) {
		return
	}
	r.Jitter += uint32(step) - (r.Jitter+8)>>4
	r.JitterSum += uint64(r.Jitter) * (1e9 / 16) / uint64(rate)
	r.Timed++
}

func (r *Receiver) lostInRun() uint64 {
	if !r.Started {
		return 0
	}
	// Duplicates count as received (RFC 3550 §A.3), so the difference can be below zero.
	return uint64(max(0, int64(r.Highest-r.Base)+1-int64(r.Received)))
}

// Lost returns how many packets did not come (RFC 3550 §A.3), over all sources.
func (r *Receiver) Lost() uint64 { return r.Before + r.lostInRun() }

// MeanJitter returns the mean of the interarrival jitter.
func (r *Receiver) MeanJitter() time.Duration {
	if r.Timed == 0 {
		return 0
	}
	return time.Duration(r.JitterSum / r.Timed)
}

// Ticks returns the time that ticks of a clock of this rate take.
func Ticks(ticks, rate uint32) time.Duration {
	if rate == 0 {
		return 0
	}
	return time.Duration(uint64(ticks) * 1e9 / uint64(rate))
}
