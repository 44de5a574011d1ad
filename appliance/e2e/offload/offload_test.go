// Package offload tests that the kernel passes the media of calls on: the daemons under a supervisor,
// with phones around them, each in a network namespace of its own.
package offload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/daemon/netd"
	"github.com/coraltele/sanchar/pkg/network/mediapath"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Both parties hear all that the other says, and the box knows exactly what passed.
func TestTheKernelPassesACallOn(t *testing.T) {
	for _, c := range []struct {
		name, way string
		six       bool
	}{
		{"IPv4 by tcx", "tcx", false},
		{"IPv6 by tcx", "tcx", true},
		{"IPv4 by clsact", "clsact", false},
		{"IPv6 by clsact", "clsact", true},
		{"IPv4 by nftables", netd.OffloadNftables, false},
		{"IPv6 by nftables", netd.OffloadNftables, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, hosts := newBox(t, c.way, "alice", "bob")
			call := b.call(hosts["alice"], hosts["bob"], c.six)
			before, _ := call.stats()
			call.rest(200)
			call.a.stop()
			call.b.stop()
			call.both(1, 1)
			closed, err := b.media.CloseSession(t.Context(), ctl.MediaClose{Session: "one"})
			if err != nil || len(closed.Streams) != 2 {
				t.Fatalf("closed %+v, %v", closed, err)
			}
			sa, sb := closed.Streams[0], closed.Streams[1]
			for _, s := range []struct {
				ctl.StreamStats
				p, other *phone
			}{{sa, call.a, call.b}, {sb, call.b, call.a}} {
				if s.PacketsIn != uint64(s.p.last()) || s.PacketsOut != uint64(s.other.last()) || s.LostIn != 0 || s.BytesIn != 172*s.PacketsIn {
					t.Errorf("leg %s: of %d packets %+v", s.Leg, s.p.last(), s.StreamStats)
				}
				// The packet filter sees no sequence numbers: the call's account says of how many packets.
				if unseen := s.Unmeasured > 0; unseen != (c.way == netd.OffloadNftables) || s.Unmeasured > s.Offloaded {
					t.Errorf("leg %s: %d of %d packets unmeasured", s.Leg, s.Unmeasured, s.PacketsIn)
				}
				if s.Offloaded < 150 || s.Codec != "PCMU" || s.Dropped != 0 || s.JitterIn > time.Second || s.JitterIn == 0 || s.MOS < 1 {
					t.Errorf("leg %s: %+v", s.Leg, s.StreamStats)
				}
			}
			if !sa.LastPacket.After(before.LastPacket) {
				t.Errorf("last packet %v, then %v", before.LastPacket, sa.LastPacket)
			}
		})
	}
}

// Each change of a call takes it back from the kernel, and no packet is lost, doubled or out of order.
func TestNoChangeLosesAPacket(t *testing.T) { bothWays(t, noChangeLosesAPacket) }

func noChangeLosesAPacket(t *testing.T, way string) {
	b, hosts := newBox(t, way, "alice", "bob")
	call := b.call(hosts["alice"], hosts["bob"], false)
	for i := range 5 {
		if i == 4 { // and once more when it is the kernel's again
			b.offloaded(2)
		}
		if _, err := b.media.Update(t.Context(), ctl.MediaUpdate{Session: "one", Legs: call.legs[:]}); err != nil {
			t.Fatal(err)
		}
		if st, err := b.media.Status(t.Context()); err != nil || st.Offloaded != 0 {
			t.Fatalf("after an update the kernel passes %d streams on, %v", st.Offloaded, err)
		}
		call.rest(20)
	}
	hold := ctl.MediaUpdate{Session: "one", Legs: []ctl.MediaLeg{call.legs[0]}}
	hold.Legs[0].Streams = append([]ctl.MediaStream(nil), hold.Legs[0].Streams...)
	hold.Legs[0].Streams[0].Direction = ctl.SendOnly
	b.offloaded(2)
	call.rest(20)
	call.both(1, 1)
	if _, err := b.media.Update(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	heard := len(call.a.since(0))
	first := call.a.last() + 1
	call.rest(20)
	if late := len(call.a.since(0)) - heard; late > 1 { // one was on its way
		t.Errorf("alice holds and heard %d packets", late)
	}
	call.a.stop()
	call.b.hearsAll(call.a, first)
	call.b.stop()
	b.until("bob's last packet has come", func() bool {
		_, sb := call.stats()
		return sb.PacketsIn == uint64(call.b.last())
	})
	closed, err := b.media.CloseSession(t.Context(), ctl.MediaClose{Session: "one"})
	if err != nil || len(closed.Streams) != 2 {
		t.Fatalf("closed %+v, %v", closed, err)
	}
	for i, p := range []*phone{call.a, call.b} {
		if s := closed.Streams[i]; s.PacketsIn != uint64(p.last()) || s.LostIn != 0 || s.Offloaded == 0 {
			t.Errorf("leg %s: of %d packets %+v", s.Leg, p.last(), s)
		}
	}
}

// The kernel goes on while daemons are killed, and what it passed on meanwhile is counted.
func TestTheKernelGoesOnWhenDaemonsAreKilled(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"tcx", "clsact"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			b, hosts := newBox(t, way, "alice", "bob")
			call := b.call(hosts["alice"], hosts["bob"], false)
			const kills = 4 // of mediad
			for range kills - 1 {
				b.kill(b.mediadVersion)
				call.rest(20)
				b.offloaded(2)
			}
			b.kill(b.netdVersion)
			call.rest(100)
			st, err := b.media.Status(t.Context())
			if err != nil || st.Offloaded != 2 {
				t.Errorf("after netd was killed the kernel passes %d streams on, %v", st.Offloaded, err)
			}
			b.kill(b.netdVersion)
			b.kill(b.mediadVersion)
			call.rest(50)
			b.offloaded(2)
			call.rest(50)
			call.a.stop()
			call.b.stop()
			call.both(1, 1)
			sa, sb := call.stats()
			for i, s := range []ctl.StreamStats{sa, sb} {
				// A packet that mediad relayed after it last kept its state is not counted: one of a stream at most.
				if sent := uint64([]*phone{call.a, call.b}[i].last()); s.PacketsIn > sent || s.PacketsIn+kills < sent || s.Offloaded == 0 || s.LostIn > kills {
					t.Errorf("leg %s: of %d packets %+v", s.Leg, sent, s)
				}
			}
		})
	}
}

