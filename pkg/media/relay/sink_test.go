package relay

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/rtp/header"
)

// ledger is a sink that remembers what it heard, and may send it on.
type ledger struct {
	heard [][]byte
	to    *Stream
}

func (k *ledger) Hear(p header.Packet, now int64) {
	k.heard = append(k.heard, append([]byte(nil), p...))
	if k.to != nil {
		k.to.Send(p)
	}
}

func TestSinksHearWhatIsAccepted(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.14.1", "127.0.14.3"), newPhone(t, l, "127.0.14.2", "127.0.14.3")
	join(t, l, a, b, a.terms(), b.terms())
	var first, second ledger
	do(t, l, func(int64) { a.stream.SetSinks(&first, &second) })
	thief := listen(t, "127.0.14.9")
	write(t, thief, a.ours[0], a.packet("inject"))
	want := a.packet("speech")
	write(t, a.rtp, a.ours[0], want)
	hear(t, b.rtp)
	write(t, b.rtp, b.ours[0], b.packet("of the other party"))
	hear(t, a.rtp)
	do(t, l, func(int64) {
		for _, k := range []*ledger{&first, &second} {
			if len(k.heard) != 1 || string(k.heard[0]) != string(want) {
				t.Errorf("heard %q, want %q", k.heard, want)
			}
		}
		a.stream.SetSinks()
	})
	write(t, a.rtp, a.ours[0], a.packet("more"))
	hear(t, b.rtp)
	do(t, l, func(int64) {
		if len(first.heard) != 1 {
			t.Error("heard after it was taken off")
		}
	})
}

func TestTappedStreamIsHeardBySinksOnly(t *testing.T) {
	t.Parallel()
	l := startLoop(t, false)
	a, b := newPhone(t, l, "127.0.15.1", "127.0.15.3"), newPhone(t, l, "127.0.15.2", "127.0.15.3")
	join(t, l, a, b, a.terms(), b.terms())
	var k ledger
	do(t, l, func(int64) {
		a.stream.SetRoute(Route{To: b.stream, Media: true, Tapped: true})
		a.stream.SetSinks(&k)
	})
	write(t, a.rtp, a.ours[0], a.packet("speech"))
	deaf(t, l, b.rtp)
	write(t, a.rtcp, a.ours[1], []byte{0x80, 201, 0, 1, 0, 0, 0, 9})
	hear(t, b.rtcp)
	do(t, l, func(int64) {
		if len(k.heard) != 1 {
			t.Errorf("heard %q", k.heard)
		}
		k.to = b.stream // from now on it is a transcoder
	})
	want := a.packet("speech")
	write(t, a.rtp, a.ours[0], want)
	if got, from := hear(t, b.rtp); string(got) != string(want) || from != b.ours[0] {
		t.Errorf("heard %q from %s", got, from)
	}
}

func TestPayloadTypesAreMapped(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.16.1", "127.0.16.3"), newPhone(t, l, "127.0.16.2", "127.0.16.3")
	ta := a.terms()
	ta.Formats = []Format{{PayloadType: 96, ClockRate: 48000}, {PayloadType: 0, ClockRate: 8000}}
	join(t, l, a, b, ta, b.terms())
	var types Types
	for i := range types {
		types[i] = uint8(i)
	}
	types[96], types[0] = 111, DropType
	var k ledger
	do(t, l, func(int64) {
		a.stream.SetRoute(Route{To: b.stream, Media: true, Types: &types})
		a.stream.SetSinks(&k)
	})
	write(t, a.rtp, a.ours[0], a.packet("dropped"))
	p := a.packet("mapped")
	p[1] = 0x80 | 96
	write(t, a.rtp, a.ours[0], p)
	if got, _ := hear(t, b.rtp); got[1] != 0x80|111 || string(got[12:]) != "mapped" {
		t.Errorf("heard % x", got)
	}
	do(t, l, func(int64) {
		if len(k.heard) != 2 || k.heard[1][1] != 0x80|96 {
			t.Errorf("sinks heard %q", k.heard)
		}
	})
}

func TestSend(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a := newPhone(t, l, "127.0.17.1", "127.0.17.3")
	p := a.packet("prompt")
	do(t, l, func(int64) {
		if a.stream.Send(p) {
			t.Error("sent to a party that has not spoken")
		}
		a.stream.SetTerms(a.terms())
	})
	const many = 3 * draftPackets // more than wait at once
	do(t, l, func(int64) {
		for i := range many {
			p[3] = byte(i)
			if !a.stream.Send(p) {
				t.Error("not sent")
			}
		}
		if a.stream.Send(make([]byte, packetSize+1)) {
			t.Error("a packet was sent that no buffer holds")
		}
	})
	for i := range many {
		if got, from := hear(t, a.rtp); got[3] != byte(i) || from != a.ours[0] {
			t.Fatalf("packet %d came as %d from %s", i, got[3], from)
		}
	}
	if st := a.state(); st.Out != many || st.Unsent != 0 {
		t.Errorf("out %d, unsent %d", st.Out, st.Unsent)
	}
}

// counter is a sink as it must be: it allocates nothing.
type counter struct {
	n  int
	to *Stream
}

func (k *counter) Hear(p header.Packet, now int64) {
	k.n++
	k.to.Send(p)
}

func TestSinksAndSendAllocateNothing(t *testing.T) {
	tr := newTraffic(t, 2, true)
	var k counter
	heard := 0
	var allocs float64
	do(t, tr.loop, func(int64) {
		k.to = tr.phones[1].stream
		tr.phones[0].stream.SetSinks(&k)
		allocs = testing.AllocsPerRun(100, func() {
			tr.send()
			heard += tr.turn()
		})
	})
	if allocs != 0 || heard != 101*5 || k.n != 101 {
		t.Errorf("%v allocations, %d packets heard, %d by the sink", allocs, heard, k.n)
	}
}

// What the parties protect between them is theirs: a changed payload type would break it.
func TestWhatPassesUntouchedIsNotHeard(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.22.1", "127.0.22.3"), newPhone(t, l, "127.0.22.2", "127.0.22.3")
	var types Types
	for i := range types {
		types[i] = DropType
	}
	var k ledger
	for name, c := range map[string]struct{ secure, zrtp bool }{"SRTP": {secure: true}, "ZRTP": {zrtp: true}} {
		ta := a.terms()
		ta.Secure = c.secure
		join(t, l, a, b, ta, b.terms())
		do(t, l, func(int64) {
			a.stream.SetRoute(Route{To: b.stream, Media: true, Types: &types})
			a.stream.SetSinks(&k)
			a.stream.state.Encrypted = c.zrtp
		})
		want := a.packet(name)
		write(t, a.rtp, a.ours[0], want)
		if got, _ := hear(t, b.rtp); string(got) != string(want) {
			t.Errorf("%s: heard %q", name, got)
		}
	}
	do(t, l, func(int64) {
		if len(k.heard) != 0 {
			t.Errorf("a sink heard %q", k.heard)
		}
	})
}
