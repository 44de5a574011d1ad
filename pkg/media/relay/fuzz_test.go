package relay

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/media/ice"
	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// Whatever comes on a media port, from the peer or from a stranger, the loop goes on.
func FuzzPacket(f *testing.F) {
	for _, seed := range []string{
		"", "\x80\x00\x00\x01\x00\x00\x00\xa0\x00\x00\x00\x07speech", "\x80\xc8\x00\x01\x00\x00\x00\x07",
		"\x81\xc9\x00\x07\x00\x00\x00\x07\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05",
		"\x10\x00\x00\x01ZRTP\x00\x00\x00\x01", "\x16\xfe\xfd\x00", "\x00\x01\x00\x00\x21\x12\xa4\x42",
	} {
		f.Add([]byte(seed), false, false)
		f.Add([]byte(seed), true, true)
	}
	f.Add([]byte("\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl"), false, true)
	l := startLoop(f, false)
	a, b := newPhone(f, l, "127.0.13.1", "127.0.13.3"), newPhone(f, l, "127.0.13.2", "127.0.13.3")
	agent, master := ice.NewAgent(ice.Credentials{Ufrag: "abcd", Pwd: "0123456789012345678901"}, ""), secure.NewMaster(secure.GCM128)
	peer, stranger := udpio.SockaddrOf(local(a.rtp)), udpio.SockaddrOf(local(b.rtp))
	f.Fuzz(func(t *testing.T, p []byte, rtcp, protected bool) {
		ta, tb := a.terms(), b.terms()
		ta.Secure, tb.Mux = !protected, protected
		join(t, l, a, b, ta, tb)
		do(t, l, func(now int64) {
			e := &a.stream.rtp
			if rtcp {
				e = &a.stream.rtcp
			}
			a.stream.SetGuard(Guard{})
			if protected { // SRTP with us, and checks
				a.stream.SetGuard(Guard{Locked: true, Agent: agent})
				if err := a.stream.SetKeys(master, master, now); err != nil {
					t.Error(err)
				}
			}
			for _, from := range []*udpio.Sockaddr{&stranger, &peer, &peer} {
				l.packet(e, p, from, now)
			}
			l.flush()
		})
	})
}