// Turned off, the kernel passes nothing on, and no packet is lost on the way back.
func TestTurnedOff(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"tcx", "clsact", netd.OffloadNftables} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			b, hosts := newBox(t, way, "alice", "bob")
			call := b.call(hosts["alice"], hosts["bob"], false)
			if err := os.WriteFile(filepath.Join(b.Box.Dir, wayFile), []byte(netd.OffloadOff), 0o600); err != nil {
				t.Fatal(err)
			}
			b.kill(b.netdVersion)
			b.offloaded(0)
			if st, err := b.net.Status(t.Context()); err != nil || st.Offload.Way != netd.OffloadOff {
				t.Errorf("status %+v, %v", st, err)
			}
			before, _ := call.stats()
			call.rest(100)
			call.a.stop()
			call.b.stop()
			call.both(1, 1)
			sent, uncounted := uint64(call.a.last()), uint64(0)
			if way == netd.OffloadNftables { // its last counts went with netd
				uncounted = uint64(time.Second / ptime)
			}
			if after, _ := call.stats(); after.Offloaded != before.Offloaded || after.PacketsIn > sent || after.PacketsIn+uncounted < sent || after.LostIn != 0 {
				t.Errorf("of %d packets %+v, before %+v", sent, after, before)
			}
		})
	}
}

// The packet filter goes on while mediad is killed. When netd is killed its table goes with it: the
// sockets hear what comes, no packet is lost, and no flow stays behind.
func TestThePacketFilterWhenDaemonsAreKilled(t *testing.T) {
	t.Parallel()
	b, hosts := newBox(t, netd.OffloadNftables, "alice", "bob")
	call := b.call(hosts["alice"], hosts["bob"], false)
	const kills = 3 // of mediad
	for range kills {
		call.rest(50)
		b.kill(b.mediadVersion)
		call.rest(20)
		b.offloaded(2)
	}
	call.rest(20)
	b.kill(b.netdVersion)
	call.rest(100)
	before, _ := call.stats()
	if list := b.Box.Output(t, "nft", "list", "tables"); strings.Count(list, mediapath.TableName) != 1 {
		t.Errorf("tables %q", list)
	}
	b.offloaded(2)
	call.rest(50)
	call.a.stop()
	call.b.stop()
	call.both(1, 1)
	b.until("packets are known to have passed after netd was killed", func() bool {
		sa, sb := call.stats()
		return sa.Offloaded > before.Offloaded && sb.Offloaded > 0
	})
	sa, sb := call.stats()
	for i, s := range []ctl.StreamStats{sa, sb} {
		// What the packet filter passed on in the second before netd was killed is not counted, nor is what
		// mediad relayed after it last kept its state.
		sent, uncounted := uint64([]*phone{call.a, call.b}[i].last()), uint64(time.Second/ptime)+kills
		if s.PacketsIn > sent || s.PacketsIn+uncounted < sent || s.LostIn > kills {
			t.Errorf("leg %s: of %d packets %+v", s.Leg, sent, s)
		}
	}
}

// Without the right to load a program the packet filter is taken by itself, and netd says why.
func TestWithoutTheRightToLoadAProgram(t *testing.T) {
	t.Parallel()
	b, hosts := newBox(t, withoutBPF, "alice", "bob")
	call := b.call(hosts["alice"], hosts["bob"], false)
	st, err := b.net.Status(t.Context())
	if err != nil || st.Offload.Way != netd.OffloadNftables || !strings.Contains(st.Offload.Why, "operation not permitted") {
		t.Errorf("status %+v, %v", st.Offload, err)
	}
	call.rest(50)
	call.a.stop()
	call.b.stop()
	call.both(1, 1)
}
