package relay

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// traffic is n joined calls of which every party sends a packet each time.
type traffic struct {
	loop    *Loop
	phones  []*phone
	fds     []int // of the phones' sockets
	to      []udpio.Sockaddr
	packets [][]byte
	in      *udpio.Batch
}

func newTraffic(t testing.TB, n int, ring bool) *traffic {
	t.Helper()
	tr := &traffic{loop: stillLoop(t, ring), in: udpio.NewBatch(4, 256, false)}
	for range n {
		a, b := newPhone(t, tr.loop, "127.0.12.1", "127.0.12.3"), newPhone(t, tr.loop, "127.0.12.2", "127.0.12.3")
		join(t, tr.loop, a, b, a.terms(), b.terms())
		for _, p := range []*phone{a, b} {
			raw, err := p.rtp.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			_ = raw.Control(func(fd uintptr) { tr.fds = append(tr.fds, int(fd)) }) // the socket is open
			tr.phones, tr.to = append(tr.phones, p), append(tr.to, udpio.SockaddrOf(p.ours[0]))
			tr.packets = append(tr.packets, p.packet(string(make([]byte, 160))))
		}
	}
	return tr
}

// send lets every party send once.
func (tr *traffic) send() {
	for i, fd := range tr.fds {
		_ = udpio.Send(fd, tr.packets[i], &tr.to[i], netip.Addr{}) // what is lost is seen by turn's caller
	}
}

// turn relays what waits, and takes it off the phones' sockets.
func (tr *traffic) turn() (heard int) {
	for n, _ := tr.loop.poll(0); n > 0; n, _ = tr.loop.poll(0) {
		tr.loop.turn(tr.loop.events[:n])
	}
	for _, fd := range tr.fds {
		n, _ := tr.in.Recv(fd)
		heard += n
	}
	return heard
}

func TestRelayAllocatesNothing(t *testing.T) {
	for _, ring := range []bool{true, false} {
		tr := newTraffic(t, 4, ring)
		heard := 0
		var allocs float64
		do(t, tr.loop, func(int64) {
			allocs = testing.AllocsPerRun(100, func() {
				tr.send()
				heard += tr.turn()
			})
		})
		if allocs != 0 || heard != 101*8 {
			t.Errorf("ring %v: %v allocations, %d packets heard", ring, allocs, heard)
		}
	}
}

func TestWaitAllocatesNothing(t *testing.T) {
	l := stillLoop(t, true)
	var allocs float64
	do(t, l, func(int64) {
		allocs = testing.AllocsPerRun(20, func() {
			l.pace.tick = shortTick
			l.pace.since = l.clock.now()
			_, _ = l.waitLocked(true) // fails when the loop is closed, which it is not
		})
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkRelay is the whole way of a packet: sent, relayed, received.
func BenchmarkRelay(b *testing.B) {
	for _, ring := range []bool{true, false} {
		for _, calls := range []int{1, 50} {
			b.Run(fmt.Sprintf("ring=%v/calls=%d", ring, calls), func(b *testing.B) {
				tr := newTraffic(b, calls, ring)
				b.ReportAllocs()
				do(b, tr.loop, func(int64) {
					for b.Loop() {
						tr.send()
						tr.turn()
					}
				})
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(2*calls), "ns/packet")
			})
		}
	}
}

// BenchmarkJudge is our own part of it: from bytes to the decision, without a system call.
func BenchmarkJudge(b *testing.B) {
	tr := newTraffic(b, 1, false)
	from := udpio.SockaddrOf(local(tr.phones[0].rtp))
	e := &tr.phones[0].stream.rtp
	b.ReportAllocs()
	do(b, tr.loop, func(now int64) {
		l := tr.loop
		e.stream.SetRoute(Route{})
		for b.Loop() {
			now += 20 * ms
			l.packet(e, tr.packets[0], &from, now)
		}
	})
}
