package main

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// A frame is Ethernet, IPv4, UDP and a G.711 packet of 20 ms whose payload starts with the time at
// which it was sent.
const (
	ipAt      = 14
	udpAt     = ipAt + 20
	rtpAt     = udpAt + 8
	stampAt   = rtpAt + 12
	rtpSize   = 12 + 160
	frameSize = rtpAt + rtpSize
)

// newFrame builds a frame with everything but the changing fields.
func newFrame(dst, src net.HardwareAddr, from, to netip.AddrPort, ssrc uint32) []byte {
	f := make([]byte, frameSize)
	copy(f, dst)
	copy(f[6:], src)
	be := binary.BigEndian
	be.PutUint16(f[12:], 0x0800)
	ip := f[ipAt:udpAt]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	be.PutUint16(ip[2:], frameSize-ipAt)
	copy(ip[12:], from.Addr().AsSlice())
	copy(ip[16:], to.Addr().AsSlice())
	be.PutUint16(ip[10:], headerSum(ip))
	udp := f[udpAt:rtpAt]
	be.PutUint16(udp, from.Port())
	be.PutUint16(udp[2:], to.Port())
	be.PutUint16(udp[4:], 8+rtpSize) // the checksum stays 0: none (RFC 768)
	rtp := f[rtpAt:]
	rtp[0], rtp[1] = 0x80, 0 // version 2, PCMU
	be.PutUint32(rtp[8:], ssrc)
	return f
}

// headerSum is the IPv4 header checksum (RFC 791 §3.1).
func headerSum(h []byte) uint16 {
	var sum uint32
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// next makes frame f the packet after the last one, sent at now (Unix nanoseconds).
func next(f []byte, now int64) {
	be := binary.BigEndian
	rtp := f[rtpAt:]
	be.PutUint16(rtp[2:], be.Uint16(rtp[2:])+1)
	be.PutUint32(rtp[4:], be.Uint32(rtp[4:])+160)
	be.PutUint64(f[stampAt:], uint64(now))
}

// stampHead writes the time, as far as it fits, where SRTP leaves it readable: in place of the timestamp.
func stampHead(f []byte, now int64) { binary.BigEndian.PutUint32(f[rtpAt+4:], uint32(now)) }

// arrival is what a relayed frame says.
type arrival struct {
	port uint16 // of the caller that it came to
	side byte   // last byte of that caller's address
	ssrc uint32
	sent int64  // from the payload
	head uint32 // by stampHead
}

// parse reads a frame that came from the relay.
func parse(f []byte) (a arrival, ok bool) {
	if len(f) < stampAt+8 || f[12] != 0x08 || f[13] != 0 || f[ipAt] != 0x45 || f[ipAt+9] != 17 {
		return arrival{}, false
	}
	be := binary.BigEndian
	return arrival{
		port: be.Uint16(f[udpAt+2:]), side: f[ipAt+19],
		ssrc: be.Uint32(f[rtpAt+8:]), sent: int64(be.Uint64(f[stampAt:])), head: be.Uint32(f[rtpAt+4:]),
	}, true
}
