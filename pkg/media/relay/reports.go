package relay

import (
	"time"

	"github.com/coraltele/sanchar/pkg/rtp/rtcp"
	"github.com/coraltele/sanchar/pkg/rtp/stats"
)

// reports remembers the sender reports that went to a party, so that the round trip between box and
// party can be told when it answers one (RFC 3550 §6.4.1).
type reports struct {
	sent [4]struct { // more are never on the way: they are seconds apart
		mid uint32
		at  int64
	}
	next int
}

func (r *reports) add(mid uint32, at int64) {
	r.sent[r.next].mid, r.sent[r.next].at = mid, at
	r.next = (r.next + 1) % len(r.sent)
}

// roundTrip returns how long ago the sender report with this LSR went out, less the party's delay.
func (r *reports) roundTrip(lsr, delay uint32, now int64) (time.Duration, bool) {
	if lsr == 0 {
		return 0, false
	}
	for _, s := range r.sent {
		if s.at != 0 && s.mid == lsr {
			held := time.Duration(uint64(delay) * uint64(time.Second) >> 16)
			return max(0, time.Duration(now-s.at)-held), true
		}
	}
	return 0, false
}

// report reads RTCP from the party on its way to to.
func (s *Stream) report(compound []byte, to *Stream, now int64) {
	if s.terms.Secure || s.state.Encrypted {
		return
	}
	for p, rest := rtcp.Split(compound); p != nil; p, rest = rtcp.Split(rest) {
		if mid, ok := p.SenderTime(); ok && to != nil {
			to.reports.add(mid, now)
		}
		for i := range p.Reports() {
			s.received(p.Report(i), now)
		}
	}
}

// received counts what the party says of the media that went to it.
func (s *Stream) received(r rtcp.Report, now int64) {
	st := &s.state
	if rtt, ok := s.reports.roundTrip(r.LastSR, r.Delay, now); ok {
		st.RoundTrip = rtt
	}
	if st.LostOutOf != r.SSRC {
		st.LostOutOf, st.LostOutLast = r.SSRC, 0
	}
	st.LostOut += int64(r.Lost - st.LostOutLast)
	st.LostOutLast = r.Lost
	if rate := s.rate(); rate != 0 {
		st.JitterOutSum += stats.Ticks(r.Jitter, rate)
		st.JitterOuts++
	}
}

// rate returns the clock of the party's first format: what it hears is of the same kind.
func (s *Stream) rate() uint32 {
	if len(s.terms.Formats) == 0 {
		return 0
	}
	return s.terms.Formats[0].ClockRate
}
