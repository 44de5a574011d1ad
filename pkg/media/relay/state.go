package relay

import (
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
	"github.com/coraltele/sanchar/pkg/rtp/stats"
)

// State is all of a stream that the packets change. It holds no pointer and its size is fixed, so
// that it can be kept over a restart by a copy of its memory. Times are of Now.
type State struct {
	RTP, RTCP Peer // filled in by Stream.State
	// Secure is of SRTP and, unless both are on one port, of a second handshake's keys for SRTCP.
	Secure [2]secure.State

	In           stats.Receiver
	BytesIn      uint64
	Out          uint64 // packets sent to the party
	Unsent       uint64 // that the kernel refused to send
	Strangers    uint64 // packets that were not from the proven peer
	Ignored      uint64 // packets of the peer that are not relayed: STUN, and what is no media
	First, Last  int64  // time of the first and the last media packet from the party
	ByFormat     [MaxFormats]uint64
	Foreign      uint64         // packets of formats that were not agreed, from where the party may be
	ForeignType  uint8          // of the last one
	Stranger     udpio.Sockaddr // where the last of the Strangers came from
	Refused      uint64         // protected packets that were not authentic, or came again
	Unkeyed      uint64         // packets that came or should have gone while there were no keys
	Secured      bool           // an authentic packet has come
	Encrypted    bool           // ZRTP was seen: what looks like RTCP cannot be read
	LostOut      int64
	LostOutOf    uint32 // SSRC that LostOutLast is of
	LostOutLast  int32
	JitterOutSum time.Duration
	JitterOuts   uint64
	RoundTrip    time.Duration
	Offloaded    uint64 // packets of In that a bypass passed on
	Passed       Passed // what the bypass had counted when it was last looked at
	// Unseen are packets of In since the last sequence number that was seen; of Unmeasured ones it will
	// never be known what was lost between them.
	Unseen, Unmeasured uint64
}

// Peer is what has been learnt of a peer.
type Peer struct {
	Said, Source, Addr udpio.Sockaddr
	Proven             bool
	SSRC               uint32
	Last, Until        int64
	Checking           bool
	Checks             Checks
}

// State returns a copy of the stream's state.
func (s *Stream) State() State {
	s.catchUp()
	if to := s.route.To; to != nil && to.route.To == s {
		to.catchUp() // for what went out to our party
	}
	st := s.state
	st.RTP, st.RTCP = s.base.rtp.peer.keep(), s.base.rtcp.peer.keep()
	return st
}

func (p *peer) keep() Peer {
	return Peer{
		Said: p.said, Source: p.source, Addr: p.addr, Proven: p.proven, SSRC: p.ssrc, Last: p.last, Until: p.until,
		Checking: p.checking, Checks: p.checks,
	}
}

// Remote returns the proven address, if there is one.
func (p *Peer) Remote() netip.AddrPort {
	if !p.Proven {
		return netip.AddrPort{}
	}
	return p.Addr.AddrPort()
}

// JitterOut returns the mean of the jitter that the party reported.
func (st *State) JitterOut() time.Duration {
	if st.JitterOuts == 0 {
		return 0
	}
	return st.JitterOutSum / time.Duration(st.JitterOuts)
}

// MostUsed returns the index of the format of most packets, or -1.
func (st *State) MostUsed() int {
	most := -1
	for i, n := range st.ByFormat {
		if n > 0 && (most < 0 || n > st.ByFormat[most]) {
			most = i
		}
	}
	return most
}
