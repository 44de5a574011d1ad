package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// Registers that a rule's expressions hand values on in. Each has 16 bytes.
const (
	reg1 = unix.NFT_REG_1
	reg2 = unix.NFT_REG_2
	reg3 = unix.NFT_REG_3
)

// Places of fields in the headers (RFC 791 §3.1, RFC 8200 §3, RFC 9293 §3.1, RFC 768).
const (
	source4, dest4   = 12, 16
	source6, dest6   = 8, 24
	size4, size6     = 4, 16
	srcPort, dstPort = 0, 2
	tcpFlags         = 13
	checksum4        = 10
)

// encoder turns the statements of one rule into expressions. The family and the protocol that a rule
// has asked for are not asked for again.
type encoder struct {
	batch    *batch
	out      []expr.Any
	family   byte // NFPROTO_IPV4, NFPROTO_IPV6, or 0
	protocol ruleset.Protocol
	err      error
}

func (e *encoder) add(x ...expr.Any) { e.out = append(e.out, x...) }

// rule encodes a whole rule.
func (e *encoder) rule(r *ruleset.Rule) ([]expr.Any, error) {
	counted := r.Name == ""
	count := &expr.Objref{Type: int(nftables.ObjTypeCounter), Name: r.Name}
	for _, s := range r.Do {
		if _, acts := s.(ruleset.Action); acts && !counted {
			e.add(count)
			counted = true
		}
		e.statement(s)
	}
	if !counted {
		e.add(count)
	}
	if e.err != nil {
		return nil, fmt.Errorf("rule %q: %w", r, e.err)
	}
	return e.out, nil
}

func (e *encoder) statement(s ruleset.Statement) {
	switch s := s.(type) {
	case ruleset.Action:
		e.action(s)
	case ruleset.Family:
		e.needFamily(s.V6)
	case ruleset.L4:
		e.needProtocol(s.Protocol)
	case ruleset.Interface:
		e.iface(s)
	case ruleset.Ports:
		e.ports(s)
	case ruleset.Addresses:
		e.addresses(s)
	case ruleset.ICMPTypes:
		e.icmpTypes(s)
	case ruleset.DSCP:
		e.dscp(s)
	case ruleset.SYN:
		e.syn(s)
	case ruleset.Member, ruleset.Meter, ruleset.Connections:
		e.dynamic(s)
	default:
		e.kernelState(s)
	}
}

// kernelState encodes conditions on what the kernel knows of a packet beyond its bytes.
func (e *encoder) kernelState(s ruleset.Statement) {
	switch s := s.(type) {
	case ruleset.Conntrack:
		e.add(&expr.Ct{Key: expr.CtKeySTATE, Register: reg1}, and(native(uint32(s.States))), different(native(0)))
	case ruleset.Translated:
		e.add(&expr.Ct{Key: expr.CtKeySTATUS, Register: reg1}, and(native(statusDNAT)), different(native(0)))
	case ruleset.OriginalPorts:
		e.add(&expr.Ct{Key: expr.CtKeyPROTODST, Register: reg1, Direction: originalDirection})
		e.portRanges(s.Ranges)
	case ruleset.Local:
		e.local(s)
	case ruleset.Spoofed:
		e.add(&expr.Fib{Register: reg1, ResultOIF: true, FlagSADDR: true, FlagIIF: true, FlagPRESENT: true}, equal(native(0)))
	case ruleset.Over:
		e.add(limit(s.Rate, s.Burst))
	case ruleset.Under:
		within := limit(s.Rate, s.Burst)
		within.Over = false
		e.add(within)
	default:
		e.err = fmt.Errorf("%T is no statement that can be encoded", s)
	}
}

func (e *encoder) local(l ruleset.Local) {
	e.add(&expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagSADDR: l.Side == ruleset.Src, FlagDADDR: l.Side == ruleset.Dst})
	if l.Not {
		e.add(different(native(unix.RTN_LOCAL)))
	} else {
		e.add(equal(native(unix.RTN_LOCAL)))
	}
}

// originalDirection is that of a connection's first packet (IP_CT_DIR_ORIGINAL).
const originalDirection = 0

// statusDNAT is the bit of a connection whose destination was translated (linux/netfilter/nf_conntrack_common.h).
const statusDNAT = 1 << 5

func (e *encoder) needFamily(v6 bool) {
	family := byte(unix.NFPROTO_IPV4)
	if v6 {
		family = unix.NFPROTO_IPV6
	}
	if e.family == family {
		return
	}
	e.family = family
	e.add(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1}, equal([]byte{family}))
}

func (e *encoder) needProtocol(p ruleset.Protocol) {
	if e.protocol == p {
		return
	}
	e.protocol = p
	e.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, equal([]byte{byte(p)}))
}

func (e *encoder) iface(i ruleset.Interface) {
	key := expr.MetaKeyIIFNAME
	if i.Out {
		key = expr.MetaKeyOIFNAME
	}
	e.add(&expr.Meta{Key: key, Register: reg1})
	keys := make([][]byte, len(i.Names))
	for n, name := range i.Names {
		keys[n] = ifname(name)
	}
	e.oneOf(nftables.TypeIFName, keys, i.Not)
}

// ifname pads a name to the size that the kernel compares (IFNAMSIZ).
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func (e *encoder) ports(p ruleset.Ports) {
	e.needProtocol(p.Protocol)
	offset := uint32(srcPort)
	if p.Side == ruleset.Dst {
		offset = dstPort
	}
	e.add(&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2})
	e.portRanges(p.Ranges)
}

