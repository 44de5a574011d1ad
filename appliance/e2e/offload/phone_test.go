package offload

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// ptime is the time between two packets of a phone.
const ptime = 5 * time.Millisecond

// phone is a party that talks all the time and remembers what it hears.
type phone struct {
	t    *testing.T
	host *netlab.Host
	conn *net.UDPConn
	ssrc uint32
	to   netip.AddrPort

	mu    sync.Mutex // guards what follows
	sent  uint16     // sequence number of the last packet
	heard []uint16
	times []time.Time

	stop func()
}

func newPhone(t *testing.T, h *netlab.Host, at netip.Addr, ssrc uint32) *phone {
	t.Helper()
	p := &phone{t: t, host: h, ssrc: ssrc, stop: func() {}}
	p.open(netip.AddrPortFrom(at, 0))
	go p.listen(p.conn)
	return p
}

func (p *phone) open(at netip.AddrPort) {
	p.t.Helper()
	conn, err := p.host.ListenUDP(at)
	if err != nil {
		p.t.Fatal(err)
	}
	p.conn = conn
	p.t.Cleanup(func() { p.stop(); _ = conn.Close() })
}

func (p *phone) at() netip.AddrPort { return p.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// listen remembers the sequence numbers of what comes, until the socket is closed.
func (p *phone) listen(conn *net.UDPConn) {
	b := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if n >= 12 && b[0] == 0x80 {
			p.mu.Lock()
			p.heard = append(p.heard, binary.BigEndian.Uint16(b[2:]))
			p.times = append(p.times, time.Now())
			p.mu.Unlock()
		}
	}
}

// packet is the phone's next one.
func (p *phone) packet() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent++
	b := make([]byte, 172)
	b[0] = 0x80
	binary.BigEndian.PutUint16(b[2:], p.sent)
	binary.BigEndian.PutUint32(b[4:], uint32(p.sent)*uint32(8000*ptime/time.Second))
	binary.BigEndian.PutUint32(b[8:], p.ssrc)
	for i := 12; i < len(b); i++ {
		b[i] = byte(int(p.sent) * i)
	}
	return b
}

// talk begins to send; stop ends it and waits.
func (p *phone) talk() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	conn := p.conn
	wg.Go(func() {
		// From one processor: the packets of one that wanders overtake each other on the wire. The thread
		// ends with the goroutine.
		runtime.LockOSThread()
		var cpu unix.CPUSet
		cpu.Set(int(p.ssrc) % runtime.NumCPU())
		_ = unix.SchedSetaffinity(0, &cpu) // where it is refused, it wanders
		tick := time.NewTicker(ptime)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, _ = conn.WriteToUDPAddrPort(p.packet(), p.to) // a way that is changed now may refuse it
			}
		}
	})
	p.stop = func() { cancel(); wg.Wait(); p.stop = func() {} }
}

func (p *phone) last() uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// hearsAll checks that p hears all that other has sent from its packet first on, once and in order.
func (p *phone) hearsAll(other *phone, first uint16) {
	p.t.Helper()
	last := other.last()
	deadline := time.Now().Add(2 * time.Second)
	for time.Now().Before(deadline) && !slices.Contains(p.since(first), last) {
		time.Sleep(5 * time.Millisecond)
	}
	var want []uint16
	for seq := first; seq <= last; seq++ {
		want = append(want, seq)
	}
	got := slices.DeleteFunc(p.since(first), func(seq uint16) bool { return seq > last }) // said meanwhile
	if !slices.Equal(got, want) {
		p.t.Errorf("%s heard %d packets of %d to %d: %s", p.host.Name, len(got), first, last, faults(got, first, last))
	}
}

func (p *phone) since(first uint16) (out []uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, seq := range p.heard {
		if seq >= first {
			out = append(out, seq)
		}
	}
	return out
}

