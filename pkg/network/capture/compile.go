package capture

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
)

// EtherTypes and numbers of protocols, of the IANA.
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherARP  = 0x0806

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// MaxSnap is how much of a packet is recorded at most.
const MaxSnap = 65535

// compiler writes a program of the kernel's packet filter. All jumps go forward: a term leads to the
// label of what follows if it is true, or if it is not.
type compiler struct {
	base  uint32 // where the network layer begins: 14 after an Ethernet header, 0 without one
	code  []instruction
	place map[int]int // where labels stand
	label int
}

// instruction is one of the kernel's, or a jump to a label.
type instruction struct {
	bpf  bpf.Instruction
	jump int // a label, if bpf is nil
}

// compile turns a filter into the kernel's program. ethernet is false on links without frames.
func compile(n *node, ethernet bool) []bpf.Instruction {
	c := &compiler{place: map[int]int{}}
	if ethernet {
		c.base = 14
	}
	yes, no := c.newLabel(), c.newLabel()
	if n != nil {
		c.expression(n, yes, no)
	}
	c.mark(yes)
	c.emit(bpf.RetConstant{Val: MaxSnap})
	c.mark(no)
	c.emit(bpf.RetConstant{Val: 0})
	return c.resolve()
}

func (c *compiler) newLabel() int { c.label++; return c.label }

func (c *compiler) mark(label int) { c.place[label] = len(c.code) }

func (c *compiler) emit(i bpf.Instruction) { c.code = append(c.code, instruction{bpf: i}) }

func (c *compiler) jump(label int) { c.code = append(c.code, instruction{jump: label}) }

// test jumps to yes or no by what is in the register.
func (c *compiler) test(cond bpf.JumpTest, val uint32, yes, no int) {
	c.emit(bpf.JumpIf{Cond: cond, Val: val, SkipFalse: 1})
	c.jump(yes)
	c.jump(no)
}

// must goes on if the test holds, else jumps.
func (c *compiler) must(cond bpf.JumpTest, val uint32, no int) {
	c.emit(bpf.JumpIf{Cond: cond, Val: val, SkipTrue: 1})
	c.jump(no)
}

// resolve puts distances in the place of labels.
func (c *compiler) resolve() []bpf.Instruction {
	out := make([]bpf.Instruction, len(c.code))
	for i, in := range c.code {
		out[i] = in.bpf
		if in.bpf == nil {
			out[i] = bpf.Jump{Skip: uint32(c.place[in.jump] - i - 1)}
		}
	}
	return out
}

func (c *compiler) expression(n *node, yes, no int) {
	switch n.op {
	case "not":
		c.expression(n.left, no, yes)
	case "and":
		more := c.newLabel()
		c.expression(n.left, more, no)
		c.mark(more)
		c.expression(n.right, yes, no)
	case "or":
		more := c.newLabel()
		c.expression(n.left, yes, more)
		c.mark(more)
		c.expression(n.right, yes, no)
	default:
		c.term(n.term, yes, no)
	}
}

func (c *compiler) term(t term, yes, no int) {
	switch t.kind {
	case "proto":
		c.protocol(t.proto, yes, no)
	case "net":
		c.network(t, yes, no)
	case "port":
		c.port(t, yes, no)
	}
}

// version goes on if the packet is of an EtherType, else jumps.
func (c *compiler) version(etherType uint32, no int) {
	if c.base > 0 {
		c.emit(bpf.LoadAbsolute{Off: 12, Size: 2})
		c.must(bpf.JumpEqual, etherType, no)
		return
	}
	want := map[uint32]uint32{etherIPv4: 4, etherIPv6: 6}[etherType] // 0 for ARP: there is none
	c.emit(bpf.LoadAbsolute{Off: 0, Size: 1})
	c.emit(bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4})
	c.must(bpf.JumpEqual, want, no)
}

func (c *compiler) protocol(name string, yes, no int) {
	switch name {
	case "ip":
		c.version(etherIPv4, no)
		c.jump(yes)
	case "ip6":
		c.version(etherIPv6, no)
		c.jump(yes)
	case "arp":
		c.version(etherARP, no)
		c.jump(yes)
	case "icmp":
		c.over(etherIPv4, protoICMP, no)
		c.jump(yes)
	case "icmp6":
		c.over(etherIPv6, protoICMPv6, no)
		c.jump(yes)
	default: // tcp and udp, over both
		number := map[string]uint32{"tcp": protoTCP, "udp": protoUDP}[name]
		six := c.newLabel()
		c.over(etherIPv4, number, six)
		c.jump(yes)
		c.mark(six)
		c.over(etherIPv6, number, no)
		c.jump(yes)
	}
}

