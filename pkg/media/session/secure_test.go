package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/media/secure/handshake"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// party is a phone that speaks SRTP by another library's contexts.
type party struct {
	*phone
	kind     ctl.Protection
	suite    secure.Suite
	own      secure.Master
	out, in  *srtp.Context
	identity *handshake.Identity
	shake    *atomic.Pointer[handshake.Handshake] // the latest
	result   chan handshake.Result
	heard    chan []byte // what is no DTLS, once it reads
}

func newParty(t *testing.T, host string, kind ctl.Protection, suite secure.Suite) *party {
	t.Helper()
	p := &party{phone: newPhone(t, host), kind: kind, suite: suite, own: secure.NewMaster(suite), result: make(chan handshake.Result, 1), shake: new(atomic.Pointer[handshake.Handshake])}
	var err error
	if p.identity, err = handshake.NewIdentity(time.Now()); err != nil {
		t.Fatal(err)
	}
	return p
}

// stream is what the party says of its stream.
func (p *party) stream(tag uint32, setup string) ctl.MediaStream {
	s := p.audio()
	s.Mux, s.RTCP = p.kind == ctl.DTLS, netip.AddrPort{}
	s.Protection = p.kind
	switch p.kind {
	case ctl.SDES:
		s.Crypto = []ctl.MediaCrypto{{Tag: tag, Suite: p.suite.String(), Key: p.own.Key}}
	case ctl.DTLS:
		f := p.identity.Fingerprint()
		s.Fingerprints, s.Setup = []ctl.MediaFingerprint{{Hash: f.Hash, Value: f.Value}}, setup
	}
	return s
}

func (p *party) leg(id, local string, setup string, s ...ctl.MediaStream) ctl.MediaLeg {
	l := p.phone.leg(id, local, s...)
	l.Ours = ctl.MediaTerms{Protection: p.kind, Setup: setup}
	return l
}

func context160(t *testing.T, m secure.Master) *srtp.Context {
	t.Helper()
	profile := map[secure.Suite]srtp.ProtectionProfile{
		secure.AES128SHA80: srtp.ProtectionProfileAes128CmHmacSha1_80, secure.AES256SHA32: srtp.ProtectionProfileAes256CmHmacSha1_32,
		secure.GCM128: srtp.ProtectionProfileAeadAes128Gcm, secure.GCM256: srtp.ProtectionProfileAeadAes256Gcm,
	}[m.Suite]
	c, err := srtp.CreateContext(m.Key[:m.Suite.KeySize()], m.Key[m.Suite.KeySize():], profile)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// key takes what the box says of its keys.
func (p *party) key(t *testing.T, ours ctl.MediaPorts) {
	t.Helper()
	if p.kind != ctl.SDES {
		return
	}
	for _, c := range ours.Crypto {
		if secure.SuiteOf(c.Suite) == p.suite {
			p.in, p.out = context160(t, secure.Master{Suite: p.suite, Key: c.Key}), context160(t, p.own)
			return
		}
	}
	t.Fatalf("no %s among %d keys", p.suite, len(ours.Crypto))
}

// tagOf is the tag of the party's suite in what the box offers.
func (p *party) tagOf(ours ctl.MediaPorts) uint32 {
	for _, c := range ours.Crypto {
		if secure.SuiteOf(c.Suite) == p.suite {
			return c.Tag
		}
	}
	return 0
}

// handshake begins DTLS with the box. The party reads its socket from then on.
func (p *party) handshake(t *testing.T, ours ctl.MediaPorts, active bool) {
	t.Helper()
	if p.kind != ctl.DTLS {
		return
	}
	p.heard = make(chan []byte, 100)
	p.begin(t, ours, active)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for buf := make([]byte, 2048); ; {
			n, _, err := p.rtp.ReadFromUDPAddrPort(buf)
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
			case err != nil:
				return
			case n > 0 && buf[0] >= 20 && buf[0] < 64:
				p.shake.Load().Hear(buf[:n])
			default:
				p.heard <- append([]byte(nil), buf[:n]...)
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.rtp.Close()
		<-ended
	})
}

