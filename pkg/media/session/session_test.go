package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/port"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/media/session/snapshot"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
		Tell: func(ev ctl.MediaEvent) { r.events <- ev },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{loop.Run, r.Run} {
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

func TestCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	c := r.call("call-1", "127.0.30.1", "127.0.30.2", "127.0.30.3")
	for _, p := range []ctl.MediaPorts{c.pa[0], c.pb[0]} {
		if p.RTP.Port()%2 != 0 || p.RTCP.Port() != p.RTP.Port()+1 || p.RTP.Addr() != netip.MustParseAddr("127.0.30.3") {
			t.Errorf("ports %v", p)
		}
	}
	c.talk()
	c.talk()
	all, err := r.Sessions()
	if err != nil || len(all) != 1 || all[0].ID != "call-1" || len(all[0].Streams) != 2 || all[0].LastPacket.IsZero() {
		t.Errorf("sessions %+v, %v", all, err)
	}
	st, _, err := r.Status()
	if err != nil || st.Sessions != 1 || st.Streams != 2 || st.Packets != 4 || st.Ports.Used != 4 || st.Ports.Open != 4 {
		t.Errorf("status %+v, %v", st, err)
	}
	closed, err := r.CloseSession(ctl.MediaClose{Session: "call-1"})
	if err != nil || len(closed.Streams) != 2 {
		t.Fatalf("closed %+v, %v", closed, err)
	}
	for i, s := range closed.Streams {
		want := []*phone{c.a, c.b}[i].at()
		if s.PacketsIn != 2 || s.PacketsOut != 2 || s.Remote != want || s.Codec != "PCMU" || s.MOS < 4 || s.Kind != "audio" ||
			time.Since(s.LastPacket).Abs() > time.Minute {
			t.Errorf("account %+v", s)
		}
	}
	c.a.speak(c.pa[0])
	c.b.hears(false)
	if _, err := r.CloseSession(ctl.MediaClose{Session: "call-1"}); !problem.Is(err, problem.Missing) {
		t.Errorf("closed twice: %v", err)
	}
	if st, _, _ := r.Status(); st.Sessions != 0 || st.Streams != 0 || st.Ports.Used != 0 || st.Ports.Open != 4 {
		t.Errorf("after it: %+v", st)
	}
}

