package session

import (
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/pack"
	"github.com/coraltele/sanchar/pkg/media/session/snapshot"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

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
	good := saved{ID: "x", Legs: []savedLeg{{ID: "a", Local: netip.MustParseAddr("127.0.0.1"), Streams: []savedStream{{Kind: "audio"}}}}} // on port 0
	var w pack.Writer
	good.pack(&w)
	for _, text := range []string{"", "{}", string(w.B[:len(w.B)-1]), string(w.B) + "x", string(w.B)} {
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

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	want := saved{
		ID: "s", Started: time.UnixMicro(1).UTC(), Gone: []ctl.StreamStats{{Leg: "c", PacketsIn: 5}},
		Legs: []savedLeg{{
			ID: "a", Local: netip.MustParseAddr("192.0.2.1"), Source: netip.MustParseAddr("2001:db8::1"), With: "b",
			Streams: []savedStream{{Kind: "audio", Port: 20000, Said: &ctl.MediaStream{Kind: "audio", Mux: true}}, {Kind: "video", Port: 20002}},
		}},
	}
	var w pack.Writer
	want.pack(&w)
	var got saved
	if err := got.unpack(w.B); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func FuzzRecord(f *testing.F) {
	var w pack.Writer
	(&saved{ID: "s", Legs: []savedLeg{{ID: "a", Streams: []savedStream{{Said: &ctl.MediaStream{}}}}}}).pack(&w)
	f.Add(w.B)
	f.Fuzz(func(t *testing.T, b []byte) {
		var once, again saved
		if once.unpack(b) != nil {
			return
		}
		var w pack.Writer
		once.pack(&w)
		if err := again.unpack(w.B); err != nil || again.ID != once.ID || len(again.Legs) != len(once.Legs) {
			t.Fatalf("%+v, %v, want %+v", again, err, once)
		}
	})
}
