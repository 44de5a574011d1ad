package probe

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// network is box - r1 - far, and an address behind r1 that is not there.
func network(t *testing.T) {
	t.Helper()
	lab := netlab.New(t)
	r1, far := lab.Cable(t, "r1", "pr-a"), lab.Cable(t, "far", "pr-b")
	run := func(args string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %s %v", args, out, err)
		}
	}
	// The second cable is taken from us and given to r1, so that far is behind it.
	run("addr add 10.40.0.1/24 dev pr-a")
	run("-6 addr add 2001:db8:40::1/64 dev pr-a nodad")
	pid := r1.Run(t, r1.Command("sleep", "1000")).PID()
	run("link set pr-b netns " + strconv.Itoa(pid))
	inside := func(h *netlab.Host, lines ...string) {
		for _, l := range lines {
			h.Output(t, "ip", strings.Fields(l)...)
		}
	}
	inside(r1, "addr add 10.40.0.2/24 dev eth0", "addr add 10.41.0.1/24 dev pr-b", "link set pr-b up",
		"-6 addr add 2001:db8:40::2/64 dev eth0 nodad", "-6 addr add 2001:db8:41::1/64 dev pr-b nodad", "route add unreachable 10.42.0.0/24")
	r1.Output(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	inside(far, "addr add 10.41.0.2/24 dev eth0", "route add default via 10.41.0.1", "-6 addr add 2001:db8:41::2/64 dev eth0 nodad", "-6 route add default via 2001:db8:41::1")
	run("route add 10.41.0.0/24 via 10.40.0.2")
	run("route add 10.42.0.0/24 via 10.40.0.2")
	run("-6 route add 2001:db8:41::/64 via 2001:db8:40::2")
}

func ping(t *testing.T, to string, o Options) (all []Reply) {
	t.Helper()
	if err := Ping(t.Context(), Target{Addr: netip.MustParseAddr(to)}, o, func(r Reply) { all = append(all, r) }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestHostsAndTheWayToThem(t *testing.T) {
	t.Parallel()
	network(t)
	fast := Options{Count: 2, Interval: time.Millisecond, Timeout: 2 * time.Second}
	for _, to := range []string{"10.40.0.2", "10.41.0.2", "2001:db8:41::2"} {
		all := ping(t, to, fast)
		if len(all) != 2 || all[1].Fault != "" || all[1].From != netip.MustParseAddr(to) || all[1].Took <= 0 || all[1].Seq != 2 {
			t.Errorf("%s: %+v", to, all)
		}
	}
	if all := ping(t, "10.41.0.2", Options{Count: 1, Size: 6000}); all[0].Fault != "" {
		t.Errorf("a large one: %+v", all)
	}
	if all := ping(t, "10.42.0.9", Options{Count: 1}); all[0].Fault != "host unreachable" || all[0].From != netip.MustParseAddr("10.40.0.2") {
		t.Errorf("no way there: %+v", all)
	}
	if all := ping(t, "192.0.2.1", Options{Count: 1}); all[0].Fault != "not sent: network is unreachable" {
		t.Errorf("no route at all: %+v", all)
	}
	if all := ping(t, "10.40.0.77", Options{Count: 1, Timeout: 200 * time.Millisecond}); all[0].Fault != "no answer" || all[0].From.IsValid() {
		t.Errorf("nobody: %+v", all)
	}
	for _, way := range [][]string{{"10.40.0.2", "10.41.0.2"}, {"2001:db8:40::2", "2001:db8:41::2"}} {
		var hops []Hop
		if err := Trace(t.Context(), Target{Addr: netip.MustParseAddr(way[1])}, func(h Hop) { hops = append(hops, h) }); err != nil {
			t.Fatal(err)
		}
		if len(hops) != 2 || hops[0].From.String() != way[0] || hops[0].Last || hops[1].From.String() != way[1] || !hops[1].Last || hops[1].Fault != "" || len(hops[1].Took) != 3 {
			t.Errorf("way to %s: %+v", way[1], hops)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := Ping(ctx, Target{Addr: netip.MustParseAddr("10.40.0.77")}, Options{Count: 50, Timeout: time.Minute}, func(Reply) {})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("an end: %v", err)
	}
}

func TestErrorsAboutOthersAreNotOurs(t *testing.T) {
	t.Parallel()
	p := &prober{raw: true, id: 7, nonce: 9, to: netip.MustParseAddr("10.0.0.1")}
	quote := func(id, seq byte) []byte {
		return append(append([]byte{0x45}, make([]byte, 19)...), 8, 0, 0, 0, 0, id, 0, seq)
	}
	for name, c := range map[string]struct {
		m    icmp.Message
		ours bool
	}{
		"ours":             {icmp.Message{Type: ipv4.ICMPTypeTimeExceeded, Body: &icmp.TimeExceeded{Data: quote(7, 3)}}, true},
		"of another":       {icmp.Message{Type: ipv4.ICMPTypeTimeExceeded, Body: &icmp.TimeExceeded{Data: quote(8, 3)}}, false},
		"an older one":     {icmp.Message{Type: ipv4.ICMPTypeTimeExceeded, Body: &icmp.TimeExceeded{Data: quote(7, 2)}}, false},
		"cut":              {icmp.Message{Type: ipv4.ICMPTypeTimeExceeded, Body: &icmp.TimeExceeded{Data: quote(7, 3)[:24]}}, false},
		"echo, our nonce":  {icmp.Message{Type: ipv4.ICMPTypeEchoReply, Body: &icmp.Echo{ID: 7, Seq: 3, Data: []byte{0, 0, 0, 0, 0, 0, 0, 9}}}, true},
		"echo, not ours":   {icmp.Message{Type: ipv4.ICMPTypeEchoReply, Body: &icmp.Echo{ID: 7, Seq: 3, Data: []byte{0, 0, 0, 0, 0, 0, 0, 8}}}, false},
		"our own question": {icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: 7, Seq: 3, Data: []byte{0, 0, 0, 0, 0, 0, 0, 9}}}, false},
	} {
		wire, err := c.m.Marshal(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, ours := p.understand(wire, 3); ours != c.ours {
			t.Errorf("%s: %v", name, ours)
		}
	}
}

func FuzzUnderstand(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 7, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9})
	f.Add([]byte{11, 0, 0, 0, 0, 0, 0, 0, 0x4f})
	p4 := &prober{raw: true, id: 7, nonce: 9, to: netip.MustParseAddr("10.0.0.1")}
	p6 := &prober{raw: true, id: 7, nonce: 9, to: netip.MustParseAddr("2001:db8::1")}
	f.Fuzz(func(_ *testing.T, b []byte) {
		p4.understand(b, 3)
		p6.understand(b, 3)
	})
}
