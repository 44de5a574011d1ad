package offload

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/daemon/netd"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/capture"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// finishChecksums makes an interface's checksums be written by the kernel, not left to the card: then
// what goes over the wire has them (ethtool, tx off).
func finishChecksums(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	off := struct{ cmd, data uint32 }{cmd: 0x17} // ETHTOOL_STXCSUM
	var req struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(req.name[:], name)
	req.data = unsafe.Pointer(&off)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return fmt.Errorf("checksums of %s: %w", name, errno)
	}
	return nil
}

// Another program agrees that the packets on the wire are right: checksums that the phone has finished,
// and those that it has left to the card.
func TestChecksumsOnTheWire(t *testing.T) {
	bothWays(t, checksumsOnTheWire)
}

func checksumsOnTheWire(t *testing.T, way string) {
	for _, c := range []struct {
		name     string
		six      bool
		finished bool
	}{{"IPv4 finished", false, true}, {"IPv4 left to the card", false, false}, {"IPv6 finished", true, true}, {"IPv6 left to the card", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, hosts := newBox(t, way, "alice", "bob")
			if err := b.Box.Do(func() error { return finishChecksums("to2") }); err != nil {
				t.Fatal(err)
			}
			if c.finished {
				if err := hosts["alice"].Do(func() error { return finishChecksums("eth0") }); err != nil {
					t.Fatal(err)
				}
			}
			call := b.call(hosts["alice"], hosts["bob"], c.six)
			wire := capture.Start(t, hosts["bob"])
			before, _ := call.stats()
			call.rest(50)
			wire.Stop()
			b.until("the kernel is known to have passed them on", func() bool {
				after, _ := call.stats()
				return after.Offloaded-before.Offloaded >= 40
			})
			filter := fmt.Sprintf("udp.srcport == %d", call.b.to.Port())
			fields := []string{"udp.checksum.status", "ip.checksum.status", "ip.dsfield.dscp", "ipv6.tclass.dscp", "ip.ttl", "ipv6.hlim", "udp.length"}
			rows := wire.TsharkWith([]string{"udp.check_checksum:TRUE", "ip.check_checksum:TRUE"}, filter, fields...)
			if len(rows) < 50 {
				t.Fatalf("%d packets on the wire", len(rows))
			}
			want := "1 1 46  63  180"
			if c.six {
				want = "1   46  63 180"
			}
			for _, r := range rows {
				if got := strings.Join(r, " "); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// Nobody but the proven parties is heard, and nobody else hears.
func TestThirdAddressReachesNobody(t *testing.T) { bothWays(t, thirdAddressReachesNobody) }

func thirdAddressReachesNobody(t *testing.T, way string) {
	b, hosts := newBox(t, way, "alice", "bob", "mallory")
	call := b.call(hosts["alice"], hosts["bob"], false)
	m := newPhone(t, hosts["mallory"], hosts["mallory"].V4, call.a.ssrc)
	m.sent = 30000
	m.to = call.a.to
	m.talk()
	near := newPhone(t, hosts["alice"], hosts["alice"].V4, call.a.ssrc) // the same host, another port
	near.sent, near.to = 40000, call.a.to
	near.talk()
	call.rest(100)
	m.stop()
	near.stop()
	call.a.stop()
	call.b.stop()
	call.both(1, 1)
	if len(m.since(0)) != 0 || len(near.since(0)) != 0 {
		t.Error("a stranger hears")
	}
	// The packet filter does not count strangers, nor do sockets that are connected; the program counts the near one's
	// hundred, less what a busy machine keeps it from saying.
	seen := way != netd.OffloadNftables
	if a, _ := call.stats(); (seen && a.Dropped < 50) || a.Remote != call.a.at() {
		t.Errorf("account %+v", a)
	}
}

// A party that falls silent comes back to the sockets: there it may have got another port from a NAT.
func TestPartyBehindAnotherPort(t *testing.T) { bothWays(t, partyBehindAnotherPort) }

func partyBehindAnotherPort(t *testing.T, way string) {
	b, hosts := newBox(t, way, "alice", "bob")
	call := b.call(hosts["alice"], hosts["bob"], false)
	call.a.stop()
	b.offloaded(1) // bob is still heard
	before := call.a.last()
	call.a.open(netip.AddrPortFrom(call.a.at().Addr(), 0))
	go call.a.listen(call.a.conn)
	call.a.talk()
	b.until("bob hears alice again", func() bool { return len(call.b.since(before+1)) > 20 })
	heard := len(call.a.since(0))
	b.until("alice hears bob again", func() bool { return len(call.a.since(0)) > heard+20 })
	b.offloaded(2)
	if a, _ := call.stats(); a.Remote != call.a.at() {
		t.Errorf("account %+v", a)
	}
}

// Keys and reports come to mediad, also while the kernel passes the sound on.
func TestKeysAndReportsComeToTheSocket(t *testing.T) { bothWays(t, keysAndReportsComeToTheSocket) }

func keysAndReportsComeToTheSocket(t *testing.T, way string) {
	b, hosts := newBox(t, way, "alice", "bob")
	call := b.call(hosts["alice"], hosts["bob"], false)
	before, _ := call.stats()
	for range 10 {
		p := call.a.packet()
		p[1] = 101
		if _, err := call.a.conn.WriteToUDPAddrPort(p[:16], call.a.to); err != nil {
			t.Fatal(err)
		}
	}
	call.rest(20)
	b.offloaded(2)
	call.a.stop()
	call.b.stop()
	after, _ := call.counted()
	if sent := uint64(call.a.last()); after.PacketsIn != sent || after.Offloaded <= before.Offloaded || after.LostIn != 0 {
		t.Errorf("of %d packets %+v", sent, after)
	}
	call.b.hearsAll(call.a, 1)
}

// A party's interface gets another MAC address, and a party is reached another way.
func TestMACAndRouteChange(t *testing.T) { bothWays(t, mACAndRouteChange) }

func mACAndRouteChange(t *testing.T, way string) {
	b, hosts := newBox(t, way, "alice", "bob")
	call := b.call(hosts["alice"], hosts["bob"], false)
	if err := hosts["bob"].Do(func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(eth0, net.HardwareAddr{2, 0, 0x5e, 0, 0x53, 9})
	}); err != nil {
		t.Fatal(err)
	}
	// Bob asks for the box's address anew, which tells the box his own (RFC 826).
	hosts["bob"].Output(t, "ip", "neigh", "flush", "dev", "eth0")
	first := call.a.last()
	b.until("bob hears alice at his new MAC address", func() bool { return len(call.b.since(first)) > 20 })
	secondWire(t, b, hosts["bob"])
	b.until("alice is heard by the second wire", func() bool { return received(t, hosts["bob"], "eth1") > 100 })
	st, err := b.media.Status(t.Context())
	if err != nil || st.Offloaded == 0 {
		t.Errorf("status %+v, %v", st, err)
	}
}

// secondWire gives a host another wire to the box, by which the box reaches it from now on.
func secondWire(t *testing.T, b *box, h *netlab.Host) {
	t.Helper()
	h.Output(t, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "box1")
	h.Output(t, "ip", "addr", "add", "198.18.99.2/24", "dev", "eth1")
	h.Output(t, "ip", "link", "set", "eth1", "up")
	box := fmt.Sprintf("/proc/%s/ns/net", strings.TrimSpace(b.Box.Output(t, "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")))
	h.Output(t, "ip", "link", "set", "box1", "netns", strings.Split(box, "/")[2])
	b.Box.Output(t, "ip", "addr", "add", "198.18.99.1/24", "dev", "box1")
	b.Box.Output(t, "ip", "link", "set", "box1", "up")
	b.Box.Output(t, "ip", "route", "replace", h.V4.String()+"/32", "via", "198.18.99.2", "dev", "box1")
}

// received returns how many packets came in by an interface.
func received(t *testing.T, h *netlab.Host, name string) (packets uint64) {
	t.Helper()
	if err := h.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err == nil {
			packets = l.Attrs().Statistics.RxPackets
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return packets
}

// A frame of a VLAN that the box is not in is not media, whatever is inside.
func TestTaggedFramesAreNotPassedOn(t *testing.T) { bothWays(t, taggedFramesAreNotPassedOn) }

func taggedFramesAreNotPassedOn(t *testing.T, way string) {
	b, hosts := newBox(t, way, "alice", "bob")
	call := b.call(hosts["alice"], hosts["bob"], false)
	call.a.stop()
	call.b.stop()
	call.both(1, 1)
	plain := frame(t, b, hosts["alice"], call.a.at(), call.a.to, call.a.packet())
	tagged := append(append(append([]byte(nil), plain[:12]...), 0x81, 0, 0, 7), plain[12:]...)
	send := func(f []byte) {
		t.Helper()
		if err := hosts["alice"].Do(func() error { return sendFrame("eth0", f) }); err != nil {
			t.Fatal(err)
		}
	}
	heard := len(call.b.since(0))
	send(tagged)
	time.Sleep(50 * time.Millisecond) // nothing comes: there is nothing to wait for
	if got := len(call.b.since(0)); got != heard {
		t.Error("a tagged frame was passed on")
	}
	send(plain)
	b.until("the same without a tag is passed on", func() bool { return len(call.b.since(0)) == heard+1 })
	var s ctl.StreamStats
	if s, _ = call.stats(); s.LostIn != 0 {
		t.Errorf("account %+v", s)
	}
}

// frame makes a packet from a host to the box by hand.
func frame(t *testing.T, b *box, h *netlab.Host, from, to netip.AddrPort, payload []byte) (f []byte) {
	t.Helper()
	mac := func(h *netlab.Host, name string) (a net.HardwareAddr) {
		if err := h.Do(func() error {
			l, err := netlink.LinkByName(name)
			if err == nil {
				a = l.Attrs().HardwareAddr
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return a
	}
	f = append(append(f, mac(b.Box, "to1")...), mac(h, "eth0")...)
	f = append(f, 8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0)
	f = append(append(f, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(f[16:], uint16(28+len(payload)))
	var sum uint32
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	binary.BigEndian.PutUint16(f[24:], ^uint16(sum+sum>>16))
	f = binary.BigEndian.AppendUint16(f, from.Port())
	f = binary.BigEndian.AppendUint16(f, to.Port())
	f = binary.BigEndian.AppendUint16(f, uint16(8+len(payload)))
	return append(append(f, 0, 0), payload...)
}

// sendFrame sends a frame as it is.
func sendFrame(name string, f []byte) error {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: ifi.Index, Halen: 6})
}
