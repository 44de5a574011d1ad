package offload

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/coraltele/sanchar/pkg/media/relay"
)

// loaded returns the program and its maps, or skips the test where the kernel lets us load none.
func loaded(t testing.TB) (*ebpf.Program, Maps) {
	t.Helper()
	m, err := NewMaps()
	if errors.Is(err, os.ErrPermission) || errors.Is(err, ebpf.ErrNotSupported) {
		t.Skipf("no programs for the kernel here: %v: run as root on a kernel with CONFIG_BPF_SYSCALL", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	p, err := Load(m)
	if err != nil {
		t.Fatalf("%+v", err) // with the verifier's words
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, m
}

// datagram is a packet of a test: what differs from a good one is changed.
type datagram struct {
	src, dst netip.AddrPort
	hops     byte
	class    byte
	payload  []byte
	padding  int  // behind the packet, as Ethernet does
	noSum    bool // no UDP checksum
	edit     func(frame []byte)
}

func (d *datagram) four() bool { return d.src.Addr().Is4() }

func (d *datagram) frame() []byte {
	udp := make([]byte, udpSize, udpSize+len(d.payload))
	binary.BigEndian.PutUint16(udp, d.src.Port())
	binary.BigEndian.PutUint16(udp[2:], d.dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(udpSize+len(d.payload)))
	udp = append(udp, d.payload...)
	if !d.noSum {
		sum := udpSum(d.src.Addr(), d.dst.Addr(), udp)
		binary.BigEndian.PutUint16(udp[6:], sum)
	}
	frame := append(make([]byte, 12), etherIPv4>>8, 0)
	if d.four() {
		ip := []byte{0x45, d.class, 0, 0, 0x12, 0x34, 0x40, 0, d.hops, udpNumber, 0, 0}
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(udp)))
		ip = append(append(ip, d.src.Addr().AsSlice()...), d.dst.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(ip[10:], ^fold(sumOf(0, ip)))
		frame = append(frame, ip...)
	} else {
		binary.BigEndian.PutUint16(frame[12:], etherIPv6)
		ip := []byte{0x60 | d.class>>4, d.class<<4 | 7, 0x12, 0x34, 0, 0, udpNumber, d.hops}
		binary.BigEndian.PutUint16(ip[4:], uint16(len(udp)))
		frame = append(append(append(frame, ip...), d.src.Addr().AsSlice()...), d.dst.Addr().AsSlice()...)
	}
	frame = append(append(frame, udp...), make([]byte, d.padding)...)
	if d.edit != nil {
		d.edit(frame)
	}
	return frame
}

// sumOf adds words in network order (RFC 1071 §1).
func sumOf(sum uint32, b []byte) uint32 {
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		sum += word
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// udpSum is the checksum of a UDP packet whose own field is zero (RFC 768, RFC 8200 §8.1).
func udpSum(src, dst netip.Addr, udp []byte) uint16 {
	sum := sumOf(sumOf(0, src.AsSlice()), dst.AsSlice()) + udpNumber + uint32(len(udp))
	if s := ^fold(sumOf(sum, udp)); s != 0 {
		return s
	}
	return 0xffff
}

func rtp(pt byte, seq uint16, timestamp, ssrc uint32, n int) []byte {
	b := make([]byte, n)
	b[0], b[1] = 0x80, pt
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], timestamp)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	for i := rtpSize; i < n; i++ {
		b[i] = byte(i * 7)
	}
	return b
}

const (
	loopback = 1 // what BPF_PROG_TEST_RUN says packets come in by if it is not told
	wayOut   = 7
)

// world is a flow of one version of IP.
type world struct {
	local, peer, from, to, nextHop netip.AddrPort
}

func worlds() map[string]world {
	ap := netip.MustParseAddrPort
	return map[string]world{
		"IPv4": {ap("192.0.2.1:20000"), ap("192.0.2.7:4000"), ap("198.51.100.1:20100"), ap("203.0.113.9:6000"), ap("198.51.100.254:1")},
		"IPv6": {
			ap("[2001:db8::1]:20000"), ap("[2001:db8::7]:4000"), ap("[2001:db8:1::1]:20100"), ap("[2001:db8:2::9]:6000"), ap("[fe80::1]:1"),
		},
	}
}

const testSSRC = 0x01020304

// started returns a kernel that passes the world's flow on from sequence number 999.
func (w world) started(t testing.TB, m Maps) (*Kernel, relay.Bypass) {
	t.Helper()
	routes := NewRoutes()
	routes.found[way{w.local.Addr(), w.peer.Addr()}] = Route{Ifindex: loopback, MTU: 1500, NextHop: w.peer.Addr()}
	routes.found[way{w.from.Addr(), w.to.Addr()}] = Route{Ifindex: wayOut, MTU: 300, NextHop: w.nextHop.Addr()}
	k, err := Open(m, routes)
	if err != nil {
		t.Fatal(err)
	}
	f := Flow{Local: w.local, From: w.from, DSCP: 46, Plan: relay.Plan{Peer: w.peer, To: w.to, SSRC: testSSRC}}
	f.Types = [carried]uint8{0, 8, noType, noType}
	f.Start = relay.Passed{Highest: 1<<16 + 999, Rate: 8000, Formats: [carried]uint8{1, 2}}
	b, err := k.Start(f)
	if err != nil {
		t.Fatal(err)
	}
	return k, b
}

func (w world) datagram() datagram {
	return datagram{src: w.peer, dst: w.local, hops: 64, class: 3, payload: rtp(0, 1000, 8000, testSSRC, 172)}
}

// run gives the program a frame, and returns what it made of it.
func run(t testing.TB, p *ebpf.Program, frame []byte) (redirected bool, out []byte) {
	t.Helper()
	// Fields of __sk_buff that the kernel takes from us.
	var skb [192]byte
	opts := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256), Context: skb[:], ContextOut: make([]byte, len(skb))}
	verdict, err := p.Run(&opts)
	if err != nil {
		t.Fatal(err)
	}
	switch int32(verdict) {
	case passOn:
		return false, opts.DataOut
	case 7: // TC_ACT_REDIRECT
		return true, opts.DataOut
	}
	t.Fatalf("verdict %d", int32(verdict))
	return false, nil
}

