package mediapath

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tested is how many flows a table of a test has room for.
const tested = 2048

// bench is a table with two wires, in a network namespace of its own: what is sent at near comes in by
// the first interface, what is passed on goes out by the second and is heard at far.
type bench struct {
	t          testing.TB
	table      *Table
	links      []ctl.Link
	near, far  int // packet sockets
	mac, hopHW net.HardwareAddr
}

func newBench(t testing.TB) *bench {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace here: %v: run as root", err)
	}
	b := &bench{t: t, hopHW: net.HardwareAddr{2, 0, 0x5e, 0, 0x53, 7}}
	for _, name := range []string{"in", "out"} {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}))
		for _, n := range []string{name, name + "p"} {
			l, err := netlink.LinkByName(n)
			must(t, err)
			must(t, netlink.LinkSetUp(l))
		}
		l, err := netlink.LinkByName(name)
		must(t, err)
		b.links = append(b.links, ctl.Link{Name: name, Index: l.Attrs().Index, MAC: l.Attrs().HardwareAddr.String()})
	}
	in, err := net.InterfaceByName("in")
	must(t, err)
	b.mac = in.HardwareAddr
	for _, hop := range []string{"198.51.100.9", "2001:db8::9"} {
		must(t, netlink.NeighSet(&netlink.Neigh{
			LinkIndex: b.links[1].Index, State: unix.NUD_PERMANENT, IP: net.ParseIP(hop), HardwareAddr: b.hopHW,
		}))
	}
	b.near, b.far = packetSocket(t, "inp"), packetSocket(t, "outp")
	if b.table, err = Open(tested); err != nil {
		t.Skipf("no packet filter here: %v: run as root on a kernel with NF_TABLES_NETDEV and NFT_FWD_NETDEV", err)
	}
	t.Cleanup(func() { _ = b.table.Close() })
	names, err := b.table.Follow(b.links)
	if err != nil || len(names) != 2 {
		t.Fatalf("sees %v, %v", names, err)
	}
	return b
}

// packetSocket is one that sees the media of an interface.
func packetSocket(t testing.TB, device string) int {
	t.Helper()
	ifi, err := net.InterfaceByName(device)
	must(t, err)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0x0300) // ETH_P_ALL
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: ifi.Index}))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}))
	return fd
}

// passes sends a frame and returns it as it goes out, nil if it does not. A frame behind it that passes
// tells that nothing is to come.
func (b *bench) passes(frame []byte, last []byte) (out []byte) {
	b.t.Helper()
	must(b.t, unix.Send(b.near, frame, 0))
	must(b.t, unix.Send(b.near, last, 0))
	buf := make([]byte, 2048)
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		n, from, err := unix.Recvfrom(b.far, buf, 0)
		if err != nil {
			continue
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING || !bytes.Equal(buf[:6], b.hopHW) {
			continue
		}
		if bytes.HasSuffix(buf[:n], []byte("the last one")) {
			return out
		}
		out = bytes.Clone(buf[:n])
	}
	b.t.Fatal("nothing passes any more")
	return nil
}

func (b *bench) flow(six bool) ctl.MediaFlow {
	at := func(four, six16 string, isSix bool) netip.AddrPort {
		if isSix {
			return netip.MustParseAddrPort(six16)
		}
		return netip.MustParseAddrPort(four)
	}
	f := ctl.MediaFlow{
		Slot: 7, In: uint32(b.links[0].Index), Out: uint32(b.links[1].Index), SSRC: 0xdeadbeef, Types: []uint8{0, 13}, DSCP: 46,
		Peer: at("192.0.2.2:5004", "[2001:db8:1::2]:5004", six), Local: at("192.0.2.1:20000", "[2001:db8:1::1]:20000", six),
		From: at("198.51.100.1:20002", "[2001:db8::1]:20002", six), To: at("203.0.113.5:6004", "[2001:db8:5::5]:6004", six),
	}
	f.NextHop = at("198.51.100.9:1", "[2001:db8::9]:1", six).Addr()
	if !six {
		f.Priority = 6
	}
	return f
}

// datagram is a packet of a flow, which a test may spoil.
type datagram struct {
	src, dst netip.AddrPort
	hops     byte
	class    byte
	rtp      []byte
	noSum    bool
	edit     func([]byte)
}

func of(f *ctl.MediaFlow) *datagram {
	d := &datagram{src: f.Peer, dst: f.Local, hops: 64, class: 0xff, rtp: []byte{0x80, 0, 0x12, 0x34, 1, 2, 3, 4}}
	d.rtp = append(binary.BigEndian.AppendUint32(d.rtp, f.SSRC), "words"...)
	return d
}

func (d *datagram) says(text string) *datagram { d.rtp = append(d.rtp[:12:12], text...); return d }

func (d *datagram) frame(mac net.HardwareAddr) []byte {
	u := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, d.src.Port()), d.dst.Port())
	u = append(binary.BigEndian.AppendUint16(u, uint16(8+len(d.rtp))), 0, 0)
	u = append(u, d.rtp...)
	if !d.noSum {
		binary.BigEndian.PutUint16(u[6:], udpSumOf(d.src.Addr(), d.dst.Addr(), u))
	}
	f := append(append([]byte(nil), mac...), 2, 0, 0x5e, 0, 0x53, 1)
	if d.src.Addr().Is4() {
		f = append(f, 0x08, 0)
		ip := []byte{0x45, d.class, 0, 0, 0x12, 0x34, 0x40, 0, d.hops, 17, 0, 0}
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(u)))
		ip = append(append(ip, d.src.Addr().AsSlice()...), d.dst.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(ip[10:], ^fold(sum(0, ip)))
		f = append(f, ip...)
	} else {
		f = append(f, 0x86, 0xdd)
		ip := []byte{0x60 | d.class>>4, d.class<<4 | 7, 0x12, 0x34, 0, 0, 17, d.hops}
		binary.BigEndian.PutUint16(ip[4:], uint16(len(u)))
		f = append(append(append(f, ip...), d.src.Addr().AsSlice()...), d.dst.Addr().AsSlice()...)
	}
	f = append(f, u...)
	if d.edit != nil {
		d.edit(f)
	}
	return f
}

// sum adds words in network order (RFC 1071 §1).
func sum(s uint32, b []byte) uint32 {
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i]) << 8
		if i+1 < len(b) {
			s += uint32(b[i+1])
		}
	}
	return s
}

func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

// udpSumOf is the checksum of a UDP packet whose own field is zero (RFC 768).
func udpSumOf(src, dst netip.Addr, u []byte) uint16 {
	s := ^fold(sum(sum(sum(17+uint32(len(u)), src.AsSlice()), dst.AsSlice()), u))
	if s == 0 {
		return 0xffff
	}
	return s
}
