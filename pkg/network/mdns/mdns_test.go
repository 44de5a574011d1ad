package mdns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
	"golang.org/x/net/ipv4"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

func config(iface, addr string) Config {
	return Config{
		Host: "sanchar", Instance: "Sanchar (Head Office)",
		Services: []Service{{"_https._tcp", 443, []string{"path=/"}}, {"_sip._udp", 5060, nil}},
		Links:    []Link{{Iface: iface, Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}}},
	}
}

func ask(name string, qtype uint16, known ...dns.RR) *dns.Msg {
	m := new(dns.Msg)
	m.Question = []dns.Question{{Name: name, Qtype: qtype, Qclass: dns.ClassINET}}
	m.Answer = known
	return m
}

func TestAnswersAndWhatFollows(t *testing.T) {
	t.Parallel()
	cfg := config("x", "10.0.0.1/24")
	ours := names{cfg, 1}.records(cfg.Links[0])
	for _, c := range []struct {
		m    *dns.Msg
		want string // in the answers, "" for none
		more string // in what is added
	}{
		{ask("sanchar.local.", dns.TypeA), "10.0.0.1", ""},
		{ask("SANCHAR.local.", dns.TypeA), "10.0.0.1", ""},
		{ask("sanchar.local.", dns.TypeAAAA), "", ""},
		{ask("other.local.", dns.TypeA), "", ""},
		{ask("_https._tcp.local.", dns.TypePTR), `Sanchar\ \(Head\ Office\)._https._tcp.local.`, "10.0.0.1"},
		{ask("_services._dns-sd._udp.local.", dns.TypePTR), "_sip._udp.local.", ""},
		{ask(`Sanchar\ \(Head\ Office\)._sip._udp.local.`, dns.TypeSRV), "5060 sanchar.local.", "10.0.0.1"},
		{ask(`Sanchar\ \(Head\ Office\)._https._tcp.local.`, dns.TypeTXT), "path=/", ""},
		{ask("_https._tcp.local.", dns.TypePTR, ours[2]), "", ""}, // it knows
	} {
		got := answer(ours, c.m)
		if (c.want == "") != (len(got) == 0) || !strings.Contains(fmt.Sprint(got), c.want) {
			t.Errorf("%v: %v, want %q", c.m.Question, got, c.want)
		}
		if more := fmt.Sprint(additional(ours, got)); !strings.Contains(more, c.more) {
			t.Errorf("%v: added %v, want %q", c.m.Question, more, c.more)
		}
		wire, err := response(got).Pack()
		if err != nil || new(dns.Msg).Unpack(wire) != nil {
			t.Errorf("%v: %v", got, err)
		}
	}
}

func TestOthersMayNotHaveOurNames(t *testing.T) {
	t.Parallel()
	cfg := config("x", "10.0.0.1/24")
	ours := names{cfg, 1}.records(cfg.Links[0])
	says := func(text string) *dns.Msg {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return response([]dns.RR{rr})
	}
	for text, want := range map[string]bool{
		"sanchar.local. 120 IN A 10.0.0.9":                true,
		"sanchar.local. 120 IN A 10.0.0.1":                false,
		"sanchar.local. 0 IN A 10.0.0.9":                  false, // its farewell
		"other.local. 120 IN A 10.0.0.9":                  false,
		"_https._tcp.local. 120 IN PTR x._https._tcp.lo.": false, // shared
	} {
		if got := contradicts(ours, says(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if (names{cfg, 2}).host() != "sanchar-2.local." {
		t.Error("the next name")
	}
}

// multicast opens a socket of the group on a host.
func multicast(t *testing.T, h *netlab.Host) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := h.Do(func() error {
		nic, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c, err = net.ListenMulticastUDP("udp4", nic, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: port})
		if err != nil {
			return err
		}
		return ipv4.NewPacketConn(c).SetMulticastInterface(nic)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAHostFindsThePageAndSIP(t *testing.T) {
	t.Parallel()
	host := netlab.New(t).Cable(t, "host", "md-a")
	if out, err := exec.Command("ip", "addr", "add", "10.25.0.1/24", "dev", "md-a").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	host.Output(t, "ip", "addr", "add", "10.25.0.2/24", "dev", "eth0")
	group := multicast(t, host)
	r := New(config("md-a", "10.25.0.1/24"), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	hear := func(what string, ok func(*dns.Msg) bool) {
		t.Helper()
		_ = group.SetReadDeadline(time.Now().Add(netlab.Patience))
		for buf := make([]byte, 9000); ; {
			n, _, err := group.ReadFromUDP(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", what, err)
			}
			m := new(dns.Msg)
			if err := m.Unpack(buf[:n]); err != nil {
				t.Fatal(err)
			}
			if ok(m) {
				return
			}
		}
	}
	holds := func(rcode bool, text string) func(*dns.Msg) bool {
		return func(m *dns.Msg) bool { return m.Response == rcode && strings.Contains(m.String(), text) }
	}
	hear("a probe", func(m *dns.Msg) bool { return !m.Response && len(m.Ns) > 0 && m.Question[0].Qtype == dns.TypeANY })
	// Another host has the name: ours gets a number.
	taken, _ := dns.NewRR("sanchar.local. 120 IN A 10.25.0.2")
	wire, _ := response([]dns.RR{taken}).Pack()
	if _, err := group.WriteToUDP(wire, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: port}); err != nil {
		t.Fatal(err)
	}
	hear("an announcement", holds(true, "sanchar-2.local."))
	wire, _ = ask("_sip._udp.local.", dns.TypePTR).Pack()
	hear("the second announcement", holds(true, "sanchar-2.local."))
	if _, err := group.WriteToUDP(wire, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: port}); err != nil {
		t.Fatal(err)
	}
	hear("an answer", func(m *dns.Msg) bool { return len(m.Answer) == 1 && strings.Contains(m.String(), "10.25.0.1") })

	// Who asks from another port is answered as by a name server.
	c, err := host.Dial("udp", "10.25.0.1:5353")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := new(dns.Msg).SetQuestion("sanchar-2.local.", dns.TypeA)
	m, _, err := (&dns.Client{Timeout: 5 * time.Second}).ExchangeWithConn(q, &dns.Conn{Conn: c})
	if err != nil || len(m.Answer) != 1 || m.Answer[0].Header().Ttl != legacyTTL || m.Answer[0].Header().Class != dns.ClassINET {
		t.Errorf("%v, %v", m, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	hear("a farewell", func(m *dns.Msg) bool { return m.Response && len(m.Answer) > 3 && m.Answer[0].Header().Ttl == 0 })
}

func FuzzAnswer(f *testing.F) {
	for _, m := range []*dns.Msg{ask("sanchar.local.", dns.TypeANY), ask("_https._tcp.local.", dns.TypePTR)} {
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	cfg := config("x", "10.0.0.1/24")
	ours := names{cfg, 1}.records(cfg.Links[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		contradicts(ours, m)
		answers := answer(ours, m)
		out := response(answers)
		out.Extra = additional(ours, answers)
		if _, err := out.Pack(); err != nil {
			t.Errorf("an answer that cannot be sent: %v", err)
		}
	})
}
