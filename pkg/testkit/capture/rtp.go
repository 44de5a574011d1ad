package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// Stream names the RTP of one source on one path.
type Stream struct {
	SSRC     uint32
	Src, Dst netip.AddrPort
}

func (s Stream) String() string { return fmt.Sprintf("%08x %s > %s", s.SSRC, s.Src, s.Dst) }

// RTP is one packet of a stream.
type RTP struct {
	At   time.Time
	Seq  uint16
	Type uint8 // payload type
}

// isRTCP tells reports from media on the same port by their packet type (RFC 5761 §4).
func isRTCP(b []byte) bool { return len(b) >= 8 && b[0]>>6 == 2 && b[1] >= 192 && b[1] <= 223 }

func isRTP(b []byte) bool { return len(b) >= 12 && b[0]>>6 == 2 && !isRTCP(b) }

// RTP returns the packets of each stream that was captured, in the order of their times.
func (c *Capture) RTP() map[Stream][]RTP {
	streams := map[Stream][]RTP{}
	for _, p := range c.Packets() {
		if d, ok := p.udp(); ok && isRTP(d.Payload) {
			s := Stream{binary.BigEndian.Uint32(d.Payload[8:]), d.Src, d.Dst}
			streams[s] = append(streams[s], RTP{d.At, binary.BigEndian.Uint16(d.Payload[2:]), d.Payload[1] & 0x7f})
		}
	}
	return streams
}

// RTCP counts the reports between each two ports.
func (c *Capture) RTCP() map[[2]netip.AddrPort]int {
	count := map[[2]netip.AddrPort]int{}
	for _, p := range c.Packets() {
		if d, ok := p.udp(); ok && isRTCP(d.Payload) {
			count[[2]netip.AddrPort{d.Src, d.Dst}]++
		}
	}
	return count
}

// Transit tells how a stream went through the box, from a capture on the box.
type Transit struct {
	In      Stream // as it came
	Packets int
	Lost    int           // came and did not leave
	Delay   time.Duration // the longest in the box
	// Gap is the longest pause that the box made: between two packets that left, of what was one
	// packet time at the source. What the source itself was late is not the box's.
	Gap time.Duration
}

// Transits pairs what came into the box from one time to another with what left it, by source and
// sequence number. ptime is the time between two packets of a source.
func (c *Capture) Transits(ptime time.Duration, from, to time.Time) (all []Transit) {
	came, left := c.bothWays()
	for s, packets := range came {
		t := Transit{In: s}
		before := time.Duration(-1)
		for _, p := range packets {
			if p.At.Before(from) || p.At.After(to) {
				continue
			}
			t.Packets++
			out, ok := left[packetID{s.SSRC, p.Seq}]
			if !ok {
				t.Lost++
				continue
			}
			delay := out.Sub(p.At)
			t.Delay = max(t.Delay, delay)
			if before >= 0 {
				t.Gap = max(t.Gap, ptime+delay-before)
			}
			before = delay
		}
		all = append(all, t)
	}
	return all
}

// packetID tells the packets of a test apart: sources number them on, for far less than 65536.
type packetID struct {
	ssrc uint32
	seq  uint16
}

// bothWays returns the streams that came, and when each packet left.
func (c *Capture) bothWays() (came map[Stream][]RTP, left map[packetID]time.Time) {
	came, left = map[Stream][]RTP{}, map[packetID]time.Time{}
	for _, p := range c.Packets() {
		d, ok := p.udp()
		if !ok || !isRTP(d.Payload) {
			continue
		}
		ssrc, seq := binary.BigEndian.Uint32(d.Payload[8:]), binary.BigEndian.Uint16(d.Payload[2:])
		if d.Out {
			left[packetID{ssrc, seq}] = d.At
		} else {
			s := Stream{ssrc, d.Src, d.Dst}
			came[s] = append(came[s], RTP{d.At, seq, d.Payload[1] & 0x7f})
		}
	}
	return came, left
}
