package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/media/secure/handshake"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/phone"
)

// description is that of a phone with PCMU.
func description(at netip.AddrPort, proto, lines string) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d %s 0\r\n%s", at.Addr(), at.Addr(), at.Port(), proto, lines)
}

// A phone that answers with a tag that it was not offered is hung up, its caller refused, and the
// reason is in the log.
func TestAnAnswerWithAWrongTag(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	s.policy(map[string]ctl.MediaRules{"bob": only("srtp")})
	alice := s.phone("alice", "tcp")
	bob := phone.Register(t, s.hosts["bob"], "bob", boxtest.Password("bob"), boxtest.Server(s.hosts["bob"], "udp"))
	bob.Say = func(at netip.AddrPort) string {
		return description(at, "RTP/SAVP", "a=crypto:99 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n")
	}
	out := alice.Call("sip:bob@pbx.test")
	c, err := bob.Answer()
	if err != nil {
		t.Fatal(err)
	}
	if !c.Ended(10 * time.Second) {
		t.Error("bob is not hung up")
	}
	alice.Over(out)
	s.verdict(1, record.CallFailed, 488)
	if r := s.records(1)[0]; !strings.Contains(r.Cause, "crypto.tag 99") {
		t.Errorf("cause: %s", r.Cause)
	}
}

// Who opens the association with another certificate than he has announced is hung up.
func TestAHandshakeWithAnotherCertificate(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	s.policy(map[string]ctl.MediaRules{"bob": only("dtls")})
	alice := s.phone("alice", "tcp")
	bob := phone.Register(t, s.hosts["bob"], "bob", boxtest.Password("bob"), boxtest.Server(s.hosts["bob"], "udp"))
	announced, other := identity(t), identity(t)
	bob.Say = func(at netip.AddrPort) string {
		hex := strings.ReplaceAll(fmt.Sprintf("% X", announced.Fingerprint().Value), " ", ":")
		return description(at, "UDP/TLS/RTP/SAVP", "a=setup:active\r\na=rtcp-mux\r\na=fingerprint:sha-256 "+hex+"\r\n")
	}
	out := alice.Call("sip:bob@pbx.test")
	c, err := bob.Answer()
	if err != nil {
		t.Fatal(err)
	}
	shake(t, c, other)
	if !c.Ended(20 * time.Second) {
		t.Error("bob is not hung up")
	}
	alice.Over(out)
	if r := s.records(1)[0]; r.EndedBy != record.ByBox || !strings.Contains(r.Cause, "media could not be encrypted") {
		t.Errorf("ended by %s: %s", r.EndedBy, r.Cause)
	}
}

func identity(t *testing.T) *handshake.Identity {
	t.Helper()
	id, err := handshake.NewIdentity(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// shake begins a handshake with the box over a call's media, with a certificate.
func shake(t *testing.T, c *phone.Call, with *handshake.Identity) {
	t.Helper()
	conn, box := c.Media()
	_, body, _ := strings.Cut(c.Heard(), "\r\n\r\n")
	offer, err := sdp.Parse(body)
	if err != nil || len(offer.Media[0].Fingerprints()) != 1 {
		t.Fatalf("no certificate of the box: %v\n%s", err, body)
	}
	theirs := offer.Media[0].Fingerprints()[0]
	h := handshake.Start(context.Background(), handshake.Config{
		Identity: with, Active: true, Log: slog.New(slog.DiscardHandler), Fingerprints: []handshake.Fingerprint{{Hash: theirs.Hash, Value: theirs.Value}},
		Send: func(b []byte) { _, _ = conn.WriteToUDPAddrPort(b, box) }, // a box that has ended the call refuses it
		Done: func(handshake.Result) {},
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for buf := make([]byte, 2048); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			h.Hear(buf[:n])
		}
	}()
	t.Cleanup(func() {
		h.Stop()
		<-h.Ended()
		_ = conn.Close() // which ends the reader
		<-ended
	})
}
