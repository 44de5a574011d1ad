package session

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/media/secure/handshake"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Every pair of protections is bridged, both ways.
func TestEveryPairOfProtections(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	kinds := []struct {
		kind  ctl.Protection
		suite secure.Suite
	}{
		{ctl.Plain, secure.None},
		{ctl.SDES, secure.AES128SHA80},
		{ctl.SDES, secure.AES256SHA32},
		{ctl.SDES, secure.GCM256},
		{ctl.DTLS, secure.GCM128},
	}
	for i, ka := range kinds {
		for j, kb := range kinds {
			t.Run(fmt.Sprintf("%s %s to %s %s", ka.kind, ka.suite, kb.kind, kb.suite), func(t *testing.T) {
				id := fmt.Sprintf("pair-%d-%d", i, j)
				a, b := newParty(t, "127.0.41.1", ka.kind, ka.suite), newParty(t, "127.0.41.2", kb.kind, kb.suite)
				pa, pb := connect(t, r, id, a, b, "127.0.41.3")
				for n := range 3 {
					a.send(t, pa, fmt.Sprint("from a ", n))
					b.hears(t, fmt.Sprint("from a ", n))
					b.send(t, pb, fmt.Sprint("from b ", n))
					a.hears(t, fmt.Sprint("from b ", n))
				}
				closed, err := r.CloseSession(ctl.MediaClose{Session: id})
				if err != nil {
					t.Fatal(err)
				}
				for n, k := range []struct {
					kind  ctl.Protection
					suite secure.Suite
				}{ka, kb} {
					if s := closed.Streams[n]; s.Protection != k.kind || s.Suite != k.suite.String() || s.Refused != 0 || s.PacketsIn != 3 || s.PacketsOut != 3 {
						t.Errorf("account %+v", s)
					}
				}
			})
		}
	}
}

