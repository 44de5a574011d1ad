package udpio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSockaddrRoundTrip(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1:5060":          "192.0.2.1:5060",
		"[2001:db8::1]:65535":     "[2001:db8::1]:65535",
		"[fe80::1%1]:9":           "[fe80::1%1]:9",
		"[fe80::1%lo]:9":          "[fe80::1%1]:9",
		"[fe80::1%absent0]:9":     "[fe80::1]:9",
		"[::ffff:192.0.2.1]:5060": "192.0.2.1:5060",
	} {
		s := SockaddrOf(netip.MustParseAddrPort(in))
		if got := s.AddrPort(); got != netip.MustParseAddrPort(want) || !s.Valid() {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
	var none Sockaddr
	none.Set(netip.AddrPort{})
	if none.Valid() || none.AddrPort().IsValid() || none.size() != 0 {
		t.Errorf("no address became %s", none.AddrPort())
	}
}

func TestSockaddrEqual(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b       string
		same, host bool
	}{
		{"192.0.2.1:1", "192.0.2.1:1", true, true},
		{"192.0.2.1:1", "192.0.2.1:2", false, true},
		{"192.0.2.1:1", "192.0.2.2:1", false, false},
		{"[2001:db8::1]:1", "[2001:db8::1]:1", true, true},
		{"[2001:db8::1]:1", "[2001:db8::2]:1", false, false},
		{"[fe80::1%1]:1", "[fe80::1%2]:1", false, false},
		{"0.0.0.0:1", "[::]:1", false, false},
	} {
		a, b := SockaddrOf(netip.MustParseAddrPort(c.a)), SockaddrOf(netip.MustParseAddrPort(c.b))
		if a.Equal(&b) != c.same || a.EqualAddr(&b) != c.host {
			t.Errorf("%s and %s: %v, %v", c.a, c.b, a.Equal(&b), a.EqualAddr(&b))
		}
	}
}

// open returns a socket on a free port of addr that is closed after the test.
func open(t testing.TB, addr string, o Options) (fd int, local netip.AddrPort) {
	t.Helper()
	fd, err := Open(netip.AddrPortFrom(netip.MustParseAddr(addr), 0), o)
	if err != nil {
		t.Skipf("no socket on %s: %v", addr, err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	local, err = Local(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, local
}

// await polls fd until it is readable.
func await(t testing.TB, fd int) {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 2000)
	if n != 1 {
		t.Fatalf("nothing to read: %v", err)
	}
}

func TestBatchCarriesManyWithSourceAndDestination(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1", "::1"} {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			any := map[string]string{"127.0.0.1": "0.0.0.0", "::1": "::"}[addr]
			rx, rxLocal := open(t, any, Options{PacketInfo: true, ReceiveBuffer: SignallingBuffer})
			tx, txLocal := open(t, addr, Options{SendBuffer: MediaBuffer, DSCP: DSCPVoice})
			to := SockaddrOf(netip.AddrPortFrom(netip.MustParseAddr(addr), rxLocal.Port()))
			s := NewSender(4)
			for i := range 4 {
				if !s.Add([]byte(fmt.Sprint("packet ", i)), &to, netip.Addr{}) {
					t.Fatalf("packet %d does not fit", i)
				}
			}
			if s.Add(nil, &to, netip.Addr{}) {
				t.Fatal("a fifth packet fits a batch of four")
			}
			if refused, err := s.Flush(tx); refused != 0 || err != nil || s.Len() != 0 {
				t.Fatalf("refused %d, %v, %d left", refused, err, s.Len())
			}
			await(t, rx)
			b := NewBatch(8, 64, true)
			n, err := b.Recv(rx)
			if n != 4 || err != nil {
				t.Fatalf("received %d, %v", n, err)
			}
			for i := range n {
				local, _ := b.To(i)
				if string(b.Packet(i)) != fmt.Sprint("packet ", i) || b.From(i).AddrPort() != txLocal ||
					local != netip.MustParseAddr(addr) || b.Truncated(i) {
					t.Errorf("packet %d: %q from %s to %s", i, b.Packet(i), b.From(i).AddrPort(), local)
				}
			}
			if n, err := b.Recv(rx); n != 0 || err != nil {
				t.Fatalf("an empty socket gave %d, %v", n, err)
			}
		})
	}
}

func TestSourceAddressIsChosen(t *testing.T) {
	t.Parallel()
	rx, rxLocal := open(t, "127.0.0.1", Options{})
	tx, txLocal := open(t, "0.0.0.0", Options{})
	to, from := SockaddrOf(rxLocal), netip.MustParseAddr("127.0.0.9")
	if err := Send(tx, []byte("x"), &to, from); err != nil {
		t.Fatal(err)
	}
	await(t, rx)
	b := NewBatch(1, 8, false)
	if n, err := b.Recv(rx); n != 1 || err != nil {
		t.Fatalf("received %d, %v", n, err)
	}
	if got := b.From(0).AddrPort(); got != netip.AddrPortFrom(from, txLocal.Port()) {
		t.Errorf("came from %s, want %s", got, from)
	}
	if addr, _ := b.To(0); addr.IsValid() {
		t.Errorf("a destination %s that was not asked for", addr)
	}
}

