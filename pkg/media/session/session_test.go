package session

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	if err != nil || !reflect.DeepEqual(offered.Leg[0], c.pa[0]) {
		t.Fatalf("widened to %+v, %v", offered, err)
	}
	again, err := r.Offer(ctl.MediaOffer{
		Session: "fork", Leg: c.a.leg("a", c.local, c.a.audio()), Peer: ctl.MediaLeg{ID: "b2", Local: netip.MustParseAddr("127.0.31.5")},
	})
	if err != nil || !reflect.DeepEqual(again.Peer[0], offered.Peer[0]) {
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
	if err != nil || len(up.Ports["a"]) != 2 || len(up.Ports["b"]) != 2 || !reflect.DeepEqual(up.Ports["a"][0], c.pa[0]) {
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
