package offload

import (
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Fields of struct __sk_buff (bpf-helpers(7), linux/bpf.h).
const (
	skbPacketType  = 4
	skbProtocol    = 16
	skbVLAN        = 20 // vlan_present
	skbLen         = 0
	skbPriority    = 32
	skbIfindex     = 40
	skbData        = 76
	skbDataEnd     = 80
	skbSegmentSize = 176 // gso_size
)

// What the program returns when it leaves a packet to the stack: TC_ACT_UNSPEC, which is TCX_NEXT.
const passOn = -1

// Flags of bpf_l4_csum_replace.
const (
	pseudoHeader = 0x10
	zeroIsNone   = 0x20
)

// Limits of RFC 3550 §A.1, as package stats has them: what is beyond is not counted here.
const (
	maxDropout  = 3000
	maxMisorder = 100
)

// Time is counted in steps of 512 ns: that of a clock's tick is then a whole number, and the product
// with a rate of 90,000 fits 64 bits for three years of running.
const (
	timeShift      = 9
	stepsPerSecond = 1e9 / (1 << timeShift)
)

const (
	etherSize = 14
	udpSize   = 8
	rtpSize   = 12
	udpNumber = 17 // IANA protocol number
)

// Places on the program's stack.
const (
	stackKey    = -24
	stackSlot   = -32
	stackType   = -40 // place of the payload type in the flow's Types
	stackLength = -48 // of RTP
)

// Registers. R0 to R5 are lost at each call.
const (
	ctx    = asm.R6
	packet = asm.R7
	slot   = asm.R8
	entry  = asm.R9
)

// version is what differs between the versions of IP: where things are in a packet.
type version struct {
	name     string
	ether    uint16
	header   int16 // bytes of IP's header
	addrSize int16
	src, dst int16
	protocol int16
	hops     int16 // TTL or hop limit
}

// at returns where the UDP header is.
func (v *version) udp() int16 { return etherSize + v.header }

func (v *version) rtp() int16 { return v.udp() + udpSize }

func (v *version) need() int32 { return int32(v.rtp() + rtpSize) }

func versions() [2]version {
	return [2]version{
		{name: "4", ether: etherIPv4, header: 20, addrSize: 4, src: 26, dst: 30, protocol: 23, hops: 22},
		{name: "6", ether: etherIPv6, header: 40, addrSize: 16, src: 22, dst: 38, protocol: 20, hops: 21},
	}
}

// instructions is the program. Whatever is odd about a packet, it is passed on to the stack and its
// socket, untouched.
func instructions(flows, slots *ebpf.Map) asm.Instructions {
	var p asm.Instructions
	p = append(p, asm.Mov.Reg(ctx, asm.R1),
		// Only what is addressed to this machine: a bridge's port sees all else too.
		asm.LoadMem(asm.R0, ctx, skbPacketType, asm.Word), asm.JNE.Imm(asm.R0, 0, "pass"),
		// A tagged frame comes again by its VLAN's own interface, without the tag.
		asm.LoadMem(asm.R0, ctx, skbVLAN, asm.Word), asm.JNE.Imm(asm.R0, 0, "pass"),
		// Several packets that the kernel has joined to one.
		asm.LoadMem(asm.R0, ctx, skbSegmentSize, asm.Word), asm.JNE.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R0, ctx, skbProtocol, asm.Word),
		asm.HostTo(asm.BE, asm.R0, asm.Half),
	)
	all := versions()
	for i := range all {
		p = append(p, asm.JEq.Imm(asm.R0, int32(all[i].ether), "version"+all[i].name))
	}
	p = append(p, asm.Mov.Imm(asm.R0, passOn).WithSymbol("pass"), asm.Return())
	for i := range all {
		v := &all[i]
		for _, part := range []asm.Instructions{
			v.reach(), v.check(), v.find(flows, slots), v.prove(), v.judge(), v.count(), v.rewrite(), leave(),
		} {
			p = append(p, part...)
		}
	}
	return p
}

// load makes the packet's first bytes reachable, or goes to tooShort.
func (v *version) load(tooShort string) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(packet, ctx, skbData, asm.Word),
		asm.LoadMem(asm.R2, ctx, skbDataEnd, asm.Word),
		asm.Mov.Reg(asm.R3, packet),
		asm.Add.Imm(asm.R3, v.need()),
		asm.JGT.Reg(asm.R3, asm.R2, tooShort),
	}
}