func TestWhatIsWrongWithKeysIsSaid(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	local := "127.0.42.3"
	offer := func(kind ctl.Protection, terms ctl.MediaTerms, change func(*ctl.MediaStream)) error {
		p := newParty(t, "127.0.42.1", kind, secure.GCM128)
		s := p.stream(1, "actpass")
		change(&s)
		l := p.leg("a", local, "", s)
		l.Ours = terms
		_, err := r.Offer(ctl.MediaOffer{Session: "x", Leg: l, Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(local)}})
		return err
	}
	sdes, dtls := ctl.MediaTerms{Protection: ctl.SDES}, ctl.MediaTerms{Protection: ctl.DTLS}
	for name, c := range map[string]struct {
		err  error
		path string
	}{
		"no suite of ours":             {offer(ctl.SDES, sdes, func(s *ctl.MediaStream) { s.Crypto[0].Suite = "F8_128_HMAC_SHA1_80" }), "leg.streams[0].crypto"},
		"no keys":                      {offer(ctl.SDES, sdes, func(s *ctl.MediaStream) { s.Crypto = nil }), "leg.streams[0].crypto"},
		"a short key":                  {offer(ctl.SDES, sdes, func(s *ctl.MediaStream) { s.Crypto[0].Key = s.Crypto[0].Key[:16] }), "leg.streams[0].crypto.key"},
		"a long MKI":                   {offer(ctl.SDES, sdes, func(s *ctl.MediaStream) { s.Crypto[0].MKI = make([]byte, 99) }), "leg.streams[0].crypto.mki"},
		"a suite of ours that is none": {offer(ctl.SDES, ctl.MediaTerms{Protection: ctl.SDES, Suites: []string{"ROT13"}}, func(*ctl.MediaStream) {}), "leg.streams[0].suites"},
		"no fingerprint":               {offer(ctl.DTLS, dtls, func(s *ctl.MediaStream) { s.Fingerprints = nil }), "leg.streams[0].fingerprints"},
		"a fingerprint by SHA-1":       {offer(ctl.DTLS, dtls, func(s *ctl.MediaStream) { s.Fingerprints[0].Hash = "sha-1" }), "leg.streams[0].fingerprints"},
		"a role that is none":          {offer(ctl.DTLS, dtls, func(s *ctl.MediaStream) { s.Setup = "holdconn" }), "leg.streams[0].setup"},
		"another kind than ours":       {offer(ctl.DTLS, sdes, func(*ctl.MediaStream) {}), "leg.streams[0].protection"},
		"a short ICE password": {offer(ctl.Plain, ctl.MediaTerms{ICE: ctl.ICELite}, func(s *ctl.MediaStream) {
			s.ICE = ctl.MediaICE{Ufrag: "abcd", Pwd: "short"}
		}), "leg.streams[0].ice"},
	} {
		p := problem.Of(c.err)
		if p.Kind != problem.Invalid || len(p.Faults) == 0 || p.Faults[0].Path != c.path || p.Faults[0].Rule == "" || p.Faults[0].Cure == "" {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	if st, _, _ := r.Status(); st.Sessions != 0 || st.Ports.Used != 0 {
		t.Errorf("refused offers left %+v", st)
	}
}

func TestWrongAnswersAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	local := "127.0.43.3"
	for name, c := range map[string]struct {
		kind   ctl.Protection
		change func(s *ctl.MediaStream, pb ctl.MediaPorts)
		path   string
	}{
		"a tag that was not offered": {ctl.SDES, func(s *ctl.MediaStream, _ ctl.MediaPorts) { s.Crypto[0].Tag = 99 }, "leg.streams[0].crypto.tag"},
		"the suite of another tag": {ctl.SDES, func(s *ctl.MediaStream, pb ctl.MediaPorts) {
			s.Crypto[0].Tag = pb.Crypto[1].Tag
		}, "leg.streams[0].crypto.suite"},
		"actpass":          {ctl.DTLS, func(s *ctl.MediaStream, _ ctl.MediaPorts) { s.Setup = "actpass" }, "leg.streams[0].setup"},
		"through, for one": {ctl.Through, func(*ctl.MediaStream, ctl.MediaPorts) {}, "legs.b.streams[0].protection"},
	} {
		a, b := newParty(t, "127.0.43.1", ctl.SDES, secure.GCM128), newParty(t, "127.0.43.2", c.kind, secure.GCM128)
		offered, err := r.Offer(ctl.MediaOffer{
			Session: name, Leg: a.leg("a", local, "", a.stream(1, "")),
			Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(local), Ours: ctl.MediaTerms{Protection: c.kind, Setup: "actpass"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		s := b.stream(b.tagOf(offered.Peer[0]), "active")
		c.change(&s, offered.Peer[0])
		err = r.Answer(ctl.MediaAnswer{Session: name, Leg: b.leg("b", local, "actpass", s), Peer: "a"})
		if p := problem.Of(err); p.Kind != problem.Invalid || len(p.Faults) == 0 || p.Faults[0].Path != c.path {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A certificate that is not the one in SDP keys nothing, and the reason is told.
func TestWrongCertificateIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	a, b := newParty(t, "127.0.44.1", ctl.DTLS, secure.GCM128), newParty(t, "127.0.44.2", ctl.Plain, secure.None)
	s := a.stream(0, "actpass")
	s.Fingerprints[0].Value = make([]byte, 32)
	offered, err := r.Offer(ctl.MediaOffer{
		Session: "x", Leg: a.leg("a", "127.0.44.3", "", s), Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr("127.0.44.3")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Answer(ctl.MediaAnswer{Session: "x", Leg: b.leg("b", "127.0.44.3", "", b.audio()), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	a.handshake(t, offered.Leg[0], true)
	for {
		select {
		case ev := <-r.events:
			if ev.Kind != ctl.MediaInsecure {
				continue
			}
			if ev.Leg != "a" || !strings.Contains(ev.Text, "a=fingerprint") {
				t.Errorf("told %+v", ev)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was told")
		}
		break
	}
	a.out = context160(t, secure.NewMaster(secure.GCM128))
	a.send(t, offered.Leg[0], "never")
	if b.raw(t, 50*time.Millisecond) != nil {
		t.Error("heard")
	}
}

// Another key in a re-INVITE: the new one works at once, the old one for a while.
func TestRekeyingByReINVITE(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	a, b := newParty(t, "127.0.45.1", ctl.SDES, secure.AES128SHA80), newParty(t, "127.0.45.2", ctl.Plain, secure.None)
	pa, _ := connect(t, r, "x", a, b, "127.0.45.3")
	a.send(t, pa, "old key")
	b.hears(t, "old key")
	before := &party{phone: a.phone, kind: a.kind, suite: a.suite, out: a.out}
	a.own = secure.NewMaster(a.suite)
	up, err := r.Update(ctl.MediaUpdate{Session: "x", Legs: []ctl.MediaLeg{a.leg("a", "127.0.45.3", "", a.stream(3, ""))}})
	if err != nil {
		t.Fatal(err)
	}
	if c := up.Ports["a"][0].Crypto; len(c) != 1 || c[0].Tag != 3 || string(c[0].Key) != string(pa.Crypto[0].Key) {
		t.Errorf("answered with %+v", c)
	}
	before.send(t, pa, "late, by the old key")
	b.hears(t, "late, by the old key")
	a.seq = before.seq
	a.key(t, up.Ports["a"][0])
	a.send(t, pa, "new key")
	b.hears(t, "new key")
	b.send(t, ctl.MediaPorts{RTP: offeredTo(r, "x", "b")}, "back")
	a.hears(t, "back")
}

// offeredTo is where the party of a leg sends to.
func offeredTo(r *rig, id, leg string) netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[id].leg(leg).streams[0].pair.Local
}

// Keys, counters and proven peers go on after a restart, of SDES and of a handshake.
func TestKeysOutliveARestart(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	r := newRig(t, k, nil)
	a, b := newParty(t, "127.0.46.1", ctl.SDES, secure.GCM256), newParty(t, "127.0.46.2", ctl.DTLS, secure.GCM128)
	pa, pb := connect(t, r, "x", a, b, "127.0.46.3")
	a.send(t, pa, "before")
	b.hears(t, "before")
	b.send(t, pb, "before")
	a.hears(t, "before")
	r = r.again(k)
	a.send(t, pa, "after")
	b.hears(t, "after")
	b.send(t, pb, "after")
	a.hears(t, "after")
	closed, err := r.CloseSession(ctl.MediaClose{Session: "x"})
	if err != nil || closed.Streams[0].Suite != secure.GCM256.String() || closed.Streams[1].Suite != secure.GCM128.String() || closed.Streams[1].PacketsIn != 2 {
		t.Errorf("closed %+v, %v", closed, err)
	}
}

// Without a=rtcp-mux each of the two ports has a handshake and keys of its own (RFC 5764 §4.1).
func TestHandshakesOnBothPorts(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	a, b := newParty(t, "127.0.47.1", ctl.DTLS, secure.GCM128), newParty(t, "127.0.47.2", ctl.Plain, secure.None)
	s := a.stream(0, "actpass")
	s.Mux, s.RTCP = false, a.rtcp.LocalAddr().(*net.UDPAddr).AddrPort()
	offered, err := r.Offer(ctl.MediaOffer{
		Session: "x", Leg: a.leg("a", "127.0.47.3", "", s), Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr("127.0.47.3")},
	})
	if err != nil {
		t.Fatal(err)
	}
	pa, pb := offered.Leg[0], offered.Peer[0]
	sb := b.audio()
	if err := r.Answer(ctl.MediaAnswer{Session: "x", Leg: b.leg("b", "127.0.47.3", "", sb), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	a.handshake(t, pa, true)
	a.shaken(t)
	control := &party{phone: &phone{t: t, rtp: a.rtcp, rtcp: a.rtp}, kind: ctl.DTLS, suite: a.suite, identity: a.identity, result: make(chan handshake.Result, 1), shake: new(atomic.Pointer[handshake.Handshake])}
	control.handshake(t, ctl.MediaPorts{RTP: pa.RTCP, Fingerprint: pa.Fingerprint}, true)
	control.shaken(t)
	r.secured("x", "a")
	a.send(t, pa, "media")
	b.hears(t, "media")
	report := []byte{0x81, 201, 0, 7, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	for n := byte(1); ; n++ { // until the box has the keys of this port, too
		sealed, err := control.out.EncryptRTCP(nil, report, nil)
		if err != nil {
			t.Fatal(err)
		}
		control.write(pa.RTCP, sealed)
		_ = b.rtcp.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		buf := make([]byte, 200)
		if size, _, err := b.rtcp.ReadFromUDPAddrPort(buf); err == nil {
			if string(buf[:size]) != string(report) {
				t.Errorf("the report came as % x", buf[:size])
			}
			break
		}
		if n > 50 {
			t.Fatal("no report")
		}
	}
	if _, err := b.rtcp.WriteToUDPAddrPort(report, pb.RTCP); err != nil {
		t.Fatal(err)
	}
	got, err := control.in.DecryptRTCP(nil, control.raw(t, 2*time.Second), nil)
	if err != nil || string(got) != string(report) {
		t.Errorf("the report back came as % x, %v", got, err)
	}
}

// Another certificate in a re-INVITE is another handshake; media goes on by the keys before until it is done.
func TestAnotherCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	a, b := newParty(t, "127.0.48.1", ctl.DTLS, secure.GCM128), newParty(t, "127.0.48.2", ctl.Plain, secure.None)
	pa, _ := connect(t, r, "x", a, b, "127.0.48.3")
	a.send(t, pa, "first")
	b.hears(t, "first")
	same, err := r.Update(ctl.MediaUpdate{Session: "x", Legs: []ctl.MediaLeg{a.leg("a", "127.0.48.3", "", a.stream(0, "actpass"))}})
	if err != nil || same.Ports["a"][0].Setup != "passive" {
		t.Fatalf("%+v, %v", same, err)
	}
	a.send(t, pa, "the same certificate: the same keys")
	b.hears(t, "the same certificate: the same keys")
	next := newParty(t, "127.0.48.1", ctl.DTLS, secure.GCM128)
	s := next.stream(0, "actpass")
	s.RTP = a.at()
	if _, err := r.Update(ctl.MediaUpdate{Session: "x", Legs: []ctl.MediaLeg{next.leg("a", "127.0.48.3", "", s)}}); err != nil {
		t.Fatal(err)
	}
	a.send(t, pa, "still by the old keys")
	b.hears(t, "still by the old keys")
	a.identity, a.result = next.identity, make(chan handshake.Result, 1)
	a.begin(t, pa, true)
	a.shaken(t)
	r.secured("x", "a")
	a.send(t, pa, "by the new ones")
	b.hears(t, "by the new ones")
}
