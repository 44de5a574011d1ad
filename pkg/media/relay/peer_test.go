package relay

import (
	"net/netip"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

const (
	ms  = int64(time.Millisecond)
	sec = int64(time.Second)
)

// step is one packet that comes to a peer, or new terms.
type step struct {
	at      int64
	from    string
	ssrc    uint32
	invalid bool
	say     string // new address in SDP instead of a packet
	want    bool
	addr    string // where we send to after it, if not ""
}

func TestPeer(t *testing.T) {
	t.Parallel()
	const (
		said   = "10.0.0.5:4000"     // private, in the SDP
		source = "203.0.113.7"       // of the signalling
		nat    = "203.0.113.7:61000" // what the NAT makes of it
		nat2   = "203.0.113.7:61002"
		third  = "198.51.100.9:4000"
	)
	for name, steps := range map[string][]step{
		"sends as said": {
			{at: 1, from: said, ssrc: 1, want: true, addr: said},
			{at: 2, from: said, ssrc: 1, want: true},
		},
		"before any packet we send to what was said": {{at: 1, from: third, ssrc: 1, want: false, addr: said}},
		"behind a NAT": {
			{at: 1, from: nat, ssrc: 1, want: true, addr: nat},
			{at: 2, from: nat, ssrc: 1, want: true},
		},
		"a third host never": {
			{at: 1, from: third, ssrc: 1, want: false},
			{at: 2, from: nat, ssrc: 1, want: true},
			{at: 3, from: third, ssrc: 1, want: false},
			{at: 3 + sec, from: third, ssrc: 1, want: false},
			{at: 99 * sec, from: third, ssrc: 1, want: false, addr: nat},
		},
		"an invalid packet proves nothing": {
			{at: 1, from: nat, invalid: true, want: false, addr: said},
			{at: 2, from: nat, ssrc: 1, want: true},
			{at: 3, from: nat, invalid: true, want: true},
		},
		"the said address wins at once while proving": {
			{at: 1, from: nat, ssrc: 1, want: true},
			{at: 2, from: said, ssrc: 1, want: true, addr: said},
			{at: 3, from: nat, ssrc: 1, want: false},
		},
		"another port while proving, when the first is quiet": {
			{at: 1, from: nat, ssrc: 1, want: true},
			{at: 20 * ms, from: nat2, ssrc: 2, want: false},
			{at: 30 * ms, from: nat, ssrc: 1, want: true},
			{at: 30*ms + int64(quietTime), from: nat2, ssrc: 2, want: true, addr: nat2},
		},
		"no other port afterwards": {
			{at: 1, from: nat, ssrc: 1, want: true},
			{at: int64(provingTime) - ms, from: nat, ssrc: 1, want: true},
			{at: int64(provingTime) + 1, from: nat2, ssrc: 1, want: false},
			{at: int64(provingTime) + sec, from: said, ssrc: 1, want: false, addr: nat},
		},
		"a NAT that rebinds": {
			{at: 1, from: nat, ssrc: 7, want: true},
			{at: 10 * sec, from: nat, ssrc: 7, want: true},
			{at: 10*sec + int64(rebindTime) - 1, from: nat2, ssrc: 7, want: false},
			{at: 10*sec + int64(rebindTime), from: nat2, ssrc: 8, want: false},
			{at: 10*sec + int64(rebindTime), from: nat2, want: false},
			{at: 10*sec + int64(rebindTime), from: nat2, ssrc: 7, want: true, addr: nat2},
			{at: 10*sec + int64(rebindTime) + 1, from: nat, ssrc: 7, want: false}, // it opened no new time of proving
		},
		"silence without an SSRC moves nothing": {
			{at: 1, from: nat, want: true},
			{at: 60 * sec, from: nat2, want: false, addr: nat},
		},
		"new terms prove anew": {
			{at: 1, from: nat, ssrc: 1, want: true},
			{at: 9 * sec, from: nat, ssrc: 1, want: true},
			{say: "10.0.0.5:4002", addr: "10.0.0.5:4002"},
			{at: 10 * sec, from: nat2, ssrc: 1, want: true, addr: nat2},
		},
		"the same terms change nothing": {
			{at: 1, from: nat, ssrc: 1, want: true},
			{say: said, addr: nat},
			{at: 4 * sec, from: nat2, ssrc: 1, want: false},
		},
		"on hold in the old way": {
			{at: 1, from: nat, ssrc: 1, want: true},
			{say: "0.0.0.0:4000"},
			{at: 2, from: nat, ssrc: 1, want: false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p peer
			if !p.say(netip.MustParseAddrPort(said), netip.MustParseAddr(source)) {
				t.Fatal("the first terms are no change")
			}
			for i, s := range steps {
				if s.say != "" {
					p.say(netip.MustParseAddrPort(s.say), netip.MustParseAddr(source))
				} else {
					from := udpio.SockaddrOf(netip.MustParseAddrPort(s.from))
					if got := p.accept(&from, s.ssrc, !s.invalid, s.at); got != s.want {
						t.Fatalf("step %d: accepted %v, want %v", i, got, s.want)
					}
				}
				if s.addr != "" && p.addr.AddrPort() != netip.MustParseAddrPort(s.addr) {
					t.Fatalf("step %d: sends to %s, want %s", i, p.addr.AddrPort(), s.addr)
				}
			}
		})
	}
}

func TestPeerThatWantsNothing(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"", "0.0.0.0:5000", "192.0.2.1:0", "224.0.0.1:5000", "[::]:5000"} {
		var p peer
		addr, _ := netip.ParseAddrPort(said)
		p.say(addr, netip.MustParseAddr("192.0.2.1"))
		from := udpio.SockaddrOf(netip.MustParseAddrPort("192.0.2.1:5000"))
		if p.addr.Valid() || p.accept(&from, 1, true, 1) {
			t.Errorf("%q: is sent to or heard", said)
		}
	}
}

func TestSettled(t *testing.T) {
	t.Parallel()
	var p peer
	p.say(netip.MustParseAddrPort("192.0.2.1:5000"), netip.Addr{})
	from := udpio.SockaddrOf(netip.MustParseAddrPort("192.0.2.1:5000"))
	if p.settled(0) {
		t.Error("settled before a packet")
	}
	p.accept(&from, 1, true, sec)
	p.accept(&from, 1, true, 5*sec)
	for at, want := range map[int64]bool{3 * sec: false, 5 * sec: true, 9 * sec: true, 10 * sec: false} {
		if p.settled(at) != want {
			t.Errorf("after %v settled is %v", time.Duration(at), !want)
		}
	}
}
