package nft

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

func (e *encoder) action(a ruleset.Action) {
	switch a := a.(type) {
	case ruleset.Accept:
		e.add(&expr.Verdict{Kind: expr.VerdictAccept})
	case ruleset.Drop:
		e.add(&expr.Verdict{Kind: expr.VerdictDrop})
	case ruleset.Jump:
		e.add(&expr.Verdict{Kind: expr.VerdictJump, Chain: a.Chain})
	case ruleset.Goto:
		e.add(&expr.Verdict{Kind: expr.VerdictGoto, Chain: a.Chain})
	case ruleset.Reject:
		e.add(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED})
	case ruleset.NoTrack:
		e.add(&expr.Notrack{})
	default:
		e.change(a)
	}
}

// change encodes actions that write into the packet or its data in the kernel.
func (e *encoder) change(a ruleset.Action) {
	switch a := a.(type) {
	case ruleset.SetDSCP:
		e.setDSCP(a)
	case ruleset.SetMark:
		e.setMark(a)
	case ruleset.SetConnMark:
		e.add(&expr.Immediate{Register: reg1, Data: native(a.Value)}, &expr.Ct{Key: expr.CtKeyMARK, Register: reg1, SourceRegister: true})
	case ruleset.RestoreMark:
		e.add(&expr.Ct{Key: expr.CtKeyMARK, Register: reg1}, and(native(a.Mask)), &expr.Meta{Key: expr.MetaKeyMARK, Register: reg1, SourceRegister: true})
	case ruleset.Log:
		e.add(&expr.Log{Key: 1 << unix.NFTA_LOG_PREFIX, Data: []byte(a.Prefix)})
	case ruleset.ClampMSS:
		e.clampMSS()
	case ruleset.Masquerade:
		e.add(&expr.Masq{})
	case ruleset.SNAT:
		nat := e.translate(expr.NATTypeSourceNAT, a.To)
		nat.RegProtoMin, nat.RegProtoMax = e.portRange(a.Ports)
		nat.Specified = nat.RegProtoMin != 0
		e.add(nat)
	case ruleset.DNAT:
		e.dnat(a)
	default:
		e.err = fmt.Errorf("%T is no action that can be encoded", a)
	}
}

// setDSCP rewrites the two bytes that hold the code point; in IPv4 the header's checksum follows.
func (e *encoder) setDSCP(s ruleset.SetDSCP) {
	e.needFamily(s.V6)
	keep, value := uint16(0xff03), uint16(s.Value)<<2
	write := expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Len: 2}
	if s.V6 {
		keep, value = 0xf03f, uint16(s.Value)<<6
	} else {
		write.CsumType, write.CsumOffset = expr.CsumTypeInet, checksum4
	}
	e.add(&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Len: 2},
		&expr.Bitwise{
			SourceRegister: reg1, DestRegister: reg1, Len: 2,
			Mask: binaryutil.BigEndian.PutUint16(keep), Xor: binaryutil.BigEndian.PutUint16(value),
		}, &write)
}

func (e *encoder) setMark(s ruleset.SetMark) {
	e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1},
		&expr.Bitwise{
			SourceRegister: reg1, DestRegister: reg1, Len: 4,
			Mask: native(^s.Mask), Xor: native(s.Value & s.Mask),
		},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1, SourceRegister: true})
}

// clampMSS writes the segment size of the route into the TCP option (RFC 9293 §3.7.1).
func (e *encoder) clampMSS() {
	const optionMSS = 2
	e.needProtocol(ruleset.TCP)
	e.add(&expr.Rt{Register: reg1, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: reg1, DestRegister: reg1, Op: expr.ByteorderHton, Len: 2, Size: 2},
		&expr.Exthdr{SourceRegister: reg1, Type: optionMSS, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt})
}

// translate begins address translation.
func (e *encoder) translate(kind expr.NATType, to netip.Addr) *expr.NAT {
	e.add(&expr.Immediate{Register: reg1, Data: to.AsSlice()})
	nat := &expr.NAT{Type: kind, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1}
	if to.Is6() {
		nat.Family = unix.NFPROTO_IPV6
	}
	return nat
}

// portRange loads the ports that a translation chooses from, none of a zero range.
func (e *encoder) portRange(r ruleset.PortRange) (first, last uint32) {
	if r == (ruleset.PortRange{}) {
		return 0, 0
	}
	e.add(&expr.Immediate{Register: reg2, Data: binaryutil.BigEndian.PutUint16(r.First)},
		&expr.Immediate{Register: reg3, Data: binaryutil.BigEndian.PutUint16(r.Last)})
	return reg2, reg3
}

// dnat maps a range of ports one by one: a range as such would let the kernel choose among them.
func (e *encoder) dnat(d ruleset.DNAT) {
	nat := e.translate(expr.NATTypeDestNAT, d.To)
	switch {
	case d.Ports == (ruleset.PortRange{}):
	case d.Ports.First == d.Ports.Last:
		e.add(&expr.Immediate{Register: reg2, Data: binaryutil.BigEndian.PutUint16(d.First)})
		nat.RegProtoMin = reg2
	default:
		e.mapPorts(d)
		nat.RegProtoMin = reg2
	}
	e.add(nat)
}

func (e *encoder) mapPorts(d ruleset.DNAT) {
	e.needProtocol(d.Protocol)
	elements := make([]nftables.SetElement, int(d.Ports.Last-d.Ports.First)+1)
	for i := range elements {
		elements[i] = nftables.SetElement{Key: binaryutil.BigEndian.PutUint16(d.Ports.First + uint16(i)), Val: binaryutil.BigEndian.PutUint16(d.First + uint16(i))}
	}
	set := &nftables.Set{IsMap: true, KeyType: nftables.TypeInetService, DataType: nftables.TypeInetService}
	if err := e.batch.anonymous(set, elements); err != nil {
		e.err = err
	}
	e.add(&expr.Payload{DestRegister: reg2, Base: expr.PayloadBaseTransportHeader, Offset: dstPort, Len: 2},
		&expr.Lookup{SourceRegister: reg2, DestRegister: reg2, IsDestRegSet: true, SetName: set.Name, SetID: set.ID})
}
