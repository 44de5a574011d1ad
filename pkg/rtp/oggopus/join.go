package oggopus

// Single reports whether a packet has one frame: only such can be joined.
func Single(packet []byte) bool {
	return len(packet) > 0 && packet[0]&3 == 0 && len(packet) <= maxJoined
}

// maxJoined is the longest packet that can be joined: one frame, and its configuration (RFC 6716 §3.4).
const maxJoined = 1276

// Join appends a packet of a file that is split: that of the left channel, which tells its own length
// (RFC 6716 appendix B), then that of the right. Both are Single and of the same length in time.
func Join(dst, left, right []byte) []byte {
	dst = append(dst, left[0])
	n := len(left) - 1
	if n < 252 { // RFC 6716 §3.2.1
		dst = append(dst, byte(n))
	} else {
		dst = append(dst, byte(252+n&3), byte((n-252)>>2))
	}
	dst = append(dst, left[1:]...)
	return append(dst, right...)
}

// Cut takes a packet of a file that is split apart. It reports false if it is none.
func Cut(packet []byte) (left, right []byte, ok bool) {
	if len(packet) < 3 || packet[0]&3 != 0 {
		return nil, nil, false
	}
	n, at := int(packet[1]), 2
	if n >= 252 {
		n, at = n+4*int(packet[2]), 3
	}
	if len(packet) <= at+n {
		return nil, nil, false
	}
	return append([]byte{packet[0]}, packet[at:at+n]...), packet[at+n:], true
}
