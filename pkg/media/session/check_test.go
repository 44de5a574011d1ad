package session

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

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
