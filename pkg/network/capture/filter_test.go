package capture

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

func TestWrongFiltersAreExplained(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"x", "host", "host example.com", "host 10.0.0.1 port", "port 0", "port 70000", "port 1-2", "portrange 5-1", "portrange 5", "(tcp", "tcp)", "tcp udp",
		"not", "tcp and", "src tcp", "net 10.0.0.0/40", "host fe80::1%eth0", strings.Repeat("tcp or ", 40) + "tcp", strings.Repeat("(", 600),
	} {
		_, err := parse(text)
		if p, ok := err.(*problem.Error); !ok || len(p.Faults) != 1 || p.Faults[0].Cure == "" { //nolint:errorlint // it is returned bare
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "  ", "sip", "SIP and not host 10.0.0.1", "(udp or tcp) and portrange 5060-5061", "src net 2001:db8::/32 or arp", strings.Repeat("tcp or ", 31) + "tcp"} {
		if _, err := parse(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// packet is what a filter asks about; its fields are what the reference looks at.
type packet struct {
	kind             uint16 // EtherType
	proto            byte
	src, dst         netip.Addr
	sport, dport     uint16
	options, laterOn bool // IPv4: a longer header; not the first fragment
}

func (p packet) bytes(ethernet bool) (b []byte) {
	if ethernet {
		b = append(make([]byte, 12), byte(p.kind>>8), byte(p.kind))
	}
	switch p.kind {
	case etherIPv4:
		h := make([]byte, 20, 24)
		h[0], h[9] = 0x45, p.proto
		if p.laterOn {
			h[7] = 9
		}
		copy(h[12:], p.src.AsSlice())
		copy(h[16:], p.dst.AsSlice())
		if p.options {
			h[0] = 0x46
			h = append(h, 1, 1, 1, 1)
		}
		b = append(b, h...)
	case etherIPv6:
		h := make([]byte, 40)
		h[0], h[6] = 0x60, p.proto
		copy(h[8:], p.src.AsSlice())
		copy(h[24:], p.dst.AsSlice())
		b = append(b, h...)
	case etherARP:
		h := make([]byte, 28)
		copy(h[14:], p.src.AsSlice())
		copy(h[24:], p.dst.AsSlice())
		b = append(b, h...)
	}
	b = binary.BigEndian.AppendUint16(b, p.sport)
	b = binary.BigEndian.AppendUint16(b, p.dport)
	return append(b, make([]byte, 40)...)
}

// matches says what a filter means, in the plainest way.
func matches(n *node, p packet) bool {
	if n == nil {
		return true
	}
	switch n.op {
	case "not":
		return !matches(n.left, p)
	case "and":
		return matches(n.left, p) && matches(n.right, p)
	case "or":
		return matches(n.left, p) || matches(n.right, p)
	}
	t := n.term
	either := func(src, dst bool) bool {
		return t.side == "src" && src || t.side == "dst" && dst || t.side == "" && (src || dst)
	}
	switch t.kind {
	case "net":
		return either(t.net.Contains(p.src), t.net.Contains(p.dst))
	case "port":
		has := p.kind != etherARP && (p.proto == protoTCP || p.proto == protoUDP) && !p.laterOn
		in := func(v uint16) bool { return t.lo <= v && v <= t.hi }
		return has && either(in(p.sport), in(p.dport))
	}
	v4, v6 := p.kind == etherIPv4, p.kind == etherIPv6
	switch t.proto {
	case "ip":
		return v4
	case "ip6":
		return v6
	case "arp":
		return p.kind == etherARP
	case "icmp":
		return v4 && p.proto == protoICMP
	case "icmp6":
		return v6 && p.proto == protoICMPv6
	}
	return (v4 || v6) && p.proto == map[string]byte{"tcp": protoTCP, "udp": protoUDP}[t.proto]
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func randomPacket(r *rand.Rand, ethernet bool) packet {
	p := packet{
		kind: pick[uint16](r, etherIPv4, etherIPv6, etherARP), proto: pick[byte](r, protoICMP, protoTCP, protoUDP, protoICMPv6, 47),
		sport: pick[uint16](r, 53, 5059, 5060, 5061, 5062, 40000), dport: pick[uint16](r, 53, 5060, 68, 1),
	}
	if !ethernet && p.kind == etherARP {
		p.kind = etherIPv4
	}
	addr := func() netip.Addr {
		if p.kind == etherIPv6 {
			return netip.MustParseAddr(pick(r, "2001:db8::1", "2001:db8:1::1", "fe80::9"))
		}
		return netip.MustParseAddr(pick(r, "10.0.0.1", "10.0.1.1", "192.0.2.9", "0.0.0.0"))
	}
	p.src, p.dst = addr(), addr()
	p.options, p.laterOn = p.kind == etherIPv4 && r.IntN(3) == 0, p.kind == etherIPv4 && r.IntN(4) == 0
	return p
}

func randomFilter(r *rand.Rand, depth int) string {
	if depth > 0 && r.IntN(3) > 0 {
		switch r.IntN(3) {
		case 0:
			return "not " + randomFilter(r, 0)
		case 1:
			return "(" + randomFilter(r, depth-1) + ") and (" + randomFilter(r, depth-1) + ")"
		}
		return randomFilter(r, depth-1) + " or " + randomFilter(r, depth-1)
	}
	side := pick(r, "", "src ", "dst ")
	return pick(
		r, "ip", "ip6", "arp", "icmp", "icmp6", "tcp", "udp", "sip", "dns", "dhcp", side+"port 5060", side+"portrange 5060-5061", side+"host 10.0.0.1",
		side+"host 2001:db8::1", side+"net 10.0.0.0/23", side+"net 10.0.0.0/24", side+"net 2001:db8::/33", side+"net 2001:db8::/48", "net 0.0.0.0/0", "net ::/0",
	)
}

// The program and the plain meaning of a filter agree on every packet.
func TestProgramsMeanWhatFiltersSay(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		text := randomFilter(r, 3)
		n, err := parse(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		ethernet := r.IntN(4) > 0
		vm, err := bpf.NewVM(compile(n, ethernet))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for range 20 {
			p := randomPacket(r, ethernet)
			kept, err := vm.Run(p.bytes(ethernet))
			if err != nil || (kept > 0) != matches(n, p) {
				t.Fatalf("%q on %+v: program says %d (%v), meaning %v", text, p, kept, err, matches(n, p))
			}
		}
	}
}

func TestTheLongestProgramFitsTheKernel(t *testing.T) {
	t.Parallel()
	terms := slices.Repeat([]string{"host 2001:db8::1"}, maxTerms-18)
	n, err := parse(strings.Join(append(terms, slices.Repeat([]string{"sip"}, 18)...), " or "))
	if err != nil {
		t.Fatal(err)
	}
	code, err := assemble(n, true)
	if err != nil || len(code) > 4096 {
		t.Errorf("%d instructions, %v", len(code), err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"sip and not host 10.0.0.1", "((tcp) or udp)", "src net 10.0.0.0/8", "portrange 1-2"} {
		f.Add(text, []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0xc4, 0x13, 0xc4})
	}
	f.Fuzz(func(t *testing.T, text string, frame []byte) {
		n, err := parse(text)
		if err != nil {
			return
		}
		for _, ethernet := range []bool{true, false} {
			vm, err := bpf.NewVM(compile(n, ethernet))
			if err != nil {
				t.Fatalf("%q: the kernel would refuse it: %v", text, err)
			}
			_, _ = vm.Run(frame) // a load beyond the end is no match
		}
	})
}

func ExampleRequest_Check() {
	err := Request{Iface: "nope", Filter: "sip and port 99999", Time: -1}.Check()
	for _, f := range problem.Of(err).Faults {
		fmt.Println(f.Path, f.Value, "-", f.Rule)
	}
	// Output:
	// link nope - is a link of the box
	// seconds -1ns - is at most 10m0s
	// filter port 99999 - is a port from 1 to 65535, or with portrange two, the lower first
}
