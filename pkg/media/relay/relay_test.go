package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRelayBothWays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ring         bool
		hostA, hostB string
		oursA, oursB string
	}{
		{true, "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.3"},
		{false, "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"},
		{true, "127.0.1.1", "::1", "127.0.1.3", "::1"}, // between IP versions
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			l := startLoop(t, c.ring)
			a, b := newPhone(t, l, c.hostA, c.oursA), newPhone(t, l, c.hostB, c.oursB)
			join(t, l, a, b, a.terms(), b.terms())
			for _, way := range [][2]*phone{{a, b}, {b, a}, {a, b}} {
				want := way[0].packet("speech")
				write(t, way[0].rtp, way[0].ours[0], want)
				got, from := hear(t, way[1].rtp)
				if string(got) != string(want) || from != way[1].ours[0] {
					t.Fatalf("heard % x from %s, want % x from %s", got, from, want, way[1].ours[0])
				}
			}
			report := []byte{0x80, 201, 0, 1, 0, 0, 0, 9}
			write(t, a.rtcp, a.ours[1], report)
			if got, from := hear(t, b.rtcp); string(got) != string(report) || from != b.ours[1] {
				t.Fatalf("RTCP % x from %s", got, from)
			}
			if st := a.state(); st.In.Packets != 2 || st.Out != 1+0 || st.RTP.Remote() != local(a.rtp) || st.MostUsed() != 0 {
				t.Errorf("state %+v", st)
			}
		})
	}
}

func TestMuxIsConverted(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.2.1", "127.0.2.3"), newPhone(t, l, "127.0.2.2", "127.0.2.3")
	ta := a.terms()
	ta.Mux, ta.RTCP = true, ta.RTP
	join(t, l, a, b, ta, b.terms())
	write(t, a.rtp, a.ours[0], a.packet("proof"))
	hear(t, b.rtp)
	report := []byte{0x80, 201, 0, 1, 0, 0, 0, 9}
	write(t, a.rtp, a.ours[0], report)
	if got, from := hear(t, b.rtcp); string(got) != string(report) || from != b.ours[1] {
		t.Errorf("muxed RTCP came as % x from %s", got, from)
	}
	write(t, b.rtcp, b.ours[1], report)
	if got, from := hear(t, a.rtp); string(got) != string(report) || from != a.ours[0] {
		t.Errorf("RTCP for the muxing party came as % x from %s", got, from)
	}
	write(t, a.rtcp, a.ours[1], report) // it said that it would not
	deaf(t, l, b.rtcp)
}

func TestOnlyTheProvenPeerIsHeard(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.3.1", "127.0.3.3"), newPhone(t, l, "127.0.3.2", "127.0.3.3")
	ta := a.terms()
	ta.RTP = netip.MustParseAddrPort("10.9.9.9:4000") // behind a NAT: only the host of the signalling is right
	join(t, l, a, b, ta, b.terms())
	thief := listen(t, "127.0.3.9")
	write(t, thief, a.ours[0], a.packet("inject"))
	bad := a.packet("x")
	bad[1] = 96 // not negotiated
	write(t, a.rtp, a.ours[0], bad)
	write(t, a.rtp, a.ours[0], []byte("\x80\x00short"))
	write(t, a.rtp, a.ours[0], []byte{0x16, 0xfe, 0xfd, 0}) // DTLS that nobody negotiated
	deaf(t, l, b.rtp)
	write(t, a.rtp, a.ours[0], a.packet("speech"))
	hear(t, b.rtp)
	write(t, b.rtp, b.ours[0], b.packet("answer"))
	if _, from := hear(t, a.rtp); from != a.ours[0] {
		t.Errorf("the answer came from %s", from)
	}
	write(t, thief, a.ours[0], a.packet("inject"))
	deaf(t, l, b.rtp)
	deaf(t, l, thief)
	if st := a.state(); st.Strangers != 4 || st.Ignored != 1 || st.In.Packets != 1 {
		t.Errorf("strangers %d, ignored %d, packets %d", st.Strangers, st.Ignored, st.In.Packets)
	}
}

func TestWhatElseComesOnAMediaPort(t *testing.T) {
	t.Parallel()
	l := startLoop(t, false)
	a, b := newPhone(t, l, "127.0.4.1", "127.0.4.3"), newPhone(t, l, "127.0.4.2", "127.0.4.3")
	ta, tb := a.terms(), b.terms()
	ta.Secure, tb.Secure = true, true
	join(t, l, a, b, ta, tb)
	for _, c := range []struct {
		name, text string
		passes     bool
	}{
		{"DTLS", "\x16\xfe\xfd\x00\x00", true},
		{"ZRTP", "\x10\x00\x00\x01ZRTP\x00\x00\x00\x01", true},
		{"STUN", "\x00\x01\x00\x00\x21\x12\xa4\x42", false},
		{"TURN", "\x40\x00\x00\x01x", false},
		{"keep-alive", "\r\n\r\n", false},
		{"empty", "", false},
	} {
		write(t, a.rtp, a.ours[0], []byte(c.text))
		if !c.passes {
			deaf(t, l, b.rtp)
		} else if got, _ := hear(t, b.rtp); string(got) != c.text {
			t.Errorf("%s came as % x", c.name, got)
		}
	}
	if st := a.state(); st.Ignored != 4 || !st.Encrypted {
		t.Errorf("ignored %d, encrypted %v", st.Ignored, st.Encrypted)
	}
}