func TestGoodPacketsArePassedOn(t *testing.T) {
	for name, w := range worlds() {
		for _, c := range []struct {
			name string
			edit func(*datagram)
		}{
			{"plain", func(*datagram) {}},
			{"of the other format, with a marker", func(d *datagram) { d.payload[1] = 0x88 }},
			{"without UDP checksum", func(d *datagram) { d.noSum = true }},
			{"short, padded by Ethernet", func(d *datagram) { d.payload, d.padding = d.payload[:13], 5 }},
			{"with an odd length", func(d *datagram) { d.payload = d.payload[:33] }},
			{"late", func(d *datagram) { d.payload[2], d.payload[3] = 3, 0xd0 }},
			{"after a gap", func(d *datagram) { d.payload[2], d.payload[3] = 8, 0 }},
			{"whose sums carry", func(d *datagram) { copy(d.payload[12:], bytes.Repeat([]byte{0xff}, 100)) }},
			{"on its last hop but one", func(d *datagram) { d.hops = 2 }},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				p, m := loaded(t)
				_, b := w.started(t, m)
				d := w.datagram()
				c.edit(&d)
				redirected, got := run(t, p, d.frame())
				if !redirected {
					t.Fatal("not passed on")
				}
				want := d
				want.src, want.dst, want.hops, want.class = w.from, w.to, d.hops-1, 46<<2
				if expect := want.frame(); !bytes.Equal(withoutLabel(got), withoutLabel(expect)) {
					t.Errorf("got  %x\nwant %x", got, expect)
				}
				if s := b.Passed(); s.Packets[0]+s.Packets[1] != 1 || s.Bytes != uint64(len(d.payload)) || s.Last == 0 {
					t.Errorf("counted %+v", s)
				}
			})
		}
	}
}

// withoutLabel takes the flow label off: what goes out has none.
func withoutLabel(frame []byte) []byte {
	frame = bytes.Clone(frame)
	if frame[12] == etherIPv6>>8 {
		frame[15] &= 0xf0
		frame[16], frame[17] = 0, 0
	}
	return frame
}

func TestOddPacketsComeToTheSocket(t *testing.T) {
	for name, w := range worlds() {
		ip := map[bool]int{true: 20, false: 40}[w.local.Addr().Is4()]
		for _, c := range []struct {
			name     string
			edit     func(*datagram)
			stranger bool
		}{
			{"from another host", func(d *datagram) { d.src = netip.AddrPortFrom(d.src.Addr().Next(), d.src.Port()) }, true},
			{"from another port", func(d *datagram) { d.src = netip.AddrPortFrom(d.src.Addr(), 4002) }, true},
			{"to another port", func(d *datagram) { d.dst = netip.AddrPortFrom(d.dst.Addr(), 20002) }, false},
			{"to another address", func(d *datagram) { d.dst = netip.AddrPortFrom(d.dst.Addr().Next(), d.dst.Port()) }, false},
			{"RTCP", func(d *datagram) { d.payload[1] = 200 }, false},
			{"STUN", func(d *datagram) { d.payload[0], d.payload[1] = 0, 1 }, false},
			{"DTLS", func(d *datagram) { d.payload[0] = 22 }, false},
			{"ZRTP", func(d *datagram) { d.payload[0] = 0x10 }, false},
			{"key press", func(d *datagram) { d.payload[1] = 101 }, false},
			{"other source", func(d *datagram) { d.payload[8] = 9 }, false},
			{"sequence jump", func(d *datagram) { d.payload[2] = 200 }, false},
			{"shorter than RTP", func(d *datagram) { d.payload = d.payload[:11] }, false},
			{"empty", func(d *datagram) { d.payload = nil }, false},
			{"longer than the way out takes", func(d *datagram) { d.payload = append(d.payload, make([]byte, 200)...) }, false},
			{"on its last hop", func(d *datagram) { d.hops = 1 }, false},
			{"cut off", func(d *datagram) { d.edit = func(f []byte) { f[14+ip+5]++ } }, false},
			{"UDP shorter than IP", func(d *datagram) { d.edit = func(f []byte) { f[14+ip+5]-- } }, false},
			{"TCP", func(d *datagram) { d.edit = func(f []byte) { f[map[bool]int{true: 23, false: 20}[ip == 20]] = 6 } }, false},
			{"for another machine", func(d *datagram) { d.edit = func(f []byte) { f[5] = 9 } }, false},
			{"ARP", func(d *datagram) { d.edit = func(f []byte) { f[12], f[13] = 8, 6 } }, false},
			{"tagged", func(d *datagram) { d.edit = func(f []byte) { f[12], f[13] = 0x81, 0 } }, false},
			{"fragment, or with extensions", func(d *datagram) {
				d.edit = func(f []byte) {
					if ip == 20 {
						f[20] = 0x20
					} else {
						f[20] = 44
					}
				}
			}, false},
			{"later fragment", func(d *datagram) { d.edit = func(f []byte) { f[21], f[20] = f[21]&^0x1f, f[20]&0x40|1 } }, false},
			{"IP options, or another version", func(d *datagram) { d.edit = func(f []byte) { f[14]++; f[20]++ } }, false},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				p, m := loaded(t)
				_, b := w.started(t, m)
				d := w.datagram()
				c.edit(&d)
				frame := d.frame()
				redirected, got := run(t, p, frame)
				if redirected || !bytes.Equal(got, frame) {
					t.Errorf("redirected %v\ngot  %x\nwant %x", redirected, got, frame)
				}
				if s := b.Passed(); s.Packets != [carried]uint32{} || s.Highest != 1<<16+999 || (s.Strangers == 1) != c.stranger {
					t.Errorf("counted %+v", s)
				}
			})
		}
	}
}

