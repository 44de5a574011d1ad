package offload

import (
	"unsafe"

	"github.com/cilium/ebpf/asm"
)

// rewrite makes the packet one from us to the other party.
func (v *version) rewrite() asm.Instructions {
	p := v.checksums()
	p[0] = p[0].WithSymbol("rewrite" + v.name)
	p = append(p, v.load("pass")...) // a call may have moved it
	if v.ether == etherIPv4 {
		p = append(p, v.header4()...)
	} else {
		p = append(p, v.header6()...)
	}
	for at := int16(0); at < v.addrSize; at += 4 {
		p = append(p, carry(int16(unsafe.Offsetof(flow{}.Src))+at, v.src+at, asm.Word)...)
		p = append(p, carry(int16(unsafe.Offsetof(flow{}.Dst))+at, v.dst+at, asm.Word)...)
	}
	p = append(p, carry(int16(unsafe.Offsetof(flow{}.SrcPort)), v.udp(), asm.Half)...)
	return append(p, carry(int16(unsafe.Offsetof(flow{}.DstPort)), v.udp()+2, asm.Half)...)
}

// carry copies a field of the flow into the packet.
func carry(from, to int16, size asm.Size) asm.Instructions {
	return asm.Instructions{asm.LoadMem(asm.R0, entry, from, size), asm.StoreMem(packet, to, asm.R0, size)}
}

// checksums corrects UDP's checksum by what changes, so that a packet that came damaged stays so
// (RFC 1624 §3). A checksum of zero is none (RFC 768). One that the network card is to finish holds the
// addresses only: the kernel knows, and leaves the ports out.
func (v *version) checksums() asm.Instructions {
	correct := func(diff uintptr, flags int32) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Reg(asm.R1, ctx),
			asm.Mov.Imm(asm.R2, int32(v.udp())+6),
			asm.Mov.Imm(asm.R3, 0),
			asm.LoadMem(asm.R4, entry, int16(diff), asm.Word),
			asm.Mov.Imm(asm.R5, flags),
			asm.FnL4CsumReplace.Call(),
			asm.JNE.Imm(asm.R0, 0, "pass"),
		}
	}
	return append(correct(unsafe.Offsetof(flow{}.AddrDiff), pseudoHeader|zeroIsNone),
		correct(unsafe.Offsetof(flow{}.PortDiff), zeroIsNone)...)
}

// header4 writes DSCP and TTL and corrects the header's checksum by all that changes (RFC 1624 §3).
func (v *version) header4() asm.Instructions {
	const sum = etherSize + 10
	p := asm.Instructions{
		asm.LoadMem(asm.R2, packet, sum, asm.Half),
		asm.Xor.Imm(asm.R2, 0xffff),
		asm.LoadMem(asm.R3, entry, int16(unsafe.Offsetof(flow{}.AddrDiff)), asm.Word),
		asm.Add.Reg(asm.R2, asm.R3),
	}
	for _, word := range []int16{etherSize, etherSize + 8} {
		p = append(p,
			asm.LoadMem(asm.R3, packet, word, asm.Half), asm.Xor.Imm(asm.R3, 0xffff), asm.Add.Reg(asm.R2, asm.R3))
	}
	p = append(p, carry(int16(unsafe.Offsetof(flow{}.Class)), etherSize+1, asm.Byte)...)
	p = append(p, v.hop()...)
	for _, word := range []int16{etherSize, etherSize + 8} {
		p = append(p, asm.LoadMem(asm.R3, packet, word, asm.Half), asm.Add.Reg(asm.R2, asm.R3))
	}
	for range 3 { // fold the carries: the first two may leave one
		p = append(p, asm.Mov.Reg(asm.R3, asm.R2), asm.RSh.Imm(asm.R3, 16), asm.And.Imm(asm.R2, 0xffff), asm.Add.Reg(asm.R2, asm.R3))
	}
	return append(p, asm.Xor.Imm(asm.R2, 0xffff), asm.StoreMem(packet, sum, asm.R2, asm.Half))
}

// header6 writes version, traffic class and no flow label, and the hop limit.
func (v *version) header6() asm.Instructions {
	return append(carry(int16(unsafe.Offsetof(flow{}.Class)), etherSize, asm.Word), v.hop()...)
}

// hop counts the packet's way down, so that none runs in a circle of boxes for ever.
func (v *version) hop() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R3, packet, v.hops, asm.Byte),
		asm.Sub.Imm(asm.R3, 1),
		asm.StoreMem(packet, v.hops, asm.R3, asm.Byte),
	}
}

// leave sends the packet to the next hop. The kernel finds and confirms the neighbour as for any packet
// of ours, and writes the MAC addresses.
func leave() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R1, entry, int16(unsafe.Offsetof(flow{}.Priority)), asm.Word),
		asm.StoreMem(ctx, skbPriority, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, entry, int16(unsafe.Offsetof(flow{}.Out)), asm.Word),
		asm.Mov.Reg(asm.R2, entry),
		asm.Add.Imm(asm.R2, int32(unsafe.Offsetof(flow{}.Family))),
		asm.Mov.Imm(asm.R3, int32(unsafe.Sizeof(flow{}.Family)+unsafe.Sizeof(flow{}.NextHop))),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnRedirectNeigh.Call(),
		asm.Return(),
	}
}
