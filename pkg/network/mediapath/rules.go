package mediapath

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Names in the table.
const (
	chain4, chain6 = "pass4", "pass6"
	flows4, flows6 = "flows4", "flows6"
)

// rule is what is done with a packet, step by step, as long as each step holds.
type rule []expression

func (r rule) String() string {
	var b strings.Builder
	for _, x := range r {
		b.WriteString("  " + x.text + "\n")
	}
	return b.String()
}

// Types of an Ethernet frame (RFC 894, RFC 2464 §3), and the number of UDP.
const (
	ether4High, ether4Low = 0x08, 0x00
	ether6High, ether6Low = 0x86, 0xdd
	udp                   = 17
)

// entrance is what each interface has: it lets plain UDP packets to this machine in, of both versions of
// IP. All else goes up the stack untouched.
func entrance() []rule {
	// Only what is addressed to this machine: a bridge's port sees all else too. A tagged frame, which
	// comes again by its VLAN's own interface, has another type here.
	to := func(high, low byte) rule {
		return rule{loadMeta(packetType, 0), equal(0, unix.PACKET_HOST), load(2, link, 12, 0), equal(0, high, low)}
	}
	return []rule{
		append(to(ether4High, ether4Low),
			// RFC 791 §3.1: no options, no fragment. What may not be passed on any further is for the stack to
			// refuse (§3.2).
			load(12, network, 0, 0), mask(0, 0xff, 0, 0, 0, 0, 0, 0x3f, 0xff, 0, 0xff, 0, 0), equal(0, 0x45, 0, 0, 0, 0, 0, 0, 0, 0, udp, 0, 0),
			load(1, network, 8, 0), compare(0, unix.NFT_CMP_GT, 1),
			goTo(chain4)),
		append(to(ether6High, ether6Low),
			// RFC 8200 §3: UDP without headers between.
			load(8, network, 0, 0), mask(0, 0xf0, 0, 0, 0, 0, 0, 0xff, 0), equal(0, 0x60, 0, 0, 0, 0, 0, udp, 0),
			load(1, network, 7, 0), compare(0, unix.NFT_CMP_GT, 1),
			goTo(chain6)),
	}
}

// rtpKey takes of RTP what tells a flow's packets from all others: the version, the payload type and the
// SSRC (RFC 3550 §5.1). RTCP, STUN, DTLS and ZRTP have other first bytes (RFC 7983 §7) or types.
func rtpKey(to register) []expression {
	return []expression{load(12, transport, 8, to), mask(to, 0xc0, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)}
}

// Where UDP's checksum is in its header (RFC 768), and IPv4's in its own (RFC 791 §3.1).
const udpSum, ip4Sum = 6, 10

// pass4 sends an IPv4 packet of a flow on. A UDP checksum of zero is none and stays so (RFC 768).
func pass4() []rule {
	pass := func(is uint32, ports checksums) rule {
		r := rule{load(2, transport, udpSum, 0), compare(0, is, 0, 0), loadMeta(ifindex, 0), load(8, network, 12, 1), load(4, transport, 0, 3)}
		r = append(r, rtpKey(4)...)
		return append(r, lookup(flows4, 0, 7),
			write(2, 10, network, 0, checksums{at: ip4Sum}),
			write(8, 7, network, 12, checksums{at: ip4Sum, pseudo: true}),
			write(4, 9, transport, 0, ports),
			writeMeta(priority, 11), forward(12, 13, unix.NFPROTO_IPV4))
	}
	return []rule{pass(unix.NFT_CMP_NEQ, checksums{at: udpSum}), pass(unix.NFT_CMP_EQ, checksums{})}
}

// pass6 sends an IPv6 packet of a flow on. What the map gives takes the place of what was looked up. It
// must have a checksum (RFC 8200 §8.1).
func pass6() []rule {
	r := rule{load(2, transport, udpSum, 0), compare(0, unix.NFT_CMP_NEQ, 0, 0), loadMeta(ifindex, 0), load(32, network, 8, 1), load(4, transport, 0, 9)}
	r = append(r, rtpKey(10)...)
	return []rule{append(r, lookup(flows6, 0, 0),
		write(4, 9, network, 0, checksums{}),
		write(32, 0, network, 8, checksums{pseudo: true}),
		write(4, 8, transport, 0, checksums{at: udpSum}),
		forward(10, 11, unix.NFPROTO_IPV6))}
}