func TestPacketsOfAnotherInterfaceComeToTheSocket(t *testing.T) {
	for name, w := range worlds() {
		t.Run(name, func(t *testing.T) {
			p, m := loaded(t)
			k, b := w.started(t, m)
			elsewhere := b.(*bypass).flow.entry(b.(*bypass).slot, Route{Ifindex: loopback + 1, MTU: 1500}, Route{Ifindex: wayOut, MTU: 1500})
			if err := k.maps.Flows.Update(bytesOf(&b.(*bypass).key), bytesOf(&elsewhere), ebpf.UpdateExist); err != nil {
				t.Fatal(err)
			}
			d := w.datagram()
			if redirected, _ := run(t, p, d.frame()); redirected || b.Passed().Strangers != 0 {
				t.Errorf("redirected %v, counted %+v", redirected, b.Passed())
			}
		})
	}
}

func TestDamageStays(t *testing.T) {
	for name, w := range worlds() {
		t.Run(name, func(t *testing.T) {
			p, m := loaded(t)
			w.started(t, m)
			d := w.datagram()
			d.edit = func(f []byte) { f[len(f)-1] ^= 4 }
			_, got := run(t, p, d.frame())
			l4 := 14 + map[bool]int{true: 20, false: 40}[d.four()]
			udp := bytes.Clone(got[l4:])
			sum := binary.BigEndian.Uint16(udp[6:])
			udp[6], udp[7] = 0, 0
			if udpSum(w.from.Addr(), w.to.Addr(), udp) == sum {
				t.Error("a damaged packet was made good")
			}
		})
	}
}

func TestClosedFlowComesToTheSocket(t *testing.T) {
	for name, w := range worlds() {
		t.Run(name, func(t *testing.T) {
			p, m := loaded(t)
			k, b := w.started(t, m)
			d := w.datagram()
			b.Close()
			if redirected, _ := run(t, p, d.frame()); redirected {
				t.Error("passed on after Close")
			}
			again, err := k.Start(b.(*bypass).flow)
			if err != nil {
				t.Fatal(err)
			}
			b.Close() // of the one before: it must not end this one
			if redirected, _ := run(t, p, d.frame()); !redirected || again.Passed().Packets[0] != 1 || b.Passed().Packets[0] != 0 {
				t.Error("not passed on after a second start, or counted with the first")
			}
			if err := k.Clear(); err != nil {
				t.Fatal(err)
			}
			if redirected, _ := run(t, p, d.frame()); redirected {
				t.Error("passed on after Clear")
			}
		})
	}
}

func TestTheTablesAreOfTheSizesThatTheKernelHas(t *testing.T) {
	t.Parallel()
	if keySize != 20 || flowSize != 120 || slotSize != 64 {
		t.Errorf("sizes %d, %d, %d: raise Generation with each change", keySize, flowSize, slotSize)
	}
	// struct bpf_redir_neigh: the family, and the address right behind it.
	if unsafe.Offsetof(flow{}.NextHop) != unsafe.Offsetof(flow{}.Family)+4 {
		t.Error("the next hop is not where the kernel looks for it")
	}
	for _, a := range []string{"192.0.2.1:5004", "[2001:db8::1]:5004"} {
		k := keyOf(netip.MustParseAddrPort(a))
		if got := k.local().String(); got != a {
			t.Errorf("%s became %s", a, got)
		}
	}
}
