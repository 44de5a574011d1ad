package session

import (
	"crypto/hmac"
	"crypto/sha1"
	"net/netip"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/media/ice"
	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/media/stun"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// check is a connectivity check of a full agent with credentials own towards those of ours.
func check(own, ours ice.Credentials, nominate bool) []byte {
	w := stun.New(nil, stun.Binding|stun.Request, stun.TransactionID{9, 8, 7})
	w.AddString(stun.AttrUsername, ours.Ufrag+":"+own.Ufrag)
	w.AddUint32(stun.AttrPriority, 126<<24)
	w.AddUint64(stun.AttrControlling, 42)
	if nominate {
		w.Add(stun.AttrUseCandidate, nil)
	}
	w.Sign(hmac.New(sha1.New, []byte(ours.Pwd)))
	return w.Mark()
}

func (p *phone) write(to netip.AddrPort, b []byte) {
	p.t.Helper()
	if _, err := p.rtp.WriteToUDPAddrPort(b, to); err != nil {
		p.t.Fatal(err)
	}
}

// read waits for a datagram; nil if none comes.
func (p *phone) read(wait time.Duration) []byte {
	_ = p.rtp.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 2048)
	n, _, err := p.rtp.ReadFromUDPAddrPort(buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// checks sends a check to the box and wants it answered or not.
func (p *phone) checks(to netip.AddrPort, own, ours ice.Credentials, nominate, answered bool) {
	p.t.Helper()
	p.write(to, check(own, ours, nominate))
	b := p.read(map[bool]time.Duration{true: 2 * time.Second, false: 40 * time.Millisecond}[answered])
	if !answered {
		if b != nil {
			p.t.Fatalf("answered with % x", b)
		}
		return
	}
	m, ok := stun.Parse(b)
	if !ok || m.Type() != stun.Binding|stun.Success || !m.Authentic(hmac.New(sha1.New, []byte(ours.Pwd))) {
		p.t.Fatalf("answer % x", b)
	}
	if mapped, _ := m.XORAddress(stun.AttrXORMappedAddress); mapped != p.at() {
		p.t.Errorf("mapped to %s, is at %s", mapped, p.at())
	}
}

func TestICELite(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	r := newRig(t, k, nil)
	const local = "127.0.51.3"
	a, b := newPhone(t, "127.0.51.1"), newPhone(t, "127.0.51.2")
	own := ice.NewCredentials()
	s := a.audio()
	s.Mux, s.RTP = true, netip.MustParseAddrPort("10.1.1.1:4000") // a default candidate that nobody reaches
	s.ICE = ctl.MediaICE{Ufrag: own.Ufrag, Pwd: own.Pwd}
	leg := a.leg("a", local, s)
	leg.Ours = ctl.MediaTerms{ICE: ctl.ICELite, Mux: true}
	offered, err := r.Offer(ctl.MediaOffer{Session: "x", Leg: leg, Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(local)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Answer(ctl.MediaAnswer{Session: "x", Leg: b.leg("b", local, b.audio()), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	pa, pb := offered.Leg[0], offered.Peer[0]
	ours := ice.Credentials{Ufrag: pa.ICE.Ufrag, Pwd: pa.ICE.Pwd}
	if !pa.ICE.Lite || !ours.Valid() || len(pa.ICE.Candidates) != 1 || pa.ICE.Candidates[0].Addr != pa.RTP || pa.RTCP != pa.RTP {
		t.Fatalf("ports %+v", pa)
	}
	a.speak(pa) // from the host of its signalling, which proves nothing with ICE
	b.hears(false)
	thief := newPhone(t, "127.0.51.9")
	thief.checks(pa.RTP, own, ice.Credentials{Ufrag: ours.Ufrag, Pwd: "a guess of the right length"}, true, false)
	thief.speak(pa)
	b.hears(false)
	a.checks(pa.RTP, own, ours, false, true)
	b.speak(pb)
	a.hears(true) // to where its check came from
	a.checks(pa.RTP, own, ours, true, true)
	a.speak(pa)
	b.hears(true)
	thief.speak(pa)
	b.hears(false)
	// It moves to another network, checks and nominates from there.
	moved := newPhone(t, "127.0.51.4")
	moved.checks(pa.RTP, own, ours, false, true)
	b.speak(pb)
	a.hears(true) // not yet
	moved.checks(pa.RTP, own, ours, true, true)
	b.speak(pb)
	moved.hears(true)
	moved.speak(pa)
	b.hears(true)
	// A restart knows all this.
	r = r.again(k)
	moved.speak(pa)
	b.hears(true)
	b.speak(pb)
	moved.hears(true)
	moved.checks(pa.RTP, own, ours, true, true)
	// An ICE restart of the party's makes ours other ones.
	again := ice.NewCredentials()
	s.ICE = ctl.MediaICE{Ufrag: again.Ufrag, Pwd: again.Pwd}
	leg.Streams = []ctl.MediaStream{s}
	up, err := r.Update(ctl.MediaUpdate{Session: "x", Legs: []ctl.MediaLeg{leg}})
	if err != nil || up.Ports["a"][0].ICE.Pwd == ours.Pwd {
		t.Fatalf("%+v, %v", up, err)
	}
	moved.speak(pa) // media goes on until another way is chosen
	b.hears(true)
	moved.checks(pa.RTP, own, ours, true, false)
	moved.checks(pa.RTP, again, ice.Credentials{Ufrag: up.Ports["a"][0].ICE.Ufrag, Pwd: up.Ports["a"][0].ICE.Pwd}, true, true)
}

// Without a=rtcp-mux each component has checks of its own.
func TestICELiteOnBothComponents(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	const local = "127.0.52.3"
	a := newPhone(t, "127.0.52.1")
	own := ice.NewCredentials()
	s := a.audio()
	s.ICE = ctl.MediaICE{Ufrag: own.Ufrag, Pwd: own.Pwd}
	leg := a.leg("a", local, s)
	leg.Ours = ctl.MediaTerms{ICE: ctl.ICELite}
	offered, err := r.Offer(ctl.MediaOffer{Session: "x", Leg: leg, Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(local)}})
	if err != nil {
		t.Fatal(err)
	}
	p := offered.Leg[0]
	if c := p.ICE.Candidates; len(c) != 2 || c[1].Component != 2 || c[1].Addr != p.RTCP || c[1].Priority >= c[0].Priority {
		t.Errorf("candidates %+v", c)
	}
	for _, to := range []netip.AddrPort{p.RTP, p.RTCP} {
		a.checks(to, own, ice.Credentials{Ufrag: p.ICE.Ufrag, Pwd: p.ICE.Pwd}, true, true)
	}
}

// The parties' ICE is between them: their checks pass the box when they are authentic, and then media
// does; nobody else's.
func TestICEThrough(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	const local = "127.0.53.3"
	a, b := newPhone(t, "127.0.53.1"), newPhone(t, "127.0.53.2")
	ca, cb := ice.NewCredentials(), ice.NewCredentials()
	leg := func(p *phone, id string, c ice.Credentials) ctl.MediaLeg {
		s := p.audio()
		s.Protection, s.ICE = ctl.Through, ctl.MediaICE{Ufrag: c.Ufrag, Pwd: c.Pwd}
		l := p.leg(id, local, s)
		l.Ours = ctl.MediaTerms{Protection: ctl.Through, ICE: ctl.ICEThrough, Setup: "actpass"}
		return l
	}
	offered, err := r.Offer(ctl.MediaOffer{Session: "x", Leg: leg(a, "a", ca), Peer: ctl.MediaLeg{
		ID: "b", Local: netip.MustParseAddr(local), Ours: ctl.MediaTerms{Protection: ctl.Through, ICE: ctl.ICEThrough, Setup: "actpass"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Answer(ctl.MediaAnswer{Session: "x", Leg: leg(b, "b", cb), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	pa, pb := offered.Leg[0], offered.Peer[0]
	if c := pa.ICE.Candidates; pa.ICE.Ufrag != "" || len(c) != 2 || c[0].Type != "relay" || c[0].Priority>>24 != 0 {
		t.Errorf("%+v", pa.ICE)
	}
	thief := newPhone(t, "127.0.53.9")
	thief.write(pa.RTP, check(ca, ice.Credentials{Ufrag: cb.Ufrag, Pwd: "a guess of the right length"}, true))
	b.hears(false)
	a.speak(pa)
	b.hears(false)
	request := check(ca, cb, true)
	a.write(pa.RTP, request)
	if got := b.read(2 * time.Second); string(got) != string(request) {
		t.Fatalf("the check came as % x", got)
	}
	w := stun.New(nil, stun.Binding|stun.Success, stun.TransactionID{9, 8, 7})
	w.AddXORAddress(stun.AttrXORMappedAddress, pb.RTP)
	w.Sign(hmac.New(sha1.New, []byte(cb.Pwd)))
	response := w.Mark()
	b.write(pb.RTP, response)
	if got := a.read(2 * time.Second); string(got) != string(response) {
		t.Fatalf("the response came as % x", got)
	}
	a.speak(pa)
	b.hears(true)
	b.speak(pb)
	a.hears(true)
	thief.speak(pa)
	b.hears(false)
}

// Media that has found a way past the box is no silence.
func TestDirectMediaIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, newKeeper(t), nil)
	const local = "127.0.54.3"
	a, b := newPhone(t, "127.0.54.1"), newPhone(t, "127.0.54.2")
	leg := func(p *phone, id string) ctl.MediaLeg {
		s, c := p.audio(), ice.NewCredentials()
		s.ICE = ctl.MediaICE{Ufrag: c.Ufrag, Pwd: c.Pwd}
		l := p.leg(id, local, s)
		l.Ours = ctl.MediaTerms{ICE: ctl.ICEThrough}
		return l
	}
	if _, err := r.Offer(ctl.MediaOffer{Session: "x", Leg: leg(a, "a"), Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(local), Ours: ctl.MediaTerms{ICE: ctl.ICEThrough}}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Answer(ctl.MediaAnswer{Session: "x", Leg: leg(b, "b"), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case ev := <-r.events:
			if ev.Kind != ctl.MediaDirect {
				t.Errorf("told %+v", ev)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was told")
		}
	}
	closed, err := r.CloseSession(ctl.MediaClose{Session: "x"})
	if err != nil || !closed.Streams[0].Direct || !closed.Streams[1].Direct {
		t.Errorf("closed %+v, %v", closed, err)
	}
}

// A browser: one port for sound and picture, a handshake after a check, and a phone that has neither.
func TestBrowserToPhone(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	r := newRig(t, k, nil)
	const local = "127.0.55.3"
	browser := newParty(t, "127.0.55.1", ctl.DTLS, secure.GCM128)
	sound, picture := newPhone(t, "127.0.55.2"), newPhone(t, "127.0.55.2")
	own := ice.NewCredentials()
	video := func(s ctl.MediaStream) ctl.MediaStream {
		s.Kind, s.Formats = "video", []ctl.MediaFormat{{PayloadType: 96, Encoding: "VP8", ClockRate: 90000}}
		return s
	}
	s := browser.stream(0, "actpass")
	s.ICE, s.MID, s.MIDExt = ctl.MediaICE{Ufrag: own.Ufrag, Pwd: own.Pwd}, "0", 4
	v := video(s)
	v.MID, v.BundleOn = "1", 1
	leg := browser.leg("a", local, "passive", s, v)
	leg.Ours.ICE, leg.Ours.Mux, leg.Ours.Bundle = ctl.ICELite, true, true
	offered, err := r.Offer(ctl.MediaOffer{Session: "x", Leg: leg, Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(local)}})
	if err != nil {
		t.Fatal(err)
	}
	pa, pb := offered.Leg, offered.Peer
	if len(pa) != 2 || pa[0].RTP != pa[1].RTP || pa[0].Setup != "passive" || len(pa[1].Fingerprint.Value) != 32 || pb[0].RTP == pb[1].RTP {
		t.Fatalf("ports %+v", pa)
	}
	if st, _, _ := r.Status(); st.Ports.Used != 6 {
		t.Errorf("%d ports in use", st.Ports.Used)
	}
	b := sound.leg("b", local, sound.audio(), video(picture.audio()))
	if err := r.Answer(ctl.MediaAnswer{Session: "x", Leg: b, Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	browser.checks(pa[0].RTP, own, ice.Credentials{Ufrag: pa[0].ICE.Ufrag, Pwd: pa[0].ICE.Pwd}, true, true)
	browser.handshake(t, pa[0], true)
	browser.shaken(t)
	r.secured("x", "a")
	talk := func() {
		t.Helper()
		browser.send(t, pa[0], "sound")
		sound.hears(true)
		browser.seq++
		p, err := browser.out.EncryptRTP(nil, append([]byte{0x80, 96, 0, browser.seq, 0, 0, 0, 1, 0, 0, 0, 8}, "picture"...), nil)
		if err != nil {
			t.Fatal(err)
		}
		browser.write(pa[0].RTP, p)
		if got := picture.read(2 * time.Second); len(got) < 12 || string(got[12:]) != "picture" {
			t.Fatalf("the picture came as %q", got)
		}
		sound.seq++
		sound.write(pb[0].RTP, append([]byte{0x80, 0, 0, sound.seq, 0, 0, 0, 1, 0, 0, 0, 9}, "from the phone"...))
		browser.hears(t, "from the phone")
		picture.seq++
		picture.write(pb[1].RTP, append([]byte{0x80, 96, 0, picture.seq, 0, 0, 0, 1, 0, 0, 0, 10}, "its camera"...))
		browser.hears(t, "its camera")
	}
	talk()
	r = r.again(k)
	talk()
	closed, err := r.CloseSession(ctl.MediaClose{Session: "x"})
	if err != nil || len(closed.Streams) != 4 {
		t.Fatalf("closed %+v, %v", closed, err)
	}
	for _, st := range closed.Streams[:2] {
		if st.Protection != ctl.DTLS || st.Suite == "" || st.PacketsIn != 2 || st.PacketsOut != 2 || st.Remote != browser.at() {
			t.Errorf("account %+v", st)
		}
	}
	if st, _, _ := r.Status(); st.Ports.Used != 0 {
		t.Errorf("%d ports in use", st.Ports.Used)
	}
}

func TestPayloadTypesAreMapped(t *testing.T) {
	t.Parallel()
	f := func(pt uint8, enc string, rate uint32, params string) ctl.MediaFormat {
		return ctl.MediaFormat{PayloadType: pt, Encoding: enc, ClockRate: rate, Params: params}
	}
	from := &stream{said: &ctl.MediaStream{
		Formats: []ctl.MediaFormat{f(1, "what it takes", 8000, "")},
		Told: []ctl.MediaFormat{
			f(96, "opus", 48000, ""), f(101, "telephone-event", 8000, ""), f(100, "telephone-event", 48000, ""), f(0, "PCMU", 8000, ""),
			f(102, "H264", 90000, "profile-level-id=42e01f;packetization-mode=1"), f(103, "rtx", 90000, "apt=102"), f(104, "VP9", 90000, "profile-id=2"),
			f(105, "H264", 90000, "profile-level-id=640028;packetization-mode=1"), f(106, "speex", 16000, ""),
		},
	}}
	to := &stream{said: &ctl.MediaStream{Formats: []ctl.MediaFormat{
		f(111, "OPUS", 48000, "useinbandfec=1"), f(97, "telephone-event", 8000, ""), f(98, "telephone-event", 48000, ""), f(0, "PCMU", 8000, ""),
		f(120, "H264", 90000, "packetization-mode=0;profile-level-id=42e01f"), f(121, "H264", 90000, "packetization-mode=1;profile-level-id=42001f"),
		f(122, "rtx", 90000, "apt=120"), f(123, "rtx", 90000, "apt=121"), f(124, "VP9", 90000, "profile-id=0"), f(106, "iLBC", 8000, ""),
	}}}
	got := types(from, to)
	if got == nil {
		t.Fatal("nothing is mapped")
	}
	for pt, want := range map[uint8]uint8{96: 111, 101: 97, 100: 98, 0: 0, 102: 121, 103: 123, 104: 104, 105: 105, 106: 0xff, 5: 5} {
		if got[pt] != want {
			t.Errorf("%d becomes %d, want %d", pt, got[pt], want)
		}
	}
	same := &stream{said: &ctl.MediaStream{Formats: []ctl.MediaFormat{f(0, "PCMU", 8000, ""), f(8, "PCMA", 8000, "")}}}
	if types(same, same) != nil || types(same, &stream{}) != nil {
		t.Error("mapped without need")
	}
}
