package relay

import (
	"net/netip"
	"testing"

	"github.com/coraltele/sanchar/pkg/media/ice"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// A party that checks is where its checks come from, and is sent to where it nominates.
func TestPeerThatChecks(t *testing.T) {
	t.Parallel()
	const said, host, relay, mobile, third = "10.0.0.5:4000", "203.0.113.7:61000", "198.51.100.1:5000", "192.0.2.33:7000", "198.51.100.9:4000"
	const (
		plain  = iota // a media packet
		check         // a check, of priority n
		choose        // with a nomination
	)
	type step struct {
		at   int64
		kind int
		from string
		n    uint32
		want bool   // the media packet is taken
		addr string // where the party is sent to after it
	}
	for name, steps := range map[string][]step{
		"neither what was said nor the signalling proves": {
			{1, plain, said, 0, false, said},
			{2, plain, host, 0, false, said},
		},
		"the first check shows where": {
			{1, check, host, 9, false, host},
			{2, plain, host, 0, true, host},
			{3, check, relay, 5, false, host},
			{4, plain, relay, 0, true, host}, // it may send from there, too
			{5, plain, third, 0, false, host},
		},
		"the nomination decides": {
			{1, check, relay, 5, false, relay},
			{2, check, host, 9, false, relay},
			{3, choose, host, 9, false, host},
		},
		"of several nominations the highest": {
			{1, choose, host, 9, false, host},
			{2, choose, relay, 5, false, host},
			{3, choose, mobile, 10, false, mobile},
		},
		"one that is checked no more gives way": {
			{1, choose, host, 9, false, host},
			{int64(checkTime), choose, mobile, 5, false, host},
			{int64(checkTime) + 1, choose, mobile, 5, false, mobile},
			{int64(checkTime) + 2, plain, host, 0, false, mobile},
		},
		"a NAT gives it another port": {
			{1, choose, host, 9, false, host},
			{2, plain, host, 0, true, host},
			{2 + int64(rebindTime) - 1, plain, "203.0.113.7:61001", 0, false, host},
			{2 + int64(rebindTime), plain, "203.0.113.7:61001", 0, true, "203.0.113.7:61001"},
		},
		"more addresses than are remembered": {
			{1, choose, host, 9, false, host},
			{2, check, "192.0.2.1:1", 1, false, host},
			{3, check, "192.0.2.1:2", 1, false, host},
			{4, check, "192.0.2.1:3", 1, false, host},
			{5, check, "192.0.2.1:4", 1, false, host},
			{6, plain, host, 0, true, host},
			{7, plain, "192.0.2.1:1", 0, true, host},
			{8, plain, "192.0.2.1:9", 0, false, host},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p peer
			p.say(netip.MustParseAddrPort(said), netip.MustParseAddr("203.0.113.7"))
			p.check(true)
			for i, s := range steps {
				from := udpio.SockaddrOf(netip.MustParseAddrPort(s.from))
				if s.kind != plain {
					p.prove(&from, ice.Check{Authentic: true, Nominated: s.kind == choose, Priority: s.n}, s.at)
				} else if got := p.accept(&from, 7, true, s.at); got != s.want {
					t.Fatalf("step %d: taken %v", i, got)
				}
				if got := p.addr.AddrPort(); got != netip.MustParseAddrPort(s.addr) {
					t.Fatalf("step %d: sends to %s, want %s", i, got, s.addr)
				}
			}
			if p.settled(1 << 62) {
				t.Error("its socket would be connected")
			}
		})
	}
}