// reach makes the headers reachable: a driver may have left them in a page apart.
func (v *version) reach() asm.Instructions {
	p := v.load("pull" + v.name)
	p[0] = p[0].WithSymbol("version" + v.name)
	p = append(p, asm.Ja.Label("check"+v.name),
		asm.Mov.Reg(asm.R1, ctx).WithSymbol("pull"+v.name),
		asm.Mov.Imm(asm.R2, v.need()),
		asm.FnSkbPullData.Call(),
		asm.JNE.Imm(asm.R0, 0, "pass"))
	return append(p, v.load("pass")...)
}

// check passes on what is not a whole plain UDP packet, and keeps the length of its payload.
func (v *version) check() asm.Instructions {
	p := asm.Instructions{
		asm.LoadMem(asm.R0, packet, v.protocol, asm.Byte).WithSymbol("check" + v.name),
		asm.JNE.Imm(asm.R0, udpNumber, "pass"),
		// What may not be passed on any further is for the stack to refuse (RFC 791 §3.2, RFC 8200 §3).
		asm.LoadMem(asm.R0, packet, v.hops, asm.Byte),
		asm.JLE.Imm(asm.R0, 1, "pass"),
	}
	if v.ether == etherIPv4 {
		p = append(p,
			asm.LoadMem(asm.R0, packet, etherSize, asm.Byte), // version and length: options are for the stack
			asm.JNE.Imm(asm.R0, 0x45, "pass"),
			asm.LoadMem(asm.R0, packet, etherSize+6, asm.Half), // fragments too
			asm.HostTo(asm.BE, asm.R0, asm.Half),
			asm.And.Imm(asm.R0, 0x3fff),
			asm.JNE.Imm(asm.R0, 0, "pass"),
			asm.LoadMem(asm.R0, packet, etherSize+2, asm.Half), // total length
			asm.HostTo(asm.BE, asm.R0, asm.Half))
	} else {
		p = append(p,
			asm.LoadMem(asm.R0, packet, etherSize+4, asm.Half), // payload length
			asm.HostTo(asm.BE, asm.R0, asm.Half),
			asm.Add.Imm(asm.R0, int32(v.header)))
	}
	return append(p,
		asm.LoadMem(asm.R1, ctx, skbLen, asm.Word), // all of it must be there; Ethernet may have padded it
		asm.Sub.Imm(asm.R1, etherSize),
		asm.JSGT.Reg(asm.R0, asm.R1, "pass"),
		asm.Mov.Reg(asm.R3, asm.R0), // the flow's MTU is compared with it
		asm.Sub.Imm(asm.R0, int32(v.header)),
		asm.LoadMem(asm.R1, packet, v.udp()+4, asm.Half), // UDP's own length must say the same
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.JNE.Reg(asm.R0, asm.R1, "pass"),
		asm.Sub.Imm(asm.R0, udpSize),
		asm.JSLT.Imm(asm.R0, rtpSize, "pass"),
		asm.StoreMem(asm.RFP, stackLength, asm.R0, asm.DWord))
}

// find looks the flow up, and its slot.
func (v *version) find(flows, slots *ebpf.Map) asm.Instructions {
	var p asm.Instructions
	for at := int16(0); at < 16; at += 4 {
		if at < v.addrSize {
			p = append(p, asm.LoadMem(asm.R0, packet, v.dst+at, asm.Word))
		} else if at == v.addrSize {
			p = append(p, asm.Mov.Imm(asm.R0, 0))
		}
		p = append(p, asm.StoreMem(asm.RFP, stackKey+at, asm.R0, asm.Word))
	}
	return append(p,
		asm.LoadMem(asm.R0, packet, v.udp()+2, asm.Half),
		asm.StoreMem(asm.RFP, stackKey+16, asm.R0, asm.Half),
		asm.LoadMem(asm.R0, ctx, skbProtocol, asm.Word),
		asm.StoreMem(asm.RFP, stackKey+18, asm.R0, asm.Half),
		asm.LoadMapPtr(asm.R1, flows.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, stackKey),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.Mov.Reg(entry, asm.R0),
		asm.LoadMem(asm.R0, entry, int16(unsafe.Offsetof(flow{}.Slot)), asm.Word),
		asm.StoreMem(asm.RFP, stackSlot, asm.R0, asm.Word),
		asm.LoadMapPtr(asm.R1, slots.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, stackSlot),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.Mov.Reg(slot, asm.R0))
}