// faults says what is wrong with a run of sequence numbers.
func faults(got []uint16, first, last uint16) (text string) {
	count := map[uint16]int{}
	for i, seq := range got {
		count[seq]++
		if i > 0 && seq < got[i-1] {
			text += fmt.Sprintf(" %d after %d", seq, got[i-1])
		}
	}
	for seq := first; seq <= last; seq++ {
		if count[seq] != 1 {
			text += fmt.Sprintf(" %d×%d", seq, count[seq])
		}
	}
	return text
}

// leg is what the phone says of itself.
func (p *phone) leg(id string, box netip.Addr) ctl.MediaLeg {
	return ctl.MediaLeg{ID: id, Local: box, Source: p.at().Addr(), Streams: []ctl.MediaStream{{
		Kind: "audio", RTP: p.at(), Formats: []ctl.MediaFormat{
			{PayloadType: 0, Encoding: "PCMU", ClockRate: 8000}, {PayloadType: 101, Encoding: "telephone-event", ClockRate: 8000},
		},
	}}}
}

// call is two phones that talk.
type call struct {
	box  *box
	a, b *phone
	legs [2]ctl.MediaLeg
}

// call begins one between two hosts, and waits until the kernel passes it on.
func (b *box) call(alice, bob *netlab.Host, six bool) *call {
	b.t.Helper()
	addr := func(h *netlab.Host) (own, box netip.Addr) {
		if six {
			return h.V6, h.Box6
		}
		return h.V4, h.Box4
	}
	ownA, boxA := addr(alice)
	ownB, boxB := addr(bob)
	if !ownA.IsValid() {
		b.t.Skip("no IPv6 here")
	}
	return b.connect(newPhone(b.t, alice, ownA, 0xa11ce), boxA, newPhone(b.t, bob, ownB, 0xb0b), boxB)
}

// connect begins a call between two phones, at the addresses where they find the box.
func (b *box) connect(alice *phone, boxA netip.Addr, bob *phone, boxB netip.Addr) *call {
	b.t.Helper()
	c := &call{box: b, a: alice, b: bob, legs: [2]ctl.MediaLeg{alice.leg("a", boxA), bob.leg("b", boxB)}}
	offered, err := b.media.Offer(b.t.Context(), ctl.MediaOffer{Session: "one", Leg: c.legs[0], Peer: ctl.MediaLeg{ID: "b", Local: boxB}})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.media.Answer(b.t.Context(), ctl.MediaAnswer{Session: "one", Leg: c.legs[1], Peer: "a"}); err != nil {
		b.t.Fatal(err)
	}
	c.a.to, c.b.to = offered.Leg[0].RTP, offered.Peer[0].RTP
	c.a.talk()
	c.b.talk()
	b.offloaded(2)
	return c
}

// both checks that each hears all that the other has sent.
func (c *call) both(firstA, firstB uint16) {
	c.box.t.Helper()
	c.b.hearsAll(c.a, firstA)
	c.a.hearsAll(c.b, firstB)
}

// stats returns the accounts of both legs.
func (c *call) stats() (a, b ctl.StreamStats) {
	c.box.t.Helper()
	all, err := c.box.media.Sessions(c.box.t.Context())
	if err != nil || len(all) != 1 || len(all[0].Streams) != 2 {
		c.box.t.Fatalf("sessions %+v, %v", all, err)
	}
	return all[0].Streams[0], all[0].Streams[1]
}

// counted returns the accounts of both legs once all that was sent is in them: what the packet filter
// counts is looked at each second.
func (c *call) counted() (a, b ctl.StreamStats) {
	c.box.t.Helper()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if a, b = c.stats(); a.PacketsIn >= uint64(c.a.last()) && b.PacketsIn >= uint64(c.b.last()) && a.PacketsOut >= b.PacketsIn && b.PacketsOut >= a.PacketsIn {
			break
		}
	}
	return a, b
}

// rest lets the phones talk for some packets.
func (c *call) rest(packets int) (a, b uint16) {
	a, b = c.a.last(), c.b.last()
	c.box.until("they have talked", func() bool { return int(c.a.last()-a) >= packets && int(c.b.last()-b) >= packets })
	return c.a.last(), c.b.last()
}