func (e *encoder) portRanges(ranges []ruleset.PortRange) {
	spans := make([]span, len(ranges))
	for i, r := range ranges {
		spans[i] = span{binaryutil.BigEndian.PutUint16(r.First), binaryutil.BigEndian.PutUint16(r.Last)}
	}
	e.within(nftables.TypeInetService, spans, false)
}

func (e *encoder) addresses(a ruleset.Addresses) {
	e.address(a.V6(), a.Side)
	kind := nftables.TypeIPAddr
	if a.V6() {
		kind = nftables.TypeIP6Addr
	}
	spans := make([]span, len(a.Prefixes))
	for i, p := range a.Prefixes {
		spans[i] = spanOf(p)
	}
	e.within(kind, spans, a.Not)
}

func (e *encoder) address(v6 bool, side ruleset.Side) {
	e.needFamily(v6)
	load := expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: source4, Len: size4}
	switch {
	case v6 && side == ruleset.Dst:
		load.Offset, load.Len = dest6, size6
	case v6:
		load.Offset, load.Len = source6, size6
	case side == ruleset.Dst:
		load.Offset = dest4
	}
	e.add(&load)
}

func (e *encoder) icmpTypes(i ruleset.ICMPTypes) {
	kind, protocol := nftables.TypeICMPType, ruleset.ICMP
	if i.V6 {
		kind, protocol = nftables.TypeICMP6Type, ruleset.ICMPv6
	}
	e.needFamily(i.V6)
	e.needProtocol(protocol)
	e.add(&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Len: 1})
	keys := make([][]byte, len(i.Types))
	for n, t := range i.Types {
		keys[n] = []byte{t}
	}
	e.oneOf(kind, keys, false)
}

// dscp compares the six bits behind the version and length of IPv4 (RFC 2474 §3), or those that
// straddle the first two bytes of IPv6 (RFC 8200 §7).
func (e *encoder) dscp(d ruleset.DSCP) {
	e.needFamily(d.V6)
	if d.V6 {
		e.add(&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Len: 2},
			and(binaryutil.BigEndian.PutUint16(0x3f<<6)), equal(binaryutil.BigEndian.PutUint16(uint16(d.Value)<<6)))
		return
	}
	e.add(&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: 1, Len: 1}, and([]byte{0x3f << 2}), equal([]byte{d.Value << 2}))
}

// Flags of a TCP header (RFC 9293 §3.1).
const fin, syn, rst, ack = 1, 2, 4, 16

func (e *encoder) syn(s ruleset.SYN) {
	mask := byte(fin | syn | rst | ack)
	if s.Answer {
		mask = syn | rst
	}
	e.needProtocol(ruleset.TCP)
	e.add(&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlags, Len: 1},
		and([]byte{mask}), equal([]byte{syn}))
}

// dynamic encodes what looks into a named set, or adds to it.
func (e *encoder) dynamic(s ruleset.Statement) {
	switch s := s.(type) {
	case ruleset.Member:
		e.source(s.V6, s.Wide)
		e.add(&expr.Lookup{SourceRegister: reg1, SetName: s.Set, Invert: s.Not})
	case ruleset.Meter:
		e.source(s.V6, s.Wide)
		e.add(&expr.Dynset{SrcRegKey: reg1, SetName: s.Set, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{limit(s.Rate, s.Burst)}})
	case ruleset.Connections:
		e.source(s.V6, s.Wide)
		e.add(&expr.Dynset{
			SrcRegKey: reg1, SetName: s.Set, Operation: unix.NFT_DYNSET_OP_ADD,
			Exprs: []expr.Any{&expr.Connlimit{Count: s.Count, Flags: expr.NFT_CONNLIMIT_F_INV}},
		})
	}
}

func (e *encoder) source(v6, wide bool) {
	e.address(v6, ruleset.Src)
	if v6 && wide {
		e.add(and(append(bytes.Repeat([]byte{0xff}, 8), make([]byte, 8)...)))
	}
}

// oneOf compares the first register with one value, or looks it up among several.
func (e *encoder) oneOf(kind nftables.SetDatatype, keys [][]byte, not bool) {
	if len(keys) != 1 {
		elements := make([]nftables.SetElement, len(keys))
		for i, key := range keys {
			elements[i] = nftables.SetElement{Key: key}
		}
		e.lookup(&nftables.Set{KeyType: kind}, elements, not)
		return
	}
	if not {
		e.add(different(keys[0]))
	} else {
		e.add(equal(keys[0]))
	}
}

// lookup makes a set that only this rule knows.
func (e *encoder) lookup(set *nftables.Set, elements []nftables.SetElement, not bool) {
	if err := e.batch.anonymous(set, elements); err != nil {
		e.err = err
	}
	e.add(&expr.Lookup{SourceRegister: reg1, SetName: set.Name, SetID: set.ID, Invert: not})
}

func and(mask []byte) *expr.Bitwise {
	return &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

func equal(b []byte) *expr.Cmp     { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: b} }
func different(b []byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: b} }

func limit(rate, burst uint32) *expr.Limit {
	return &expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(rate), Unit: expr.LimitTimeSecond, Over: true, Burst: burst}
}

// native encodes a number as the kernel holds it.
func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// spanOf returns the first and the last address of a prefix.
func spanOf(p netip.Prefix) span {
	first := p.Masked().Addr().AsSlice()
	last := bytes.Clone(first)
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	return span{first, last}
}