// prove lets only the proven peer's packets go on, and only from where it is reached. A packet of a
// bridge or a bond is seen at its port first: there it is not judged.
func (v *version) prove() asm.Instructions {
	stranger := "stranger" + v.name
	p := asm.Instructions{
		asm.LoadMem(asm.R0, ctx, skbIfindex, asm.Word),
		asm.LoadMem(asm.R1, entry, int16(unsafe.Offsetof(flow{}.Ifindex)), asm.Word),
		asm.JNE.Reg(asm.R0, asm.R1, "pass"),
		asm.LoadMem(asm.R0, packet, v.udp(), asm.Half),
		asm.LoadMem(asm.R1, entry, int16(unsafe.Offsetof(flow{}.PeerPort)), asm.Half),
		asm.JNE.Reg(asm.R0, asm.R1, stranger),
	}
	for at := int16(0); at < v.addrSize; at += 4 {
		p = append(p,
			asm.LoadMem(asm.R0, packet, v.src+at, asm.Word),
			asm.LoadMem(asm.R1, entry, int16(unsafe.Offsetof(flow{}.Peer))+at, asm.Word),
			asm.JNE.Reg(asm.R0, asm.R1, stranger))
	}
	return append(p,
		asm.Ja.Label("judge"+v.name),
		asm.Mov.Imm(asm.R1, 1).WithSymbol(stranger),
		asm.AddAtomic.Mem(slot, asm.R1, asm.Word, int16(unsafe.Offsetof(Slot{}.Strangers))),
		asm.Ja.Label("pass"))
}

// judge leaves to the socket what is not the media that was agreed on: other payload types, RTCP, STUN,
// DTLS and ZRTP by their first bytes (RFC 7983 §7), another source, a new run of sequence numbers, and
// what must be fragmented.
func (v *version) judge() asm.Instructions {
	p := asm.Instructions{asm.LoadMem(asm.R0, entry, int16(unsafe.Offsetof(flow{}.MTU)), asm.Word).WithSymbol("judge" + v.name)}
	if v.ether == etherIPv4 {
		p = append(p, asm.LoadMem(asm.R1, packet, etherSize+2, asm.Half), asm.HostTo(asm.BE, asm.R1, asm.Half))
	} else {
		p = append(p, asm.LoadMem(asm.R1, packet, etherSize+4, asm.Half), asm.HostTo(asm.BE, asm.R1, asm.Half), asm.Add.Imm(asm.R1, int32(v.header)))
	}
	p = append(p,
		asm.JGT.Reg(asm.R1, asm.R0, "pass"),
		asm.LoadMem(asm.R0, packet, v.rtp(), asm.Byte), // RFC 3550 §5.1: version 2
		asm.And.Imm(asm.R0, 0xc0),
		asm.JNE.Imm(asm.R0, 0x80, "pass"),
		asm.LoadMem(asm.R0, packet, v.rtp()+8, asm.Word),
		asm.LoadMem(asm.R1, entry, int16(unsafe.Offsetof(flow{}.SSRC)), asm.Word),
		asm.JNE.Reg(asm.R0, asm.R1, "pass"),
		asm.LoadMem(asm.R1, packet, v.rtp()+1, asm.Byte),
		asm.And.Imm(asm.R1, 0x7f))
	for i := range int16(carried) {
		p = append(p,
			asm.Mov.Imm(asm.R2, int32(i)),
			asm.LoadMem(asm.R0, entry, int16(unsafe.Offsetof(flow{}.Types))+i, asm.Byte),
			asm.JEq.Reg(asm.R0, asm.R1, "type"+v.name))
	}
	return append(p, asm.Ja.Label("pass"),
		asm.StoreMem(asm.RFP, stackType, asm.R2, asm.DWord).WithSymbol("type"+v.name),
		asm.LoadMem(asm.R1, packet, v.rtp()+2, asm.Half),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.LoadMem(asm.R2, slot, int16(unsafe.Offsetof(Slot{}.Highest)), asm.Word),
		asm.Sub.Reg(asm.R1, asm.R2), // how far ahead of the highest one
		asm.And.Imm(asm.R1, 0xffff),
		asm.JGT.Imm(asm.R1, 1<<16-1-maxMisorder, "count"+v.name), // late, or twice
		asm.JGE.Imm(asm.R1, maxDropout, "pass"),
		asm.Add.Reg32(asm.R2, asm.R1),
		asm.StoreMem(slot, int16(unsafe.Offsetof(Slot{}.Highest)), asm.R2, asm.Word))
}