func TestOpaqueMediaPasses(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.5.1", "127.0.5.3"), newPhone(t, l, "127.0.5.2", "127.0.5.3")
	ta, tb := a.terms(), b.terms()
	ta.Opaque, tb.Opaque = true, true
	join(t, l, a, b, ta, tb)
	fax := []byte{0, 0, 6, 1, 2, 3} // UDPTL starts as STUN would
	write(t, a.rtp, a.ours[0], fax)
	if got, _ := hear(t, b.rtp); string(got) != string(fax) {
		t.Errorf("came as % x", got)
	}
	if st := a.state(); st.In.Packets != 1 || st.BytesIn != 6 {
		t.Errorf("counted %d packets of %d bytes", st.In.Packets, st.BytesIn)
	}
}

func TestHoldStopsMediaButNotRTCP(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.6.1", "127.0.6.3"), newPhone(t, l, "127.0.6.2", "127.0.6.3")
	join(t, l, a, b, a.terms(), b.terms())
	do(t, l, func(int64) { a.stream.SetRoute(Route{To: b.stream}) })
	write(t, a.rtp, a.ours[0], a.packet("held"))
	deaf(t, l, b.rtp)
	write(t, a.rtcp, a.ours[1], []byte{0x80, 201, 0, 1, 0, 0, 0, 9})
	hear(t, b.rtcp)
	write(t, b.rtp, b.ours[0], b.packet("music"))
	hear(t, a.rtp)
	do(t, l, func(int64) { a.stream.SetRoute(Route{}) })
	write(t, a.rtcp, a.ours[1], []byte{0x80, 201, 0, 1, 0, 0, 0, 9})
	deaf(t, l, b.rtcp)
	if st := a.state(); st.In.Packets != 1 {
		t.Errorf("%d packets counted while held", st.In.Packets)
	}
}

// Tend connects a settled peer, opens the socket again when it is quiet, and lets its NAT move it.
func TestConnectedPeerAndRebinding(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.7.1", "127.0.7.3"), newPhone(t, l, "127.0.7.2", "127.0.7.3")
	join(t, l, a, b, a.terms(), b.terms())
	write(t, a.rtp, a.ours[0], a.packet("one"))
	hear(t, b.rtp)
	var connected bool
	tend := func(after time.Duration) {
		do(t, l, func(now int64) {
			e := &a.stream.rtp
			e.peer.until -= int64(after)
			e.peer.last -= int64(after)
			a.stream.Tend(now)
			connected = e.peer.connected
		})
	}
	if tend(0); connected {
		t.Error("connected while proving")
	}
	if tend(provingTime); !connected {
		t.Error("a settled peer is not connected")
	}
	write(t, a.rtp, a.ours[0], a.packet("two"))
	hear(t, b.rtp)
	write(t, b.rtp, b.ours[0], b.packet("back"))
	if _, from := hear(t, a.rtp); from != a.ours[0] {
		t.Errorf("from %s", from)
	}
	moved := listen(t, "127.0.7.1")
	_, _ = moved.WriteToUDPAddrPort(a.packet("too early"), a.ours[0])
	deaf(t, l, b.rtp)
	if tend(rebindTime); connected {
		t.Error("still connected to a silent peer")
	}
	write(t, moved, a.ours[0], a.packet("moved"))
	hear(t, b.rtp)
	write(t, b.rtp, b.ours[0], b.packet("back"))
	hear(t, moved)
	// New terms open a connected socket too.
	if tend(provingTime); !connected {
		t.Error("the moved peer is not connected")
	}
	other := listen(t, "127.0.7.8")
	ta := a.terms()
	ta.RTP = local(other)
	join(t, l, a, b, ta, b.terms())
	write(t, other, a.ours[0], a.packet("from the new device"))
	hear(t, b.rtp)
	write(t, b.rtp, b.ours[0], b.packet("back"))
	hear(t, other)
}

