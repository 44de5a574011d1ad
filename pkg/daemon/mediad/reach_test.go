package mediad

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/stun"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestReach(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.50.8:0")))
	if err != nil {
		t.Skip(err)
	}
	defer conn.Close()
	at := netip.MustParseAddrPort("127.0.50.9:23478")
	c := startWith(t, func(cfg *Config) { cfg.STUN = []netip.AddrPort{at} })
	ask := func(wait time.Duration) bool {
		w := stun.New(nil, stun.Binding|stun.Request, stun.TransactionID{})
		_, _ = conn.WriteToUDPAddrPort(w.Mark(), at) // it may not listen yet
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		n, _, err := conn.ReadFromUDPAddrPort(make([]byte, 200))
		return err == nil && n > 20
	}
	if ask(50 * time.Millisecond) {
		t.Error("answered without a policy")
	}
	if _, err := c.SetReach(t.Context(), ctl.MediaReach{STUN: true, Realm: "example.test", Secret: make([]byte, 16)}); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); !ask(100 * time.Millisecond); {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("no answer")
		}
	}
	if st, err := c.Status(t.Context()); err != nil || len(st.STUN) != 1 || st.STUN[0] != at {
		t.Errorf("the status tells of %v, %v", st.STUN, err)
	}
	for _, in := range []ctl.MediaReach{{Realm: "x", Secret: make([]byte, 15)}, {Secret: make([]byte, 16)}} {
		if _, err := c.SetReach(t.Context(), in); !problem.Is(err, problem.Invalid) {
			t.Errorf("%+v: %v", in, err)
		}
	}
}

// Another program has the port: the streams flow all the same, and an admin hears of it.
func TestReachThatCannotBeHad(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.50.10:0")))
	if err != nil {
		t.Skip(err)
	}
	defer conn.Close()
	c := startWith(t, func(cfg *Config) { cfg.STUN = []netip.AddrPort{conn.LocalAddr().(*net.UDPAddr).AddrPort()} })
	if _, err := c.SetReach(t.Context(), ctl.MediaReach{STUN: true}); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; {
		if st, err := c.Status(t.Context()); err == nil && len(st.Alarms) == 1 && st.Alarms[0].Code == "media.stun" {
			break
		} else if time.Since(begin) > 10*time.Second {
			t.Fatalf("%+v, %v", st, err)
		}
	}
	a, b := call(t, c, "one")
	if err := a.send(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.receive(2 * time.Second); err != nil {
		t.Error(err)
	}
}