// over goes on if the packet carries a protocol, else jumps. Headers between (RFC 8200 §4.1) are not
// looked behind.
func (c *compiler) over(etherType, protocol uint32, no int) {
	c.version(etherType, no)
	at := c.base + 9
	if etherType == etherIPv6 {
		at = c.base + 6
	}
	c.emit(bpf.LoadAbsolute{Off: at, Size: 1})
	c.must(bpf.JumpEqual, protocol, no)
}

// network compares addresses. ARP carries IPv4 addresses, too.
func (c *compiler) network(t term, yes, no int) {
	if t.net.Addr().Is6() {
		c.version(etherIPv6, no)
		c.sides(t, c.base+8, c.base+24, yes, no)
		return
	}
	arp := c.newLabel()
	c.version(etherIPv4, arp)
	c.sides(t, c.base+12, c.base+16, yes, no)
	c.mark(arp)
	c.version(etherARP, no)
	c.sides(t, c.base+14, c.base+24, yes, no)
}

// sides compares the source, the destination, or either.
func (c *compiler) sides(t term, src, dst uint32, yes, no int) {
	switch t.side {
	case "src":
		c.address(t, src, yes, no)
	case "dst":
		c.address(t, dst, yes, no)
	default:
		other := c.newLabel()
		c.address(t, src, yes, other)
		c.mark(other)
		c.address(t, dst, yes, no)
	}
}

// address compares words of four bytes under the prefix's mask.
func (c *compiler) address(t term, at uint32, yes, no int) {
	b := t.net.Masked().Addr().AsSlice()
	for i, bits := 0, t.net.Bits(); bits > 0; i, bits = i+4, bits-32 {
		mask := ^uint32(0)
		if bits < 32 {
			mask <<= 32 - bits
		}
		c.emit(bpf.LoadAbsolute{Off: at + uint32(i), Size: 4})
		c.emit(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask})
		c.must(bpf.JumpEqual, binary.BigEndian.Uint32(b[i:]), no)
	}
	c.jump(yes)
}

// port compares those of TCP and UDP. Only the first fragment of a packet has them (RFC 791 §3.2).
func (c *compiler) port(t term, yes, no int) {
	six, v4, v6 := c.newLabel(), c.newLabel(), c.newLabel()
	c.version(etherIPv4, six)
	c.emit(bpf.LoadAbsolute{Off: c.base + 9, Size: 1})
	c.carries(v4, no)
	c.mark(v4)
	c.emit(bpf.LoadAbsolute{Off: c.base + 6, Size: 2})
	c.emit(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x1fff})
	c.must(bpf.JumpEqual, 0, no)
	c.emit(bpf.LoadMemShift{Off: c.base}) // the header's length, into the index
	c.ranges(t, func(off uint32) bpf.Instruction { return bpf.LoadIndirect{Off: c.base + off, Size: 2} }, yes, no)
	c.mark(six)
	c.version(etherIPv6, no)
	c.emit(bpf.LoadAbsolute{Off: c.base + 6, Size: 1})
	c.carries(v6, no)
	c.mark(v6)
	c.ranges(t, func(off uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: c.base + 40 + off, Size: 2} }, yes, no)
}

func (c *compiler) carries(yes, no int) {
	c.emit(bpf.JumpIf{Cond: bpf.JumpEqual, Val: protoTCP, SkipFalse: 1})
	c.jump(yes)
	c.test(bpf.JumpEqual, protoUDP, yes, no)
}

func (c *compiler) ranges(t term, load func(off uint32) bpf.Instruction, yes, no int) {
	within := func(off uint32, no int) {
		c.emit(load(off))
		c.must(bpf.JumpGreaterOrEqual, uint32(t.lo), no)
		c.test(bpf.JumpLessOrEqual, uint32(t.hi), yes, no)
	}
	switch t.side {
	case "src":
		within(0, no)
	case "dst":
		within(2, no)
	default:
		other := c.newLabel()
		within(0, other)
		c.mark(other)
		within(2, no)
	}
}
