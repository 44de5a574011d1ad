package diag

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/network/ntp"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	if err := netlab.RaiseLoopback(); err != nil {
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func ip(t *testing.T, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if out, err := exec.Command("ip", strings.Fields(l)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %s %v", l, out, err)
		}
	}
}

// outside is a router and the Internet behind it: names, SIP and HTTPS, all on one host.
func outside(t *testing.T) *netlab.Host {
	t.Helper()
	router := netlab.New(t).Cable(t, "router", "dg-a")
	for _, l := range []string{"addr add 10.50.0.1/24 dev eth0", "addr add 203.0.113.5/32 dev lo", "addr add 203.0.113.53/32 dev lo"} {
		router.Output(t, "ip", strings.Fields(l)...)
	}
	ip(t, "addr add 10.50.0.2/24 dev dg-a", "route add default via 10.50.0.1")
	t.Cleanup(func() { _ = exec.Command("ip", "route", "del", "default").Run() })
	udp := func(at string, answer func([]byte) []byte) {
		c, err := router.ListenUDP(netip.MustParseAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for buf := make([]byte, 2000); ; {
				n, from, err := c.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				_, _ = c.WriteToUDPAddrPort(answer(buf[:n]), from)
			}
		}()
		t.Cleanup(func() { _ = c.Close(); <-ended })
	}
	udp("203.0.113.53:53", nameServer)
	udp("203.0.113.5:5060", func(b []byte) []byte {
		return append([]byte("SIP/2.0 403 Forbidden\r\n"), bytes.SplitN(b, []byte("\r\n"), 2)[1]...)
	})
	var ln net.Listener
	if err := router.Do(func() (err error) { ln, err = net.Listen("tcp", "203.0.113.5:443"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return router
}

func nameServer(b []byte) []byte {
	ask := new(dns.Msg)
	if ask.Unpack(b) != nil {
		return nil
	}
	m := new(dns.Msg).SetReply(ask)
	if ask.Question[0].Name == "sip.provider.example." && ask.Question[0].Qtype == dns.TypeA {
		rr, _ := dns.NewRR("sip.provider.example. 60 IN A 203.0.113.5")
		m.Answer = []dns.RR{rr}
	}
	wire, _ := m.Pack()
	return wire
}

func config() Config {
	return Config{
		Servers: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.53:53")}, Sources: []string{"ntp.provider.example"}, Trunk: "sip.provider.example",
		Clock: func() ntp.State { return ntp.State{Synced: true, Stratum: 3, Offset: 2 * time.Millisecond} },
		Reach: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.77:443"), netip.MustParseAddrPort("203.0.113.5:443")},
	}
}

// look returns the states by id, and the nodes.
func look(t *testing.T, cfg Config) (string, map[string]ctl.DiagNode) {
	t.Helper()
	d, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]ctl.DiagNode{}
	var states []string
	for _, n := range d.Nodes {
		nodes[n.ID] = n
		states = append(states, n.ID+"="+string(n.State))
		if bad := n.State == ctl.DiagWarn || n.State == ctl.DiagFailed; n.Evidence == "" || bad != (n.Cure != "") {
			t.Errorf("%+v", n)
		}
	}
	return strings.Join(states, " "), nodes
}

// What is broken is named, with its cure, and what needs it is not blamed.
func TestEachFaultIsFoundWhereItIs(t *testing.T) {
	router := outside(t)
	up := "cable dg-a=ok address dg-a=ok gateway dg-a=ok "
	states, nodes := look(t, config())
	if states != up+"dns=ok internet=ok time=ok trunk=ok" || nodes["trunk"].Parent != "dns" || nodes["dns"].Parent != "gateway dg-a" ||
		!strings.Contains(nodes["trunk"].Evidence, "403 Forbidden") {
		t.Fatalf("all is well: %s\n%+v", states, nodes)
	}

	cfg := config()
	cfg.Servers = []netip.AddrPort{netip.MustParseAddrPort("203.0.113.99:53")}
	router.Output(t, "ip", "route", "add", "blackhole", "203.0.113.99")
	states, nodes = look(t, cfg)
	if states != up+"dns=failed internet=ok time=skipped trunk=skipped" || !strings.Contains(nodes["dns"].Cure, "name servers that answer") {
		t.Errorf("dead name server: %s\n%+v", states, nodes["dns"])
	}
	cfg.Servers = append(cfg.Servers, config().Servers...)
	if states, nodes = look(t, cfg); states != up+"dns=warn internet=ok time=ok trunk=ok" {
		t.Errorf("one dead of two: %s\n%+v", states, nodes["dns"])
	}

	cfg = config()
	cfg.Trunk, cfg.Clock = "203.0.113.5:5061", func() ntp.State { return ntp.State{Synced: true, Offset: time.Minute} }
	cfg.Reach = []netip.AddrPort{netip.MustParseAddrPort("203.0.113.5:444")}
	if states, nodes = look(t, cfg); states != up+"dns=ok internet=failed time=warn trunk=failed" || !strings.Contains(nodes["trunk"].Cure, "provider") {
		t.Errorf("trunk, time and Internet: %s\n%+v", states, nodes)
	}

	router.Output(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all")
	if states, nodes = look(t, config()); !strings.Contains(states, "gateway dg-a=warn dns=ok") || !strings.Contains(nodes["gateway dg-a"].Evidence, "does not answer ping") {
		t.Errorf("a silent gateway: %s\n%+v", states, nodes["gateway dg-a"])
	}

	rest := "dns=skipped internet=skipped time=skipped trunk=skipped"
	ip(t, "route replace default via 10.50.0.77")
	states, nodes = look(t, config())
	if states != "cable dg-a=ok address dg-a=ok gateway dg-a=failed "+rest || !strings.Contains(nodes["gateway dg-a"].Evidence, "nobody on dg-a says that it is 10.50.0.77") ||
		!strings.Contains(nodes["dns"].Evidence, "Gateway of dg-a") {
		t.Errorf("wrong gateway: %s\n%+v", states, nodes)
	}
	ip(t, "addr del 10.50.0.2/24 dev dg-a")
	cfg = config()
	cfg.Uplinks = []Uplink{{"Fibre", "dg-a"}, {"Radio", "nope"}}
	states, nodes = look(t, cfg)
	if states != "cable dg-a=ok address dg-a=failed gateway dg-a=skipped cable nope=failed address nope=skipped gateway nope=skipped "+rest ||
		!strings.Contains(nodes["dns"].Evidence, "Gateway of Fibre and Gateway of Radio") {
		t.Errorf("no address: %s\n%+v", states, nodes)
	}
	router.Output(t, "ip", "link", "set", "eth0", "down")
	if states, nodes = look(t, cfg); !strings.HasPrefix(states, "cable dg-a=failed address dg-a=skipped") || !strings.Contains(nodes["cable dg-a"].Cure, "plug the cable in") {
		t.Errorf("no cable: %s\n%+v", states, nodes)
	}
	if states, nodes = look(t, config()); states != "uplink=failed "+rest {
		t.Errorf("no uplink: %s\n%+v", states, nodes)
	}
}

func TestChecksRunSideBySideAndEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(state ctl.DiagState) func(context.Context) finding {
			return func(ctx context.Context) finding {
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
				return finding{state, "seen", ""}
			}
		}
		hangs := func(ctx context.Context) finding { <-ctx.Done(); return failed("no end", "none") }
		d := run(t.Context(), []check{
			{"a", "A", nil, slow(ctl.DiagOK)},
			{"b", "B", nil, slow(ctl.DiagFailed)},
			{"c", "C", []string{"b", "a"}, slow(ctl.DiagOK)},
			{"d", "D", []string{"b"}, slow(ctl.DiagOK)},
			{"e", "E", nil, hangs},
		})
		if d.Took != checkTime || d.Nodes[2].Parent != "a" || d.Nodes[2].State != ctl.DiagOK || d.Nodes[3].State != ctl.DiagSkipped || d.Nodes[3].Parent != "b" || d.Nodes[4].Took != checkTime {
			t.Errorf("%+v", d)
		}
	})
}

