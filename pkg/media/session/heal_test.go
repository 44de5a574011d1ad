package session

import (
	"net/netip"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// speakOn lets do happen every 20 ms until the test ends.
func (c *call) speakOn(t *testing.T, do func()) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				do()
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
	})
}

// await returns the first event of a kind and how long it took.
func (c *call) await(t *testing.T, kind string) (ctl.MediaEvent, time.Duration) {
	t.Helper()
	begin := time.Now()
	for {
		select {
		case ev := <-c.r.events:
			if ev.Kind == kind {
				return ev, time.Since(begin)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is not told", kind)
		}
	}
}

func (p *phone) send(t *testing.T, pt byte, to ctl.MediaPorts) {
	p.seq++
	b := []byte{0x80, pt, 0, p.seq, 0, 0, 0, p.seq, 0, 0, 0, 7, 1, 2, 3}
	if _, err := p.rtp.WriteToUDPAddrPort(b, to.RTP); err != nil {
		t.Error(err)
	}
}

// foundWithin is the promise: what is wrong is found within three seconds, and a little for this machine.
const foundWithin = 3*time.Second + 500*time.Millisecond

func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hosts [3]string
		wrong func(t *testing.T, c *call, third *phone)
		kind  string
	}{
		"one sends only": {[3]string{"127.0.71.1", "127.0.71.2", "127.0.71.3"}, func(*testing.T, *call, *phone) {}, ctl.MediaOneWay},
		"another format": {[3]string{"127.0.72.1", "127.0.72.2", "127.0.72.3"}, func(t *testing.T, c *call, _ *phone) { c.b.send(t, 18, c.pb[0]) }, ctl.MediaForeign},
		"another place":  {[3]string{"127.0.73.1", "127.0.73.2", "127.0.73.3"}, func(t *testing.T, c *call, third *phone) { third.send(t, 0, c.pb[0]) }, ctl.MediaStranger},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newKeeper(t), nil)
			call := r.call("one", c.hosts[0], c.hosts[1], c.hosts[2])
			third := newPhone(t, c.hosts[0])
			call.speakOn(t, func() {
				call.a.send(t, 0, call.pa[0])
				c.wrong(t, call, third)
			})
			ev, took := call.await(t, c.kind)
			if ev.Leg != "b" || ev.Text == "" || took > foundWithin {
				t.Errorf("after %v told %+v", took, ev)
			}
			for _, st := range call.bye() {
				if st.Leg == "b" && (len(st.Faults) == 0 || st.Faults[0].Text == "" || st.Faults[0].Cure != "") {
					t.Errorf("account %+v", st.Faults)
				}
			}
		})
	}
}

// A phone started again behind its NAT: another port and another source, at the host where it may be. The
// box takes it without being told, and nobody at a third host meanwhile.
func TestAPartyIsFoundAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	c := r.call("one", "127.0.74.1", "127.0.74.2", "127.0.74.3")
	c.talk()
	for begin := time.Now(); time.Since(begin) < 3500*time.Millisecond; time.Sleep(20 * time.Millisecond) { // its proving is over
		c.a.send(t, 0, c.pa[0])
		c.b.send(t, 0, c.pb[0])
	}
	again, thief := newPhone(t, "127.0.74.2"), newPhone(t, "127.0.74.9")
	c.speakOn(t, func() {
		c.a.send(t, 0, c.pa[0])
		again.send(t, 0, c.pb[0])
		thief.send(t, 0, c.pb[0])
	})
	ev, took := c.await(t, ctl.MediaCured)
	if ev.Leg != "b" || ev.Remote != again.at() || took > foundWithin+time.Second { // found, and heard a second later
		t.Errorf("after %v told %+v", took, ev)
	}
	again.hears(true)
	for _, st := range c.bye() {
		if st.Leg == "b" && (st.Remote != again.at() || len(st.Faults) == 0 || st.Faults[len(st.Faults)-1].Cure == "") {
			t.Errorf("account %+v", st)
		}
	}
}

// A private address in the SDP is no place to send to; the phone is where its packets come from.
func TestAPrivateAddressIsCured(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	local := netip.MustParseAddr("127.0.75.3")
	a, b := newPhone(t, "127.0.75.1"), newPhone(t, "127.0.75.2")
	said := b.audio()
	said.RTP = netip.MustParseAddrPort("192.168.77.77:4000")
	said.RTCP = netip.AddrPort{}
	offered, err := r.Offer(ctl.MediaOffer{Session: "one", Leg: a.leg("a", "127.0.75.3", a.audio()), Peer: ctl.MediaLeg{ID: "b", Local: local}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Answer(ctl.MediaAnswer{Session: "one", Leg: b.leg("b", "127.0.75.3", said), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	c := &call{r: r, id: "one", a: a, b: b, pa: offered.Leg, pb: offered.Peer}
	c.speakOn(t, func() {
		a.send(t, 0, c.pa[0])
		b.send(t, 0, c.pb[0])
	})
	if ev, took := c.await(t, ctl.MediaCured); ev.Leg != "b" || took > foundWithin {
		t.Errorf("after %v told %+v", took, ev)
	}
	b.hears(true)
	for _, st := range c.bye() {
		if st.Leg == "b" && (len(st.Faults) != 1 || st.Faults[0].Cure == "") {
			t.Errorf("account %+v", st.Faults)
		}
	}
}
