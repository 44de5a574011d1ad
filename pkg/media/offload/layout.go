package offload

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/media/relay"
)

// Generation names the layout of keys, flows and slots. It is part of the maps' names: maps of another
// generation are not taken back by a daemon that was updated.
const Generation = "1"

// MaxFlows is how many streams can be offloaded: all pairs of ports that mediad opens.
const MaxFlows = 8192

// Types of an Ethernet frame (RFC 894, RFC 2464 §3).
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
)

// key finds a flow: the address and port of ours that its packets are sent to. All is in network order;
// an IPv4 address is in the first four bytes.
type key struct {
	Addr  [16]byte
	Port  [2]byte
	Ether [2]byte // keeps an IPv4 address apart from an IPv6 address that begins with the same bytes
}

// flow is what the program does with the packets of a key. Addresses, ports and the SSRC are in network
// order; the program finds each field by its offset. What IPv4 needs is close together: at a thousand
// calls, fetching a flow from memory is most of what a packet costs.
type flow struct {
	Slot     uint32 // where it counts
	Ifindex  uint32 // that the packets must come in by
	PeerPort [2]byte
	SrcPort  [2]byte // of what goes out
	DstPort  [2]byte
	_        [2]byte
	SSRC     [4]byte
	Types    [carried]byte // payload types that are passed on; noType for none
	Rate     uint32        // of the RTP clock
	MTU      uint32        // longest IP packet that fits the way out
	Priority uint32        // of the packet in queues, and in VLAN tags
	Class    [4]byte
	AddrDiff uint32 // of the new addresses' checksum to the old ones'
	PortDiff uint32
	Out      uint32 // ifindex
	Peer     [16]byte
	Src, Dst [16]byte
	Family   uint32   // of the next hop
	NextHop  [16]byte // struct bpf_redir_neigh is Family and this
}

// carried is how many payload types of a stream are passed on.
const carried = relay.MaxCarried

// noType is in no packet: payload types have seven bits.
const noType = 0xff

// Slot is what the program counts of a flow, in one line of the processor's cache. Mediad has it mapped,
// so that looking costs no system call.
type Slot struct {
	Packets   [carried]uint32 // by the place in Types
	Bytes     uint64          // of RTP
	Last      uint64          // CLOCK_MONOTONIC of the last packet, in nanoseconds
	JitterSum uint64          // of Jitter after each packet
	Timed     uint32          // packets in JitterSum
	Highest   uint32          // sequence number, extended by its wraps
	Transit   uint32          // arrival less timestamp, in ticks
	Jitter    uint32          // in 1/16 ticks (RFC 3550 §A.8)
	Strangers uint32          // packets to the port that were not from the peer; they went to the socket
	_         uint32
}

// Sizes of the maps' entries.
const (
	keySize  = uint32(unsafe.Sizeof(key{}))
	flowSize = uint32(unsafe.Sizeof(flow{}))
	slotSize = uint32(unsafe.Sizeof(Slot{}))
)

func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

func keyOf(local netip.AddrPort) (k key) {
	putAddr(&k.Addr, local.Addr())
	binary.BigEndian.PutUint16(k.Port[:], local.Port())
	ether := uint16(etherIPv6)
	if local.Addr().Is4() {
		ether = etherIPv4
	}
	binary.BigEndian.PutUint16(k.Ether[:], ether)
	return k
}

// local returns the address that a key is of.
func (k *key) local() netip.AddrPort {
	port := binary.BigEndian.Uint16(k.Port[:])
	if binary.BigEndian.Uint16(k.Ether[:]) == etherIPv4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(k.Addr[:4])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(k.Addr), port)
}

func putAddr(to *[16]byte, a netip.Addr) { copy(to[:], a.AsSlice()) }

func portBytes(p uint16) (b [2]byte) {
	binary.BigEndian.PutUint16(b[:], p)
	return b
}

// class returns the bits of the header that carry the DSCP, without congestion marks: what goes out is
// a packet of ours, not the one that came in (RFC 3168 §6.1).
func class(dscp uint8, four bool) (b [4]byte) {
	if four {
		b[0] = dscp << 2
		return b
	}
	// RFC 8200 §3: version, traffic class, and a flow label of none.
	binary.BigEndian.PutUint32(b[:], 6<<28|uint32(dscp)<<22)
	return b
}

func family(four bool) uint32 {
	if four {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// checksum adds the words of b to sum as the kernel does (RFC 1071 §2): in the machine's order, which
// gives the right bytes either way.
func checksum(sum uint64, b []byte) uint64 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.NativeEndian.Uint16(b))
	}
	return sum
}

// diff returns what must be added to a checksum when old becomes new (RFC 1624 §3).
func diff(old, new []byte) uint32 {
	sum := checksum(0, new)
	for ; len(old) >= 2; old = old[2:] {
		sum += uint64(^binary.NativeEndian.Uint16(old))
	}
	for sum>>32 != 0 {
		sum = sum&(1<<32-1) + sum>>32
	}
	return uint32(sum)
}

// priority returns what the kernel gives the packets of a socket with this DSCP, so that a VLAN's tag
// has the same priority bits (linux/route.h, rt_tos2priority). Over IPv6 it gives none.
func priority(dscp uint8, four bool) uint32 {
	if !four {
		return 0
	}
	return uint32([16]uint8{0, 1, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4}[dscp<<2&0x1e>>1])
}
