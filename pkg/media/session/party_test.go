package session

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

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
