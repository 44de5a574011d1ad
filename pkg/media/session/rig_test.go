package session

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/media/port"
	"github.com/coraltele/sanchar/pkg/media/recorder"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/media/session/snapshot"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// keeper is a supervisor that keeps copies of what it is given.
type keeper struct {
	mu   sync.Mutex
	held map[string][]int
}

func newKeeper(t *testing.T) *keeper {
	k := &keeper{held: map[string][]int{}}
	t.Cleanup(func() {
		for name := range k.held {
			_ = k.Forget(name)
		}
	})
	return k
}

func (k *keeper) Store(name string, fds ...int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, fd := range fds {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		k.held[name] = append(k.held[name], n)
	}
	return nil
}

func (k *keeper) Forget(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, fd := range k.held[name] {
		_ = unix.Close(fd)
	}
	delete(k.held, name)
	return nil
}

func (k *keeper) hand() map[string][]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[string][]int{}
	for name, fds := range k.held {
		for _, fd := range fds {
			n, _ := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			out[name] = append(out[name], n)
		}
	}
	return out
}

// rig is a table with all that it works with.
type rig struct {
	*Table
	t      *testing.T
	pool   *port.Pool
	area   *snapshot.Area
	events chan ctl.MediaEvent
	stop   func()
}

var testRange = port.Config{First: 22000, Last: 22999}

// newRig starts a table; area may be nil for an empty one.
func newRig(t *testing.T, k *keeper, area *snapshot.Area) *rig {
	t.Helper()
	return newRigWith(t, k, area, nil)
}

// newRigWith starts a table that records on deck, if there is one.
func newRigWith(t *testing.T, k *keeper, area *snapshot.Area, deck *recorder.Deck) *rig {
	t.Helper()
	r := &rig{t: t, area: area, events: make(chan ctl.MediaEvent, 100)}
	var err error
	if area == nil {
		if r.area, err = snapshot.Create(); err != nil {
			t.Fatal(err)
		}
	}
	if r.pool, err = port.New(testRange, k); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	loop, err := relay.New(true, log)
	if err != nil {
		t.Fatal(err)
	}
	r.Table, err = New(Config{Voice: 46, Video: 34}, Deps{
		Ports: r.pool, Loops: []*relay.Loop{loop}, Area: r.area, Log: log,
		Tell: func(ev ctl.MediaEvent) { r.events <- ev }, Deck: deck,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	runs := []func(context.Context) error{loop.Run, r.Run}
	if deck != nil {
		runs = append(runs, deck.Run)
	}
	for _, run := range runs {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	r.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := errors.Join(r.pool.Close(), r.area.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// phone is a party with a socket for each of RTP and RTCP.
type phone struct {
	t         *testing.T
	rtp, rtcp *net.UDPConn
	seq       byte
}

func newPhone(t *testing.T, host string) *phone {
	t.Helper()
	p := &phone{t: t}
	for _, c := range []**net.UDPConn{&p.rtp, &p.rtcp} {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 0)))
		if err != nil {
			t.Skipf("no socket on %s: %v", host, err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		*c = conn
	}
	return p
}

func (p *phone) at() netip.AddrPort { return p.rtp.LocalAddr().(*net.UDPAddr).AddrPort() }

// audio is what the phone says of its stream.
func (p *phone) audio() ctl.MediaStream {
	return ctl.MediaStream{
		Kind: "audio", RTP: p.at(), RTCP: p.rtcp.LocalAddr().(*net.UDPAddr).AddrPort(),
		Formats: []ctl.MediaFormat{{PayloadType: 0, Encoding: "PCMU", ClockRate: 8000}},
	}
}

func (p *phone) leg(id, local string, streams ...ctl.MediaStream) ctl.MediaLeg {
	return ctl.MediaLeg{ID: id, Local: netip.MustParseAddr(local), Source: p.at().Addr(), Streams: streams}
}

// speak sends a packet to ours.
func (p *phone) speak(ours ctl.MediaPorts) {
	p.t.Helper()
	p.seq++
	b := []byte{0x80, 0, 0, p.seq, 0, 0, 0, p.seq * 160 % 251, 0, 0, 0, 7, 1, 2, 3}
	if _, err := p.rtp.WriteToUDPAddrPort(b, ours.RTP); err != nil {
		p.t.Fatal(err)
	}
}

func (p *phone) hears(want bool) {
	p.t.Helper()
	wait := 2 * time.Second
	if !want {
		wait = 30 * time.Millisecond
	}
	_ = p.rtp.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 2048)
	_, _, err := p.rtp.ReadFromUDPAddrPort(buf)
	if want != (err == nil) || (err != nil && !errors.Is(err, os.ErrDeadlineExceeded)) {
		p.t.Fatalf("heard %v (%v), want %v", err == nil, err, want)
	}
}

// call is a session between two phones.
type call struct {
	r      *rig
	id     string
	a, b   *phone
	pa, pb []ctl.MediaPorts
	local  string
}

func (r *rig) call(id, hostA, hostB, local string) *call {
	r.t.Helper()
	c := &call{r: r, id: id, a: newPhone(r.t, hostA), b: newPhone(r.t, hostB), local: local}
	offered, err := r.Offer(ctl.MediaOffer{
		Session: id, Leg: c.a.leg("a", local, c.a.audio()),
		Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(local)},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	c.pa, c.pb = offered.Leg, offered.Peer
	if err := r.Answer(ctl.MediaAnswer{Session: id, Leg: c.b.leg("b", local, c.b.audio()), Peer: "a"}); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (c *call) talk() {
	c.r.t.Helper()
	c.a.speak(c.pa[0])
	c.b.hears(true)
	c.b.speak(c.pb[0])
	c.a.hears(true)
}

// again ends a table and starts another on what it left.
func (r *rig) again(k *keeper) *rig {
	r.t.Helper()
	return r.restart(k, nil)
}

// restart ends a table and starts another on what it left.
func (r *rig) restart(k *keeper, deck *recorder.Deck) *rig {
	r.t.Helper()
	if err := r.Keep(); err != nil {
		r.t.Fatal(err)
	}
	fd, err := unix.Dup(r.area.FD())
	if err != nil {
		r.t.Fatal(err)
	}
	handed := k.hand()
	r.stop()
	area, records, err := snapshot.Open(fd, Layout)
	if err != nil {
		r.t.Fatal(err)
	}
	next := newRigWith(r.t, k, area, deck)
	if err := errors.Join(next.pool.Adopt(handed), next.Recover(records)); err != nil {
		r.t.Fatal(err)
	}
	return next
}