func TestCablesAndAddresses(t *testing.T) {
	t.Parallel()
	link := ctl.LinkDetail{Link: ctl.Link{Name: "e", Up: true, Carrier: true}, SpeedMbit: 1000, Duplex: "full", Received: ctl.LinkCounters{Packets: 1e6}}
	with := func(change func(*ctl.LinkDetail)) uplink {
		l := link
		change(&l)
		return uplink{Uplink{"E", "e"}, ctl.NetDetail{Links: []ctl.LinkDetail{l}}}
	}
	for name, c := range map[string]struct {
		u        uplink
		evidence string
		state    ctl.DiagState
	}{
		"good":    {with(func(*ctl.LinkDetail) {}), "1000 Mbit/s full", ctl.DiagOK},
		"off":     {with(func(l *ctl.LinkDetail) { l.Up = false }), "switched off", ctl.DiagFailed},
		"half":    {with(func(l *ctl.LinkDetail) { l.Duplex = "half" }), "half", ctl.DiagWarn},
		"slow":    {with(func(l *ctl.LinkDetail) { l.SpeedMbit = 10 }), "10 Mbit/s", ctl.DiagWarn},
		"damaged": {with(func(l *ctl.LinkDetail) { l.Received.Errors = 5000 }), "5000 of 1000000 packets", ctl.DiagWarn},
	} {
		if f := c.u.cable(); f.state != c.state || !strings.Contains(f.evidence, c.evidence) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	u := with(func(l *ctl.LinkDetail) { l.Addresses = []netip.Prefix{netip.MustParsePrefix("169.254.7.7/16")} })
	if f := u.address(); f.state != ctl.DiagFailed || !strings.Contains(f.evidence, "no DHCP server gave") {
		t.Errorf("%+v", f)
	}
}

func TestNamesOfTrunks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sip.example.com": "sip.example.com 5060", "sip.example.com:5070": "sip.example.com 5070", "192.0.2.1": "192.0.2.1 5060", "[2001:db8::1]:5062": "2001:db8::1 5062",
		"2001:db8::1": "2001:db8::1 5060", "": "", "a b": "", "x:99999": "", "x\r\nVia: y": "", "fe80::1%\r\n": "", "[fe80::1%a b]:5060": "", "x:0": "",
	} {
		host, port, err := splitTrunk(text)
		if got := host + " " + netip.AddrPortFrom(netip.IPv4Unspecified(), port).String()[8:]; (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		if (CheckTrunk(text) == nil) != (want != "") {
			t.Errorf("%q is checked differently", text)
		}
	}
	if plain(&net.OpError{Op: "dial", Err: errors.New("refused")}) != "refused" {
		t.Error("plain")
	}
}

func FuzzAnswerLine(f *testing.F) {
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: x;branch=z9hG4bK1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if line, ok := answerLine(b, "z9hG4bK1"); ok && (len(line) > 60 || strings.ContainsAny(line, "\r\n\x1b")) {
			t.Errorf("%q", line)
		}
	})
}

func FuzzSplitTrunk(f *testing.F) {
	f.Add("sip.example.com:5070")
	f.Add("[2001:db8::1]:5060")
	f.Add("::% ") // a zone may hold anything
	f.Fuzz(func(t *testing.T, text string) {
		if host, _, err := splitTrunk(text); err == nil && strings.ContainsAny(host, " \r\n<>;@") {
			t.Errorf("%q", host)
		}
	})
}
