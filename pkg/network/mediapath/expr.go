package mediapath

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// expression is one step of a rule: its name in the kernel, what it does in words, and its attributes.
type expression struct {
	name, text string
	encode     func(*netlink.AttributeEncoder)
}

// register is a place of four bytes that steps hand values on in. The kernel has sixteen.
type register uint32

func (r register) number() uint32 { return unix.NFT_REG32_00 + uint32(r) }

// header is where the bytes of a packet are counted from.
type header uint32

const (
	link      header = unix.NFT_PAYLOAD_LL_HEADER
	network   header = unix.NFT_PAYLOAD_NETWORK_HEADER
	transport header = unix.NFT_PAYLOAD_TRANSPORT_HEADER
)

func (h header) String() string { return [...]string{"link", "network", "transport"}[h] }

// load takes bytes of the packet.
func load(size uint32, h header, at uint32, to register) expression {
	return expression{"payload", fmt.Sprintf("load %d bytes @%s+%d => r%d", size, h, at, to), func(a *netlink.AttributeEncoder) {
		a.Uint32(unix.NFTA_PAYLOAD_DREG, to.number())
		a.Uint32(unix.NFTA_PAYLOAD_BASE, uint32(h))
		a.Uint32(unix.NFTA_PAYLOAD_OFFSET, at)
		a.Uint32(unix.NFTA_PAYLOAD_LEN, size)
	}}
}

// checksums are what a write corrects by what it changes (RFC 1624 §3).
type checksums struct {
	at     uint32 // of the header's own, from its begin; 0 for none
	pseudo bool   // UDP's, of which addresses are a part; one that is left out stays so
}

// write puts bytes into the packet.
func write(size uint32, from register, h header, at uint32, c checksums) expression {
	text := fmt.Sprintf("write %d bytes r%d => @%s+%d", size, from, h, at)
	if c.at != 0 {
		text += fmt.Sprintf(" checksum @%s+%d", h, c.at)
	}
	if c.pseudo {
		text += " checksum of udp"
	}
	return expression{"payload", text, func(a *netlink.AttributeEncoder) {
		a.Uint32(unix.NFTA_PAYLOAD_SREG, from.number())
		a.Uint32(unix.NFTA_PAYLOAD_BASE, uint32(h))
		a.Uint32(unix.NFTA_PAYLOAD_OFFSET, at)
		a.Uint32(unix.NFTA_PAYLOAD_LEN, size)
		if c.at != 0 {
			a.Uint32(unix.NFTA_PAYLOAD_CSUM_TYPE, unix.NFT_PAYLOAD_CSUM_INET)
			a.Uint32(unix.NFTA_PAYLOAD_CSUM_OFFSET, c.at)
		}
		if c.pseudo {
			a.Uint32(unix.NFTA_PAYLOAD_CSUM_FLAGS, unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR)
		}
	}}
}

// mask clears the bits that are not in m.
func mask(r register, m ...byte) expression {
	return expression{"bitwise", fmt.Sprintf("r%d &= %x", r, m), func(a *netlink.AttributeEncoder) {
		a.Uint32(unix.NFTA_BITWISE_SREG, r.number())
		a.Uint32(unix.NFTA_BITWISE_DREG, r.number())
		a.Uint32(unix.NFTA_BITWISE_LEN, uint32(len(m)))
		value(a, unix.NFTA_BITWISE_MASK, m)
		value(a, unix.NFTA_BITWISE_XOR, make([]byte, len(m)))
	}}
}

// compare ends the rule unless a value stands to b as op says.
func compare(r register, op uint32, b ...byte) expression {
	sign := "=="
	switch op {
	case unix.NFT_CMP_NEQ:
		sign = "!="
	case unix.NFT_CMP_GT:
		sign = ">"
	}
	return expression{"cmp", fmt.Sprintf("r%d %s %x", r, sign, b), func(a *netlink.AttributeEncoder) {
		a.Uint32(unix.NFTA_CMP_SREG, r.number())
		a.Uint32(unix.NFTA_CMP_OP, op)
		value(a, unix.NFTA_CMP_DATA, b)
	}}
}

func equal(r register, b ...byte) expression { return compare(r, unix.NFT_CMP_EQ, b...) }

// meta is what the kernel knows of a packet beside its bytes.
type meta uint32

const (
	packetType meta = unix.NFT_META_PKTTYPE
	ifindex    meta = unix.NFT_META_IIF
	priority   meta = unix.NFT_META_PRIORITY
)

func (m meta) String() string {
	switch m {
	case packetType:
		return "packet type"
	case ifindex:
		return "interface"
	}
	return "priority"
}

func loadMeta(m meta, to register) expression {
	return expression{"meta", fmt.Sprintf("load %s => r%d", m, to), func(a *netlink.AttributeEncoder) {
		a.Uint32(unix.NFTA_META_DREG, to.number())
		a.Uint32(unix.NFTA_META_KEY, uint32(m))
	}}
}

func writeMeta(m meta, from register) expression {
	return expression{"meta", fmt.Sprintf("write r%d => %s", from, m), func(a *netlink.AttributeEncoder) {
		a.Uint32(unix.NFTA_META_SREG, from.number())
		a.Uint32(unix.NFTA_META_KEY, uint32(m))
	}}
}

// lookup ends the rule unless the map has the key that begins at from; its element counts the packet.
func lookup(m string, from, to register) expression {
	return expression{"lookup", fmt.Sprintf("r%d in %s => r%d", from, m, to), func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_LOOKUP_SET, m)
		a.Uint32(unix.NFTA_LOOKUP_SREG, from.number())
		a.Uint32(unix.NFTA_LOOKUP_DREG, to.number())
	}}
}

// forward counts TTL or hop limit down and gives the packet to the neighbour of a device.
func forward(device, neighbour register, family uint32) expression {
	return expression{"fwd", fmt.Sprintf("forward to r%d by device r%d", neighbour, device), func(a *netlink.AttributeEncoder) {
		a.Uint32(unix.NFTA_FWD_SREG_DEV, device.number())
		a.Uint32(forwardAddress, neighbour.number())
		a.Uint32(forwardFamily, family)
	}}
}

// Attributes of fwd (linux/netfilter/nf_tables.h).
const forwardAddress, forwardFamily = 2, 3

// goTo goes on in another chain and does not come back.
func goTo(chain string) expression {
	return expression{"immediate", "go to " + chain, func(a *netlink.AttributeEncoder) {
		a.Uint32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		a.Nested(unix.NFTA_IMMEDIATE_DATA, func(a *netlink.AttributeEncoder) error {
			a.Nested(unix.NFTA_DATA_VERDICT, func(a *netlink.AttributeEncoder) error {
				verdict := int32(unix.NFT_GOTO)
				a.Uint32(unix.NFTA_VERDICT_CODE, uint32(verdict))
				a.String(unix.NFTA_VERDICT_CHAIN, chain)
				return nil
			})
			return nil
		})
	}}
}

// value encodes bytes to compare with, or of an element.
func value(a *netlink.AttributeEncoder, kind uint16, b []byte) {
	a.Nested(kind, func(a *netlink.AttributeEncoder) error {
		a.Bytes(unix.NFTA_DATA_VALUE, b)
		return nil
	})
}

// encode returns attributes as the kernel's packet filter reads them: numbers in network order.
func encode(fill func(*netlink.AttributeEncoder)) ([]byte, error) {
	a := netlink.NewAttributeEncoder()
	a.ByteOrder = binary.BigEndian
	fill(a)
	return a.Encode()
}
