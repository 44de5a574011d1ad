package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Packet is an IP packet as it went over a wire.
type Packet struct {
	At   time.Time // by the kernel
	Out  bool      // sent by the host
	Data []byte    // from the IP header on
}

// Datagram is a UDP packet.
type Datagram struct {
	At       time.Time
	Out      bool
	Src, Dst netip.AddrPort
	Payload  []byte
}

// udp reads a packet as UDP. Fragments but the first have no ports and are left out.
func (p Packet) udp() (d Datagram, ok bool) {
	b := p.Data
	d.At, d.Out = p.At, p.Out
	var src, dst netip.Addr
	switch {
	case len(b) >= 28 && b[0]>>4 == 4 && b[9] == unix.IPPROTO_UDP && binary.BigEndian.Uint16(b[6:])&0x1fff == 0:
		src, dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		b = b[int(b[0]&15)*4:]
	case len(b) >= 48 && b[0]>>4 == 6 && b[6] == unix.IPPROTO_UDP:
		src, dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		b = b[40:]
	default:
		return d, false
	}
	if len(b) < 8 {
		return d, false
	}
	d.Src, d.Dst = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)), netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	d.Payload = b[8:]
	return d, true
}

// Peers returns all addresses that the host sent to or heard from, with one packet of each.
func (c *Capture) Peers() map[netip.Addr]string {
	peers := map[netip.Addr]string{}
	for _, p := range c.Packets() {
		var src, dst netip.Addr
		switch b := p.Data; {
		case len(b) >= 20 && b[0]>>4 == 4:
			src, dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		case len(b) >= 40 && b[0]>>4 == 6:
			src, dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		default:
			continue
		}
		peer := src
		if p.Out {
			peer = dst
		}
		peers[peer] = fmt.Sprintf("%s > %s, %d bytes", src, dst, len(p.Data))
	}
	return peers
}