func TestLongDatagramIsMarked(t *testing.T) {
	t.Parallel()
	rx, rxLocal := open(t, "127.0.0.1", Options{})
	tx, _ := open(t, "127.0.0.1", Options{})
	to := SockaddrOf(rxLocal)
	for _, payload := range []string{"0123456789", "01234567", ""} {
		if err := Send(tx, []byte(payload), &to, netip.Addr{}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, rx)
	b := NewBatch(3, 8, false)
	if n, err := b.Recv(rx); n != 3 || err != nil {
		t.Fatalf("received %d, %v", n, err)
	}
	if !b.Truncated(0) || string(b.Packet(0)) != "01234567" {
		t.Errorf("a long one: truncated %v, %q", b.Truncated(0), b.Packet(0))
	}
	if b.Truncated(1) || len(b.Packet(1)) != 8 || b.Truncated(2) || len(b.Packet(2)) != 0 {
		t.Error("a fitting or an empty one is marked")
	}
}

func TestConnectedSocketHearsItsPeerOnly(t *testing.T) {
	t.Parallel()
	chosen, rxLocal := open(t, "127.0.0.8", Options{Reuse: true})
	rx, err := Open(rxLocal, Options{Reuse: true}) // with the port named, as Disconnect needs it
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(rx)
	to := SockaddrOf(rxLocal)
	if err := Connect(chosen, &to); err != nil { // out of the way: it hears itself only
		t.Fatal(err)
	}
	peer, peerLocal := open(t, "127.0.0.1", Options{})
	other, _ := open(t, "127.0.0.1", Options{})
	name := SockaddrOf(peerLocal)
	if err := Connect(rx, &name); err != nil {
		t.Fatal(err)
	}
	_ = Send(other, []byte("other"), &to, netip.Addr{}) // refused or lost, as the kernel likes
	if err := Send(peer, []byte("peer"), &to, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	await(t, rx)
	b := NewBatch(4, 16, false)
	if n, err := b.Recv(rx); n != 1 || err != nil || string(b.Packet(0)) != "peer" {
		t.Fatalf("received %d, %v, %q", n, err, b.Packet(0))
	}
	if err := Disconnect(rx); err != nil {
		t.Fatal(err)
	}
	if local, err := Local(rx); local != rxLocal || err != nil {
		t.Fatalf("after disconnect the address is %s, %v", local, err)
	}
	stranger, _ := open(t, "127.0.0.1", Options{})
	if err := Send(stranger, []byte("stranger"), &to, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	await(t, rx)
	if n, _ := b.Recv(rx); n != 1 || string(b.Packet(0)) != "stranger" {
		t.Fatalf("after disconnect: %d", n)
	}
}

// A send to a dead port leaves an error on a connected socket that the next receive would get.
func TestRecvPassesOverICMPErrors(t *testing.T) {
	t.Parallel()
	fd, local := open(t, "127.0.0.1", Options{})
	peer, err := Open(netip.MustParseAddrPort("127.0.0.1:0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	peerLocal, err := Local(peer)
	if err != nil {
		t.Fatal(err)
	}
	name, to := SockaddrOf(peerLocal), SockaddrOf(local)
	if err := Connect(fd, &name); err != nil {
		t.Fatal(err)
	}
	if err := Send(peer, []byte("last words"), &to, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(peer); err != nil {
		t.Fatal(err)
	}
	if err := Send(fd, []byte("x"), nil, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	b := NewBatch(2, 16, false)
	if n, err := b.Recv(fd); n != 1 || err != nil || string(b.Packet(0)) != "last words" {
		t.Fatalf("received %d, %v", n, err)
	}
}

func TestFlushSkipsWhatTheKernelRefuses(t *testing.T) {
	t.Parallel()
	rx, rxLocal := open(t, "127.0.0.1", Options{})
	tx, _ := open(t, "127.0.0.1", Options{})
	good, bad := SockaddrOf(rxLocal), SockaddrOf(netip.MustParseAddrPort("[::1]:9"))
	s := NewSender(3)
	s.Add([]byte("a"), &good, netip.Addr{})
	s.Add([]byte("b"), &bad, netip.Addr{}) // an IPv6 address on an IPv4 socket
	s.Add(make([]byte, 70000), &good, netip.Addr{})
	if refused, err := s.Flush(tx); refused != 2 || err != nil {
		t.Fatalf("refused %d, %v", refused, err)
	}
	s.Add([]byte("c"), &good, netip.Addr{})
	if refused, err := s.Flush(tx); refused != 0 || err != nil {
		t.Fatalf("refused %d, %v", refused, err)
	}
	await(t, rx)
	b := NewBatch(4, 16, false)
	if n, _ := b.Recv(rx); n != 2 || string(b.Packet(0)) != "a" || string(b.Packet(1)) != "c" {
		t.Fatalf("received %d", n)
	}
	s.Add([]byte("d"), &good, netip.Addr{})
	if _, err := s.Flush(-1); !errors.Is(err, unix.EBADF) || s.Len() != 0 {
		t.Fatalf("a closed socket gave %v, %d left", err, s.Len())
	}
	if _, err := b.Recv(-1); !errors.Is(err, unix.EBADF) {
		t.Fatalf("a closed socket gave %v", err)
	}
}

func TestAdoptTakesBoundUDPSocketsOnly(t *testing.T) {
	t.Parallel()
	fd, local := open(t, "127.0.0.1", Options{})
	if got, err := Adopt(fd); got != local || err != nil {
		t.Errorf("adopted %s, %v; want %s", got, err, local)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(h uintptr) {
		if _, err := Adopt(int(h)); err == nil {
			t.Error("a TCP socket was adopted")
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := Adopt(-1); err == nil {
		t.Error("no descriptor was adopted")
	}
}

func TestOptionsReachTheKernel(t *testing.T) {
	t.Parallel()
	a, local := open(t, "127.0.0.1", Options{Reuse: true, ReceiveBuffer: MediaBuffer, DSCP: DSCPVideo})
	b, err := Open(local, Options{Reuse: true})
	if err != nil {
		t.Fatalf("a second socket on %s: %v", local, err)
	}
	defer unix.Close(b)
	if _, err := Open(local, Options{}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a third one without reuse: %v", err)
	}
	if tos, _ := unix.GetsockoptInt(a, unix.IPPROTO_IP, unix.IP_TOS); tos != 34<<2 {
		t.Errorf("TOS %d", tos)
	}
	if size, _ := unix.GetsockoptInt(a, unix.SOL_SOCKET, unix.SO_RCVBUF); size < MediaBuffer {
		t.Errorf("receive buffer of %d bytes", size) // the kernel tells twice what was asked for
	}
	six, _ := open(t, "::1", Options{DSCP: DSCPSignaling})
	if class, _ := unix.GetsockoptInt(six, unix.IPPROTO_IPV6, unix.IPV6_TCLASS); class != 24<<2 {
		t.Errorf("traffic class %d", class)
	}
	if only, _ := unix.GetsockoptInt(six, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); only != 1 {
		t.Error("an IPv6 socket takes IPv4 too")
	}
	if _, err := Open(netip.AddrPort{}, Options{}); err == nil {
		t.Error("opened without an address")
	}
}

func TestNoAllocationPerDatagram(t *testing.T) {
	rx, rxLocal := open(t, "127.0.0.1", Options{PacketInfo: true})
	tx, _ := open(t, "127.0.0.1", Options{})
	to, from := SockaddrOf(rxLocal), netip.MustParseAddr("127.0.0.1")
	b, s := NewBatch(4, 64, true), NewSender(4)
	payload := []byte("twelve bytes")
	got := 0
	allocs := testing.AllocsPerRun(100, func() {
		if err := Send(tx, payload, &to, from); err != nil {
			t.Fatal(err)
		}
		s.Add(payload, &to, from)
		s.Add(payload, &to, netip.Addr{})
		if _, err := s.Flush(tx); err != nil {
			t.Fatal(err)
		}
		n, err := b.Recv(rx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			local, _ := b.To(i)
			if b.From(i).AddrPort().Addr() == local && len(b.Packet(i)) == len(payload) {
				got++
			}
		}
		_, _ = b.Recv(rx)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if got != 303 { // 100 runs and one to warm up, three datagrams each
		t.Errorf("%d datagrams arrived", got)
	}
}

func BenchmarkSendRecv(b *testing.B) {
	rx, rxLocal := open(b, "127.0.0.1", Options{})
	tx, _ := open(b, "127.0.0.1", Options{})
	to := SockaddrOf(rxLocal)
	const batch = 16
	in, out := NewBatch(batch, 256, false), NewSender(batch)
	payload := make([]byte, 172)
	b.ReportAllocs()
	for b.Loop() {
		for range batch {
			out.Add(payload, &to, netip.Addr{})
		}
		if _, err := out.Flush(tx); err != nil {
			b.Fatal(err)
		}
		if n, err := in.Recv(rx); n != batch || err != nil {
			b.Fatalf("received %d, %v", n, err)
		}
	}
}