func TestForkReplacesTheBranch(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	c := r.call("fork", "127.0.31.1", "127.0.31.2", "127.0.31.3") // early media of branch b
	c.talk()
	second := newPhone(t, "127.0.31.4")
	offered, err := r.Offer(ctl.MediaOffer{
		Session: "fork", Leg: c.a.leg("a", c.local, c.a.audio()), Peer: ctl.MediaLeg{ID: "b2", Local: netip.MustParseAddr("127.0.31.5")},
	})
	if err != nil || offered.Leg[0] != c.pa[0] {
		t.Fatalf("widened to %+v, %v", offered, err)
	}
	again, err := r.Offer(ctl.MediaOffer{
		Session: "fork", Leg: c.a.leg("a", c.local, c.a.audio()), Peer: ctl.MediaLeg{ID: "b2", Local: netip.MustParseAddr("127.0.31.5")},
	})
	if err != nil || again.Peer[0] != offered.Peer[0] {
		t.Fatalf("asked again: %+v, %v", again, err)
	}
	if err := r.Answer(ctl.MediaAnswer{Session: "fork", Leg: second.leg("b2", "127.0.31.5", second.audio()), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	c.a.speak(c.pa[0])
	second.hears(true)
	c.b.hears(false)
	c.b.speak(c.pb[0])
	c.a.hears(false)
	second.speak(offered.Peer[0])
	c.a.hears(true)
	if _, err := r.Update(ctl.MediaUpdate{Session: "fork", Drop: []string{"b"}}); err != nil {
		t.Fatal(err)
	}
	closed, err := r.CloseSession(ctl.MediaClose{Session: "fork"})
	var legs []string
	for _, s := range closed.Streams {
		legs = append(legs, s.Leg)
	}
	if err != nil || !slices.Equal(legs, []string{"b", "a", "b2"}) {
		t.Errorf("accounts of %v, %v", legs, err)
	}
}

func TestHoldAndResume(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	c := r.call("hold", "127.0.32.1", "127.0.32.2", "127.0.32.3")
	c.talk()
	direct := func(a, b ctl.Direction) {
		sa, sb := c.a.audio(), c.b.audio()
		sa.Direction, sb.Direction = a, b
		if _, err := r.Update(ctl.MediaUpdate{Session: "hold", Legs: []ctl.MediaLeg{c.a.leg("a", c.local, sa), c.b.leg("b", c.local, sb)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c2 := range []struct {
		a, b   ctl.Direction
		ab, ba bool
	}{
		{ctl.SendOnly, ctl.RecvOnly, true, false},
		{ctl.Inactive, ctl.Inactive, false, false},
		{ctl.RecvOnly, ctl.SendOnly, false, true},
		{ctl.SendRecv, ctl.SendRecv, true, true},
	} {
		direct(c2.a, c2.b)
		c.a.speak(c.pa[0])
		c.b.hears(c2.ab)
		c.b.speak(c.pb[0])
		c.a.hears(c2.ba)
	}
	refused := c.b.audio()
	refused.RTP = netip.AddrPort{}
	if _, err := r.Update(ctl.MediaUpdate{Session: "hold", Legs: []ctl.MediaLeg{c.b.leg("b", c.local, refused)}}); err != nil {
		t.Fatal(err)
	}
	c.a.speak(c.pa[0])
	c.b.hears(false)
}

// A transfer: b leaves, d comes, and a goes on talking on its ports.
func TestTransfer(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	c := r.call("xfer", "127.0.33.1", "127.0.33.2", "127.0.33.3")
	c.talk()
	d := newPhone(t, "127.0.33.4")
	up, err := r.Update(ctl.MediaUpdate{
		Session: "xfer", Legs: []ctl.MediaLeg{{ID: "d", Local: netip.MustParseAddr(c.local)}},
		Pairs: [][2]string{{"a", "d"}}, Drop: []string{"b"},
	})
	if err != nil || len(up.Ports["d"]) != 1 {
		t.Fatalf("updated %+v, %v", up, err)
	}
	if err := r.Answer(ctl.MediaAnswer{Session: "xfer", Leg: d.leg("d", c.local, d.audio()), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	c.a.speak(c.pa[0])
	d.hears(true)
	d.speak(up.Ports["d"][0])
	c.a.hears(true)
	c.b.speak(c.pb[0])
	c.a.hears(false)
}

func TestVideoIsAdded(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	c := r.call("video", "127.0.34.1", "127.0.34.2", "127.0.34.3")
	c.talk()
	va, vb := newPhone(t, "127.0.34.1"), newPhone(t, "127.0.34.2")
	video := func(p *phone) ctl.MediaStream {
		s := p.audio()
		s.Kind, s.Mux = "video", true
		return s
	}
	up, err := r.Update(ctl.MediaUpdate{Session: "video", Legs: []ctl.MediaLeg{
		c.a.leg("a", c.local, c.a.audio(), video(va)), {ID: "b"},
	}})
	if err != nil || len(up.Ports["a"]) != 2 || len(up.Ports["b"]) != 2 || up.Ports["a"][0] != c.pa[0] {
		t.Fatalf("updated %+v, %v", up, err)
	}
	if a := up.Ports["a"][1]; a.RTP != a.RTCP {
		t.Errorf("a muxed stream has two ports: %v", a)
	}
	if err := r.Answer(ctl.MediaAnswer{Session: "video", Leg: c.b.leg("b", c.local, c.b.audio(), video(vb)), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	c.talk()
	va.speak(up.Ports["a"][1])
	vb.hears(true)
	less := ctl.MediaUpdate{Session: "video", Legs: []ctl.MediaLeg{c.a.leg("a", c.local, c.a.audio())}}
	if _, err := r.Update(less); !problem.Is(err, problem.Invalid) {
		t.Errorf("a stream less: %v", err)
	}
}

func TestLegMovesToAnotherAddressOfOurs(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	c := r.call("move", "127.0.35.1", "127.0.35.2", "127.0.35.3")
	c.talk()
	up, err := r.Update(ctl.MediaUpdate{Session: "move", Legs: []ctl.MediaLeg{c.a.leg("a", "127.0.35.4", c.a.audio())}})
	if err != nil || up.Ports["a"][0].RTP.Addr() != netip.MustParseAddr("127.0.35.4") {
		t.Fatalf("updated %+v, %v", up, err)
	}
	c.pa = up.Ports["a"]
	c.talk()
	if st, _, _ := r.Status(); st.Ports.Used != 4 {
		t.Errorf("%d ports in use", st.Ports.Used)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	c := r.call("good", "127.0.36.1", "127.0.36.2", "127.0.36.3")
	leg := func(change func(l *ctl.MediaLeg)) ctl.MediaLeg {
		l := c.a.leg("a", c.local, c.a.audio())
		change(&l)
		return l
	}
	offer := func(session string, l ctl.MediaLeg, peer string) func() error {
		return func() error {
			_, err := r.Offer(ctl.MediaOffer{Session: session, Leg: l, Peer: ctl.MediaLeg{ID: peer, Local: netip.MustParseAddr(c.local)}})
			return err
		}
	}
	answer := func(in ctl.MediaAnswer) func() error { return func() error { return r.Answer(in) } }
	update := func(in ctl.MediaUpdate) func() error {
		return func() error { _, err := r.Update(in); return err }
	}
	good := leg(func(*ctl.MediaLeg) {})
	for _, c := range []struct {
		name string
		do   func() error
		kind problem.Kind
		path string // of a fault
	}{
		{"no session id", offer("", good, "b"), problem.Invalid, "session"},
		{"long session id", offer(strings.Repeat("x", maxID+1), good, "b"), problem.Invalid, "session"},
		{"same leg twice", offer("new", good, "a"), problem.Invalid, "peer.id"},
		{"no streams", offer("new", leg(func(l *ctl.MediaLeg) { l.Streams = nil }), "b"), problem.Invalid, "leg.streams"},
		{"too many streams", offer("new", leg(func(l *ctl.MediaLeg) { l.Streams = make([]ctl.MediaStream, maxStreams+1) }), "b"), problem.Invalid, "leg.streams"},
		{"no kind", offer("new", leg(func(l *ctl.MediaLeg) { l.Streams[0].Kind = "" }), "b"), problem.Invalid, "leg.streams[0].kind"},
		{"odd direction", offer("new", leg(func(l *ctl.MediaLeg) { l.Streams[0].Direction = "up" }), "b"), problem.Invalid, "leg.streams[0].dir"},
		{"payload type", offer("new", leg(func(l *ctl.MediaLeg) { l.Streams[0].Formats[0].PayloadType = 128 }), "b"), problem.Invalid, "leg.streams[0].fmt[0].pt"},
		{"formats", offer("new", leg(func(l *ctl.MediaLeg) { l.Streams[0].Formats = make([]ctl.MediaFormat, maxFormats+1) }), "b"), problem.Invalid, "leg.streams[0].fmt"},
		{"IP version", offer("new", leg(func(l *ctl.MediaLeg) { l.Streams[0].RTP = netip.MustParseAddrPort("[2001:db8::1]:4000") }), "b"), problem.Invalid, "leg.streams[0].rtp"},
		{"no local address", offer("new", leg(func(l *ctl.MediaLeg) { l.Local = netip.Addr{} }), "b"), problem.Invalid, "leg.local"},
		{"unspecified local address", offer("new", leg(func(l *ctl.MediaLeg) { l.Local = netip.IPv4Unspecified() }), "b"), problem.Invalid, "leg.local"},
		{"not our address", offer("new", leg(func(l *ctl.MediaLeg) { l.Local = netip.MustParseAddr("192.0.2.1") }), "b"), problem.Invalid, ""},
		{"widened by a leg that it has not", offer("good", leg(func(l *ctl.MediaLeg) { l.ID = "z" }), "b"), problem.Invalid, "leg.id"},
		{"widened with other streams", offer("good", leg(func(l *ctl.MediaLeg) { l.Streams = append(l.Streams, l.Streams[0]) }), "q"), problem.Invalid, "leg.streams"},
		{"answer of no session", answer(ctl.MediaAnswer{Session: "none", Leg: good, Peer: "b"}), problem.Missing, ""},
		{"answer of no leg", answer(ctl.MediaAnswer{Session: "good", Leg: leg(func(l *ctl.MediaLeg) { l.ID = "z" }), Peer: "b"}), problem.Invalid, "leg.id"},
		{"answer to itself", answer(ctl.MediaAnswer{Session: "good", Leg: good, Peer: "a"}), problem.Invalid, "peer"},
		{"answer without streams", answer(ctl.MediaAnswer{Session: "good", Leg: leg(func(l *ctl.MediaLeg) { l.Streams = nil }), Peer: "b"}), problem.Invalid, "leg.streams"},
		{"answer from elsewhere", answer(ctl.MediaAnswer{Session: "good", Leg: leg(func(l *ctl.MediaLeg) { l.Local = netip.MustParseAddr("127.0.0.1") }), Peer: "b"}), problem.Invalid, "leg.local"},
		{"update of no session", update(ctl.MediaUpdate{Session: "none"}), problem.Missing, ""},
		{"drop of no leg", update(ctl.MediaUpdate{Session: "good", Drop: []string{"z"}}), problem.Invalid, "drop[0]"},
		{"drop of all", update(ctl.MediaUpdate{Session: "good", Drop: []string{"a", "b"}}), problem.Invalid, "drop"},
		{"pair of no leg", update(ctl.MediaUpdate{Session: "good", Pairs: [][2]string{{"a", "z"}}}), problem.Invalid, "pairs[0][1]"},
		{"pair with itself", update(ctl.MediaUpdate{Session: "good", Pairs: [][2]string{{"a", "a"}}}), problem.Invalid, "pairs[0][1]"},
		{"two pairs", update(ctl.MediaUpdate{Session: "good", Legs: []ctl.MediaLeg{{ID: "d", Local: good.Local}}, Pairs: [][2]string{{"a", "b"}, {"a", "d"}}}), problem.Invalid, "pairs[1][0]"},
		{"a leg twice", update(ctl.MediaUpdate{Session: "good", Legs: []ctl.MediaLeg{good, good}}), problem.Invalid, "legs[1].id"},
		{"new leg of no streams", update(ctl.MediaUpdate{Session: "good", Legs: []ctl.MediaLeg{{ID: "d", Local: good.Local}}}), problem.Invalid, "legs"},
	} {
		err := c.do()
		if !problem.Is(err, c.kind) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		faults := problem.Of(err).Faults
		if c.path != "" && !slices.ContainsFunc(faults, func(f problem.Fault) bool { return f.Path == c.path && f.Rule != "" && f.Cure != "" }) {
			t.Errorf("%s: faults %+v, want one at %s", c.name, faults, c.path)
		}
	}
	c.talk()
	if st, _, _ := r.Status(); st.Sessions != 1 || st.Streams != 2 || st.Ports.Used != 4 {
		t.Errorf("refused requests left something: %+v", st)
	}
}

func TestTooManyLegs(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	c := r.call("legs", "127.0.37.1", "127.0.37.2", "127.0.37.3")
	var err error
	n := 2
	for ; err == nil && n < 100; n++ {
		_, err = r.Offer(ctl.MediaOffer{
			Session: "legs", Leg: c.a.leg("a", c.local, c.a.audio()),
			Peer: ctl.MediaLeg{ID: fmt.Sprint("b", n), Local: netip.MustParseAddr(c.local)},
		})
	}
	if !problem.Is(err, problem.Invalid) || n != maxLegs+1 {
		t.Errorf("after %d legs: %v", n, err)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	c := r.call("events", "127.0.38.1", "127.0.38.2", "127.0.38.3")
	next := func(want string) ctl.MediaEvent {
		t.Helper()
		select {
		case ev := <-r.events:
			if got := ev.Leg + " " + ev.Kind; got != want || ev.Session != "events" || ev.At.IsZero() {
				t.Fatalf("told %+v, want %s", ev, want)
			}
			return ev
		case <-time.After(10 * time.Second):
			t.Fatalf("not told: %s", want)
		}
		return ctl.MediaEvent{}
	}
	c.a.speak(c.pa[0])
	c.b.hears(true)
	if ev := next("a started"); ev.Remote != c.a.at() {
		t.Errorf("from %s", ev.Remote)
	}
	for range 3 { // a goes on talking, b is never heard
		for range 10 {
			c.a.speak(c.pa[0])
			time.Sleep(100 * time.Millisecond) // real time passes for the kernel's sockets
		}
	}
	next("b one-way")
	c.b.speak(c.pb[0])
	next("b started")
	next("b resumed")
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	before := newRig(t, k, nil)
	c := before.call("kept", "127.0.39.1", "127.0.39.2", "127.0.39.3")
	c.a.speak(c.pa[0]) // b has not been heard yet
	c.b.hears(true)
	c2 := before.call("closed", "127.0.39.1", "127.0.39.2", "127.0.39.3")
	if _, err := before.CloseSession(ctl.MediaClose{Session: c2.id}); err != nil {
		t.Fatal(err)
	}
	for part := range beats { // the second's work is done
		if err := before.beat(part); err != nil {
			t.Fatal(err)
		}
	}
	lost := before.call("lost", "127.0.39.4", "127.0.39.5", "127.0.39.6")
	fd, err := unix.Dup(before.area.FD())
	if err != nil {
		t.Fatal(err)
	}
	handed := k.hand()
	before.stop() // the sockets of the keeper stay open
	for range 3 {
		c.a.speak(c.pa[0]) // nobody is there: they wait
	}

	area, records, err := snapshot.Open(fd, Layout)
	if err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	after := newRig(t, k, area)
	name := nameOf(t, handed, lost.pa[0].RTP)
	for _, fd := range handed[name] { // the supervisor lost it, and another program has the port
		_ = unix.Close(fd)
	}
	delete(handed, name)
	_ = k.Forget(name)
	thief, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(lost.pa[0].RTP))
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	if err := after.pool.Adopt(handed); err != nil {
		t.Fatal(err)
	}
	if err := after.Recover(records); err == nil {
		t.Error("a lost session is no fault")
	}
	for range 3 {
		c.b.hears(true)
	}
	c.r = after
	c.talk()
	all, err := after.Sessions()
	if err != nil || len(all) != 1 || all[0].ID != "kept" {
		t.Fatalf("sessions %+v, %v", all, err)
	}
	if s := all[0].Streams[0]; s.PacketsIn != 5 || s.LostIn != 0 || s.Remote != c.a.at() {
		t.Errorf("account %+v", s)
	}
	for _, leg := range []string{"a", "b"} {
		if ev := <-after.events; ev.Kind != ctl.MediaLost || ev.Session != "lost" || ev.Leg != leg {
			t.Errorf("told %+v", ev)
		}
	}
	if _, err := after.CloseSession(ctl.MediaClose{Session: "kept"}); err != nil {
		t.Fatal(err)
	}
	if st, _, _ := after.Status(); st.Ports.Used != 0 || st.Streams != 0 {
		t.Errorf("after it: %+v", st)
	}
}

// nameOf finds the name that a pair was left under.
func nameOf(t *testing.T, handed map[string][]int, rtp netip.AddrPort) string {
	t.Helper()
	for name, fds := range handed {
		if local, err := udpio.Local(fds[0]); err == nil && local == rtp {
			return name
		}
	}
	t.Fatalf("%s is not held", rtp)
	return ""
}

func TestRecordsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	for _, text := range []string{"", "{", "{}", `{"id":"x","legs":[{"id":"a","local":"127.0.0.1","streams":[{"kind":"audio","port":0}]}]}`} {
		rec, err := r.area.Write(snapshot.Record{}, []byte(text), nil, Layout)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Recover([]snapshot.Saved{{Record: rec, Fixed: []byte(text)}}); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if st, _, _ := r.Status(); st.Sessions != 0 || st.Ports.Used != 0 {
		t.Errorf("left: %+v", st)
	}
}

func TestStateOfAnotherLayoutIsLeftOut(t *testing.T) {
	t.Parallel()
	f := &found{saved: saved{Legs: []savedLeg{{Streams: make([]savedStream, 2)}}}, states: make([]byte, stateSize)}
	if f.statesOf() != nil {
		t.Error("one state was given to two streams")
	}
}