// count counts the packet, and its jitter (RFC 3550 §A.8).
func (v *version) count() asm.Instructions {
	counted := "rewrite" + v.name
	return asm.Instructions{
		asm.FnKtimeGetNs.Call().WithSymbol("count" + v.name),
		asm.StoreMem(slot, int16(unsafe.Offsetof(Slot{}.Last)), asm.R0, asm.DWord),
		asm.LoadMem(asm.R1, asm.RFP, stackType, asm.DWord),
		asm.And.Imm(asm.R1, carried-1), // said again for the verifier: it need not follow the stack
		asm.LSh.Imm(asm.R1, 2),
		asm.Add.Reg(asm.R1, slot),
		asm.Mov.Imm(asm.R2, 1),
		asm.AddAtomic.Mem(asm.R1, asm.R2, asm.Word, int16(unsafe.Offsetof(Slot{}.Packets))),
		asm.LoadMem(asm.R2, asm.RFP, stackLength, asm.DWord),
		asm.AddAtomic.Mem(slot, asm.R2, asm.DWord, int16(unsafe.Offsetof(Slot{}.Bytes))),
		// The arrival in ticks, less the timestamp.
		asm.LoadMem(asm.R2, entry, int16(unsafe.Offsetof(flow{}.Rate)), asm.Word),
		asm.RSh.Imm(asm.R0, timeShift),
		asm.Mul.Reg(asm.R0, asm.R2),
		asm.Div.Imm(asm.R0, stepsPerSecond),
		asm.LoadMem(asm.R1, packet, v.rtp()+4, asm.Word),
		asm.HostTo(asm.BE, asm.R1, asm.Word),
		asm.Sub.Reg32(asm.R0, asm.R1),
		asm.LoadMem(asm.R1, slot, int16(unsafe.Offsetof(Slot{}.Transit)), asm.Word),
		asm.StoreMem(slot, int16(unsafe.Offsetof(Slot{}.Transit)), asm.R0, asm.Word),
		asm.Sub.Reg32(asm.R0, asm.R1),
		asm.LSh.Imm(asm.R0, 32),
		asm.ArSh.Imm(asm.R0, 32),
		asm.JSGE.Imm(asm.R0, 0, "step"+v.name),
		asm.Neg.Imm(asm.R0, 0),
		asm.JGT.Reg(asm.R0, asm.R2, counted).WithSymbol("step" + v.name), // over a second: a new time line
		asm.LoadMem(asm.R1, slot, int16(unsafe.Offsetof(Slot{}.Jitter)), asm.Word),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.Add.Imm(asm.R2, 8),
		asm.RSh.Imm(asm.R2, 4),
		asm.Add.Reg(asm.R1, asm.R0),
		asm.Sub.Reg(asm.R1, asm.R2),
		asm.StoreMem(slot, int16(unsafe.Offsetof(Slot{}.Jitter)), asm.R1, asm.Word),
		// A flow comes by one queue of a card, so by one processor at a time: only the packets must be right
		// even when it changes.
		asm.LoadMem(asm.R2, slot, int16(unsafe.Offsetof(Slot{}.JitterSum)), asm.DWord),
		asm.Add.Reg(asm.R2, asm.R1),
		asm.StoreMem(slot, int16(unsafe.Offsetof(Slot{}.JitterSum)), asm.R2, asm.DWord),
		asm.LoadMem(asm.R2, slot, int16(unsafe.Offsetof(Slot{}.Timed)), asm.Word),
		asm.Add.Imm(asm.R2, 1),
		asm.StoreMem(slot, int16(unsafe.Offsetof(Slot{}.Timed)), asm.R2, asm.Word),
	}
}
