package secure

import "time"

// graceTime is how long a key is still understood after a party has been given another: what it sent
// before it knew is on the way, and its answer takes the time of a round trip (RFC 4568 §7.1.4).
const graceTime = 10 * time.Second

// Keys protect both directions between a party and the box. They are used by one goroutine.
type Keys struct {
	in     *In
	out    *Out
	rx, tx Master

	before *In // by the key before, if there was one
	until  int64
	copied []byte
}

// NewKeys returns what opens packets of the master rx and protects them by tx. What the packets change is
// in st.
func NewKeys(rx, tx Master, st *State) (*Keys, error) {
	in, err := NewIn(rx, &st.In)
	if err != nil {
		return nil, err
	}
	out, err := NewOut(tx, &st.Out)
	if err != nil {
		return nil, err
	}
	return &Keys{in: in, out: out, rx: rx, tx: tx}, nil
}

// Are reports whether these are the keys of rx and tx.
func (k *Keys) Are(rx, tx *Master) bool { return k.rx.Equal(rx) && k.tx.Equal(tx) }

// Suite is how packets to the party are protected.
func (k *Keys) Suite() Suite { return k.tx.Suite }

// Follow makes k the successor of other keys of the same state: what they protected is understood for a
// while. RFC 3711 §3.3.1, not followed: with a new key of ours the counters begin at zero, as a new
// handshake demands and as phones in the field do that were given one in SDP.
func (k *Keys) Follow(before *Keys, st *State, now int64) {
	if !k.rx.Equal(&before.rx) {
		past := st.In
		before.in.state = &past
		k.before, k.until = before.in, now+int64(graceTime)
		st.In.Rekey()
	}
	if !k.tx.Equal(&before.tx) {
		st.Out = OutState{}
	}
}

// grace reports whether the key before is still understood.
func (k *Keys) grace(now int64) bool {
	if k.before == nil {
		return false
	}
	if now >= k.until {
		k.before, k.copied = nil, nil
		return false
	}
	return true
}

// OpenRTP opens an SRTP packet in place.
func (k *Keys) OpenRTP(p []byte, now int64) ([]byte, Verdict) {
	if !k.grace(now) {
		return k.in.RTP(p)
	}
	k.copied = append(k.copied[:0], p...)
	if clear, v := k.in.RTP(p); v != Forged {
		return clear, v
	}
	return k.before.RTP(p[:copy(p, k.copied)])
}

// OpenRTCP opens an SRTCP packet in place.
func (k *Keys) OpenRTCP(p []byte, now int64) ([]byte, Verdict) {
	if !k.grace(now) {
		return k.in.RTCP(p)
	}
	k.copied = append(k.copied[:0], p...)
	if clear, v := k.in.RTCP(p); v != Forged {
		return clear, v
	}
	return k.before.RTCP(p[:copy(p, k.copied)])
}

// RTP protects a packet in place, as Out does.
func (k *Keys) RTP(p []byte) ([]byte, bool) { return k.out.RTP(p) }

// RTCP protects a compound in place, as Out does.
func (k *Keys) RTCP(p []byte) ([]byte, bool) { return k.out.RTCP(p) }