func TestQualityFromRTCP(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.8.1", "127.0.8.3"), newPhone(t, l, "127.0.8.2", "127.0.8.3")
	join(t, l, a, b, a.terms(), b.terms())
	marshal := func(p ...rtcp.Packet) []byte {
		out, err := rtcp.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	write(t, a.rtcp, a.ours[1], marshal(&rtcp.SenderReport{SSRC: 1, NTPTime: 0x0000_1234_5678_0000}))
	hear(t, b.rtcp)
	const held = 10 * time.Second // longer than it can have been: the difference counts as 0
	answer := func(ssrc, lost, delay uint32) []byte {
		return marshal(&rtcp.ReceiverReport{SSRC: 2, Reports: []rtcp.ReceptionReport{{
			SSRC: ssrc, TotalLost: lost, Jitter: 80, LastSenderReport: 0x1234_5678, Delay: delay,
		}}})
	}
	write(t, b.rtcp, b.ours[1], answer(1, 3, 0))
	hear(t, a.rtcp)
	st := b.state()
	if st.RoundTrip <= 0 || st.RoundTrip > time.Second || st.LostOut != 3 || st.JitterOut() != 10*time.Millisecond {
		t.Errorf("round trip %v, lost %d, jitter %v", st.RoundTrip, st.LostOut, st.JitterOut())
	}
	write(t, b.rtcp, b.ours[1], answer(1, 5, uint32(held/time.Second)<<16))
	hear(t, a.rtcp)
	write(t, b.rtcp, b.ours[1], answer(9, 2, 0)) // the party hears a new source
	hear(t, a.rtcp)
	if st = b.state(); st.LostOut != 7 {
		t.Errorf("lost %d, want 7", st.LostOut)
	}
	do(t, l, func(int64) { b.stream.state.Encrypted = true })
	write(t, b.rtcp, b.ours[1], answer(9, 100, 0))
	hear(t, a.rtcp)
	if st = b.state(); st.LostOut != 7 {
		t.Error("an encrypted report was believed")
	}
}

func TestRestoredStreamGoesOn(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.9.1", "127.0.9.3"), newPhone(t, l, "127.0.9.2", "127.0.9.3")
	ta := a.terms()
	ta.RTP = netip.MustParseAddrPort("10.9.9.9:4000")
	join(t, l, a, b, ta, b.terms())
	write(t, a.rtp, a.ours[0], a.packet("speech"))
	hear(t, b.rtp)
	st := a.state()
	fds := [2]int{a.stream.rtp.fd, a.stream.rtcp.fd}
	do(t, l, func(int64) {
		a.stream.Detach()
		var err error
		if a.stream, err = l.Attach(fds[0], fds[1], &st); err != nil {
			t.Error(err)
		}
	})
	join(t, l, a, b, ta, b.terms())
	write(t, b.rtp, b.ours[0], b.packet("to the proven address, at once"))
	hear(t, a.rtp)
	write(t, a.rtp, a.ours[0], a.packet("on"))
	hear(t, b.rtp)
	if st := a.state(); st.In.Packets != 2 || st.In.Lost() != 0 || st.RTP.Remote() != local(a.rtp) {
		t.Errorf("%d packets, %d lost, peer %s", st.In.Packets, st.In.Lost(), st.RTP.Remote())
	}
}

func TestBurstsOfOneSocketAreDrained(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.10.1", "127.0.10.3"), newPhone(t, l, "127.0.10.2", "127.0.10.3")
	join(t, l, a, b, a.terms(), b.terms())
	const n = 40
	do(t, l, func(int64) { // so that all wait when the loop looks
		for range n {
			write(t, a.rtp, a.ours[0], a.packet("picture"))
		}
	})
	for range n {
		hear(t, b.rtp)
	}
	if st := b.state(); st.Out != n || st.Unsent != 0 {
		t.Errorf("out %d, unsent %d", st.Out, st.Unsent)
	}
}

// A fault in our code ends the stream that met it, and no other.
func TestFaultEndsOneStream(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.11.1", "127.0.11.3"), newPhone(t, l, "127.0.11.2", "127.0.11.3")
	join(t, l, a, b, a.terms(), b.terms())
	do(t, l, func(int64) { a.stream.terms.Formats = nil; a.stream.format[0] = 9 }) // beyond the formats there are
	write(t, a.rtp, a.ours[0], a.packet("poison"))
	write(t, b.rtp, b.ours[0], b.packet("speech"))
	hear(t, a.rtp)
	var totals Totals
	do(t, l, func(int64) { totals = l.Totals() })
	if totals.Faults != 1 || totals.Streams != 1 {
		t.Errorf("totals %+v", totals)
	}
}

func TestDoAfterTheEnd(t *testing.T) {
	t.Parallel()
	l, err := New(false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Do(func(int64) { t.Error("done") }); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	var p pace
	now, sent := 100*sec, 0
	seconds := func(rate int) {
		for range 400 {
			now += 10 * ms
			sent += rate
			p.count(sent/100, now)
			sent %= 100
		}
	}
	for _, c := range []struct {
		rate int
		want time.Duration
	}{
		{300, 0},
		{450, 0},
		{550, longTick},
		{400, longTick},
		{250, 0},
		{10000, longTick},
		{30000, tickPackets * time.Second / 30000},
		{100000, shortTick},
		{1, 0},
	} {
		if seconds(c.rate); p.tick != c.want {
			t.Errorf("at %d packets a second the tick is %v, want %v", c.rate, p.tick, c.want)
		}
	}
	for range 100 { // long after the last packet
		now += 10 * ms
		p.count(0, now)
	}
	if p.rate != 0 {
		t.Errorf("without a packet the rate is %d", p.rate)
	}
	seconds(5000)
	first := p.rest(now)
	if rest := p.rest(now); first < 0 || rest != longTick {
		t.Errorf("rests %v, then %v", first, rest)
	}
}
