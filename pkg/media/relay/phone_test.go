package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/rtp"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// newLoop makes a loop that does not run.
func newLoop(t testing.TB, ring bool) *Loop {
	t.Helper()
	l, err := New(ring, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if used, _ := l.burst.Ring(); ring && !used {
		t.Skip("no io_uring here")
	}
	return l
}

// stillLoop is a loop that never runs by itself, for a test that takes its turns.
func stillLoop(t testing.TB, ring bool) *Loop {
	t.Helper()
	l := newLoop(t, ring)
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err := l.closeLocked(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// startLoop runs a loop until the test ends.
func startLoop(t testing.TB, ring bool) *Loop {
	t.Helper()
	l := newLoop(t, ring)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l
}

func do(t testing.TB, l *Loop, f func(now int64)) {
	t.Helper()
	if err := l.Do(f); err != nil {
		t.Fatal(err)
	}
}

// phone is one party: two sockets, and the stream of ours that faces it.
type phone struct {
	t         testing.TB
	rtp, rtcp *net.UDPConn
	stream    *Stream
	ours      [2]netip.AddrPort // RTP, RTCP
	seq       uint16
}

func listen(t testing.TB, host string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 0)))
	if err != nil {
		t.Skipf("no socket on %s: %v", host, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func local(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// newPhone is a party at host that the relay faces at ours.
func newPhone(t testing.TB, l *Loop, host, ours string) *phone {
	t.Helper()
	p := &phone{t: t, rtp: listen(t, host), rtcp: listen(t, host)}
	var fds [2]int
	for i := range fds {
		// A port of its own choice would be lost by Disconnect.
		tmp := listen(t, ours)
		p.ours[i] = local(tmp)
		_ = tmp.Close()
		fd, err := udpio.Open(p.ours[i], udpio.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		fds[i] = fd
	}
	do(t, l, func(int64) {
		var err error
		if p.stream, err = l.Attach(fds[0], fds[1], nil); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { _ = l.Do(func(int64) { p.stream.Detach() }) })
	return p
}

func (p *phone) terms() Terms {
	return Terms{
		RTP: local(p.rtp), RTCP: local(p.rtcp), Source: local(p.rtp).Addr(),
		Formats: []Format{{PayloadType: 0, ClockRate: 8000}, {PayloadType: 101, ClockRate: 8000, Untimed: true}},
	}
}

// packet is the next RTP packet with this payload.
func (p *phone) packet(payload string) []byte {
	p.seq++
	b, err := (&rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: p.seq, Timestamp: uint32(p.seq) * 160, SSRC: 0xabc},
		Payload: []byte(payload),
	}).Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func write(t testing.TB, from *net.UDPConn, to netip.AddrPort, b []byte) {
	t.Helper()
	if _, err := from.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
}

// hear waits for a packet on conn.
func hear(t testing.TB, conn *net.UDPConn) (b []byte, from netip.AddrPort) {
	t.Helper()
	buf := make([]byte, 4096)
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, from, err := conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatalf("nothing was heard: %v", err)
	}
	return buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// deaf fails if a packet waits on conn. Packets sent before by the same loop have arrived: on
// loopback, delivery is part of the sending.
func deaf(t testing.TB, l *Loop, conn *net.UDPConn) {
	t.Helper()
	if err := l.Turn(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if n, from, err := conn.ReadFromUDPAddrPort(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard % x from %s, %v", buf[:n], from, err)
	}
}

// join routes both ways between a and b.
func join(t testing.TB, l *Loop, a, b *phone, ta, tb Terms) {
	t.Helper()
	do(t, l, func(int64) {
		a.stream.SetTerms(ta)
		b.stream.SetTerms(tb)
		a.stream.SetRoute(Route{To: b.stream, Media: true})
		b.stream.SetRoute(Route{To: a.stream, Media: true})
	})
}

func (p *phone) state() (st State) {
	do(p.t, p.stream.loop, func(int64) { st = p.stream.State() })
	return st
}