// begin begins a handshake with the box, whose datagrams the party reads.
func (p *party) begin(t *testing.T, ours ctl.MediaPorts, active bool) {
	t.Helper()
	h := handshake.Start(context.Background(), handshake.Config{
		Identity: p.identity, Fingerprints: []handshake.Fingerprint{{Hash: ours.Fingerprint.Hash, Value: ours.Fingerprint.Value}},
		Active: active, Log: slog.New(slog.DiscardHandler),
		Send: func(b []byte) { _, _ = p.rtp.WriteToUDPAddrPort(b, ours.RTP) },
		Done: func(r handshake.Result) { p.result <- r },
	})
	p.shake.Store(h)
	t.Cleanup(func() {
		h.Stop()
		<-h.Ended()
	})
}

// shaken waits for the keys.
func (p *party) shaken(t *testing.T) {
	t.Helper()
	if p.kind != ctl.DTLS {
		return
	}
	select {
	case r := <-p.result:
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		p.in, p.out = context160(t, r.RX), context160(t, r.TX)
	case <-time.After(10 * time.Second):
		t.Fatal("no handshake")
	}
}

func (p *party) send(t *testing.T, ours ctl.MediaPorts, text string) {
	t.Helper()
	p.seq++
	b := append([]byte{0x80, 0, 0, p.seq, 0, 0, 0, p.seq, 0, 0, 0, 7}, text...)
	if p.out != nil {
		var err error
		if b, err = p.out.EncryptRTP(nil, b, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.rtp.WriteToUDPAddrPort(b, ours.RTP); err != nil {
		t.Fatal(err)
	}
}

// raw waits for the next packet, as it came.
func (p *party) raw(t *testing.T, wait time.Duration) []byte {
	t.Helper()
	if p.heard != nil {
		select {
		case b := <-p.heard:
			return b
		case <-time.After(wait):
			return nil
		}
	}
	_ = p.rtp.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 2048)
	n, _, err := p.rtp.ReadFromUDPAddrPort(buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

func (p *party) hears(t *testing.T, want string) {
	t.Helper()
	b := p.raw(t, 3*time.Second)
	if b == nil {
		t.Fatalf("%s heard nothing", p.at())
	}
	if p.in != nil {
		if strings.Contains(string(b), want) {
			t.Fatal("heard in clear")
		}
		var err error
		if b, err = p.in.DecryptRTP(nil, b, nil); err != nil {
			t.Fatal(err)
		}
	}
	if string(b[12:]) != want {
		t.Fatalf("heard %q, want %q", b[12:], want)
	}
}

// connect makes a call between two parties.
func connect(t *testing.T, r *rig, id string, a, b *party, local string) (pa, pb ctl.MediaPorts) {
	t.Helper()
	offered, err := r.Offer(ctl.MediaOffer{
		Session: id, Leg: a.leg("a", local, "", a.stream(7, "actpass")),
		Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(local), Ours: ctl.MediaTerms{Protection: b.kind, Setup: "actpass"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	pa, pb = offered.Leg[0], offered.Peer[0]
	if err := r.Answer(ctl.MediaAnswer{Session: id, Leg: b.leg("b", local, "actpass", b.stream(b.tagOf(pb), "active")), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	a.key(t, pa)
	b.key(t, pb)
	a.handshake(t, pa, true)
	b.handshake(t, pb, true)
	a.shaken(t)
	b.shaken(t)
	var wait []string
	for leg, p := range map[string]*party{"a": a, "b": b} {
		if p.kind == ctl.DTLS {
			wait = append(wait, leg)
		}
	}
	r.secured(id, wait...)
	return pa, pb
}

// secured waits until the box has the keys of a handshake: it may be the later of the two.
func (r *rig) secured(id string, legs ...string) {
	r.t.Helper()
	for len(legs) > 0 {
		select {
		case ev := <-r.events:
			if ev.Kind == ctl.MediaSecured && ev.Session == id {
				legs = slices.DeleteFunc(legs, func(l string) bool { return l == ev.Leg })
			}
		case <-time.After(10 * time.Second):
			r.t.Fatal("not secured")
		}
	}
}

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
	before := *a
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
