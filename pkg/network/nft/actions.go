package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"

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
	case ruleset.Return:
		e.add(&expr.Verdict{Kind: expr.VerdictReturn})
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
	case ruleset.SetPriority:
		e.add(&expr.Immediate{Register: reg1, Data: native(uint32(a.Major)<<16 | uint32(a.Minor))},
			&expr.Meta{Key: expr.MetaKeyPRIORITY, Register: reg1, SourceRegister: true})
	case ruleset.ClampMSS:
		e.clampMSS()
	case ruleset.Masquerade:
		e.add(&expr.Masq{})
	case ruleset.SNAT:
		e.translate(expr.NATTypeSourceNAT, a.To, ruleset.PortRange{})
	case ruleset.DNAT:
		e.translate(expr.NATTypeDestNAT, a.To, a.Ports)
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

// translate encodes address translation. A prefix is given by its ends; the kernel keeps the host part.
func (e *encoder) translate(kind expr.NATType, to netip.Prefix, ports ruleset.PortRange) {
	ends := spanOf(to)
	nat := &expr.NAT{Type: kind, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1}
	if to.Addr().Is6() {
		nat.Family = unix.NFPROTO_IPV6
	}
	e.needFamily(to.Addr().Is6())
	e.add(&expr.Immediate{Register: reg1, Data: ends.first})
	if !to.IsSingleIP() {
		e.add(&expr.Immediate{Register: reg2, Data: ends.last})
		nat.RegAddrMax, nat.Prefix = reg2, true
	}
	if ports != (ruleset.PortRange{}) {
		e.add(&expr.Immediate{Register: reg3, Data: binary.BigEndian.AppendUint16(nil, ports.First)})
		nat.RegProtoMin = reg3
		if ports.Last != ports.First {
			e.add(&expr.Immediate{Register: reg4, Data: binary.BigEndian.AppendUint16(nil, ports.Last)})
			nat.RegProtoMax = reg4
		}
	}
	e.add(nat)
}
