package services

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/network/dhcp"
	"github.com/coraltele/sanchar/pkg/network/lldp"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netmon"
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

const text = `{
	"hostname": "pbx", "domain": "office.example",
	"ports": [{"name": "sv-a", "label": "LAN 1"}, {"name": "gone"}],
	"interfaces": [{"link": "sv-a", "zone": "voice", "addresses": ["10.60.0.1/24", "2001:db8:60::1/64"]}, {"link": "sv-b", "zone": "voice", "addresses": ["10.61.0.1/24"]}],
	"zones": [{"name": "voice", "kind": "voice", "services": ["dhcp", "dns", "ntp", "mdns", "provision", "page"]}],
	"dns": {"serve": true, "servers": ["203.0.113.53"], "hosts": [{"name": "printer", "addresses": ["10.60.0.9"]}], "split": [{"domain": "corp.example", "servers": ["203.0.113.54"]}], "allowLAN": ["lan.example"]},
	"ntp": {"serve": true, "sources": ["203.0.113.123"]},
	"dhcp": [
		{"link": "sv-a", "ranges": ["10.60.0.100-10.60.0.110"], "leaseSeconds": 3600, "phones": {"vlan": 20, "tftpServers": ["10.60.0.1"]},
			"reservations": [{"mac": "02:00:00:00:00:AA", "address": "10.60.0.50", "name": "Lobby"}],
			"options": [{"code": 67, "text": "boot.cfg"}, {"code": 200, "hex": "0a:0b", "vendorClass": "acme"}, {"code": 138, "addresses": ["10.60.0.1", "10.60.0.2"]}],
			"relays": [{"agent": "10.62.0.1", "subnet": "10.62.0.0/24", "ranges": ["10.62.0.10-10.62.0.20"]}]},
		{"link": "sv-b", "ranges": ["10.61.0.100-10.61.0.110"], "noRouter": true}
	],
	"advertise": [{"link": "sv-a"}],
	"lldp": {"voice": [{"port": "sv-a", "vlan": 20}]},
	"mdns": {"name": "Head Office"}
}`

func document(t *testing.T) (doc netcfg.Document) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func known(t *testing.T) facts {
	t.Helper()
	p := netip.MustParsePrefix
	return facts{
		doc: document(t), ports: Ports{Page: 8443, SIP: 5060, Phones: 8444, Plain: 8080}, version: "1.2", provision: "/provision/",
		links: []ctl.Link{{Name: "sv-a", Index: 7, MAC: "02:00:00:00:00:01", Up: true, Addresses: []netip.Prefix{p("10.60.0.1/24"), p("2001:db8:60::1/64"), p("fe80::1/64")}}},
	}
}

func TestADocumentBecomesSettings(t *testing.T) {
	t.Parallel()
	f := known(t)
	a := netip.MustParseAddr
	d, waiting := f.dhcp()
	if !slices.Equal(waiting, []string{"sv-b"}) || len(d.Subnets) != 2 {
		t.Fatalf("waiting for %v, %d subnets", waiting, len(d.Subnets))
	}
	s := d.Subnets[0]
	if s.Server != a("10.60.0.1") || s.Prefix.String() != "10.60.0.0/24" || s.Lease != time.Hour || !slices.Equal(s.DNS, []netip.Addr{a("10.60.0.1")}) ||
		!slices.Equal(s.NTP, s.DNS) || s.Domain != "office.example" || s.Provision != "https://10.60.0.1:8444/provision/" || s.VoiceVLAN != 20 || s.VoicePriority != 5 ||
		s.Reserved[0] != (dhcp.Reservation{MAC: "02:00:00:00:00:aa", Addr: a("10.60.0.50"), Name: "Lobby"}) || s.Index != 7 {
		t.Errorf("%+v", s)
	}
	if string(s.Extra[0].Value) != "boot.cfg" || string(s.Extra[1].Value) != "\x0a\x0b" || s.Extra[1].Class != "acme" || len(s.Extra[2].Value) != 8 {
		t.Errorf("options %+v", s.Extra)
	}
	if r := d.Subnets[1]; r.Relay != a("10.62.0.1") || r.Prefix.String() != "10.62.0.0/24" || r.Routers[0] != r.Relay || r.Server != s.Server {
		t.Errorf("behind the relay %+v", r)
	}
	n := f.dns()
	if len(n.Places) != 2 || n.Places[0].Addr != a("10.60.0.1") || n.Places[1].Addr != a("2001:db8:60::1") || n.Servers[0].String() != "203.0.113.53:53" ||
		n.Box != "pbx" || len(n.Split) != 1 || len(n.Hosts) != 2 || n.Hosts[1].Name != "lobby" || n.Inside[0] != "lan.example" {
		t.Errorf("%+v", n)
	}
	r := f.adverts()
	if len(r) != 1 || r[0].Prefixes[0].String() != "2001:db8:60::/64" || len(r[0].Prefixes) != 1 || r[0].DNS[0] != a("2001:db8:60::1") || r[0].Search[0] != "office.example" || r[0].Lifetime != 1800*time.Second {
		t.Errorf("%+v", r)
	}
	l := f.lldp()
	if len(l.Ports) != 1 || *l.Ports[0].Voice != (lldp.Policy{VLAN: 20, Priority: 5, DSCP: 46}) || l.Ports[0].Text != "LAN 1" || l.Name != "pbx.office.example" || len(l.Management) != 2 {
		t.Errorf("%+v", l)
	}
	m := f.mdns()
	if len(m.Services) != 2 || m.Services[0].Port != 8443 || m.Instance != "Head Office" || len(m.Links[0].Addrs) != 3 {
		t.Errorf("%+v", m)
	}
	// The provider's name servers; itself the box does not ask.
	f.doc.DNS.Serve, f.learned, f.doc.DNS.Servers, f.ports.Phones = false, []netip.Addr{a("192.0.2.53"), a("10.60.0.1"), a("2001:db8::53")}, nil, 0
	f.doc.Zones[0].Services = append(f.doc.Zones[0].Services, netcfg.ServePlainProv)
	d, _ = f.dhcp()
	if s := d.Subnets[0]; !slices.Equal(s.DNS, []netip.Addr{a("192.0.2.53")}) || s.Provision != "http://10.60.0.1:8080/provision/" {
		t.Errorf("with the provider's name server, and settings over HTTP alone: %+v", s)
	}
	if f.ports.Plain = 0; f.provisionURL("sv-a", a("10.60.0.1")) != "" {
		t.Error("phones are told of a port that the box does not serve")
	}
}

// What runs is what the document wants and the links can.
func TestServicesFollowTheDocumentAndTheLinks(t *testing.T) {
	t.Parallel()
	netlab.Need(t, "udhcpc", "udhcpc")
	phone := netlab.New(t).Cable(t, "phone", "sv-a")
	monitor := netmon.New(slog.New(slog.DiscardHandler))
	s := New(Config{
		Dir: t.TempDir(), Version: "1.2", Monitor: monitor, Provision: "/provision/", Log: slog.New(slog.DiscardHandler),
		Ports: func(context.Context) Ports { return Ports{Page: 443, SIP: 5060, Phones: 8443} },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- monitor.Run(ctx) }()
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if len(s.units) != 0 {
			t.Error("services are left")
		}
	}()
	await := func(want string) {
		t.Helper()
		var got []string
		for end := time.Now().Add(netlab.Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			got = nil
			for _, v := range s.Status().Services {
				got = append(got, strings.TrimSpace(v.Name+" "+v.Fault))
			}
			if strings.Join(got, ", ") == want {
				return
			}
		}
		t.Fatalf("services are %q, not %q", strings.Join(got, ", "), want)
	}
	s.Apply(document(t))
	noAddress := "dhcp sv-a has not got its address yet, dhcp sv-b has not got its address yet, "
	await("clock, " + noAddress + "lldp, mdns, ra")
	for _, l := range []string{"addr add 10.60.0.1/24 dev sv-a", "addr add 2001:db8:60::1/64 dev sv-a nodad"} {
		if out, err := exec.Command("ip", strings.Fields(l)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %s %v", l, out, err)
		}
	}
	await("clock, dhcp, dhcp sv-b has not got its address yet, dns, lldp, mdns, ntp, ra")

	script := filepath.Join(phone.Dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ncase \"$1\" in bound) ip addr replace \"$ip/$mask\" dev \"$interface\"; echo got \"$ip\" \"$dns\" \"$opt160\";; esac\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := phone.Run(t, phone.Command("udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "10", "-T", "1", "-s", script, "-V", "yealink", "-x", "hostname:desk-7"))
	m, err := p.Await(0, regexp.MustCompile(`^got (10\.60\.0\.1\d\d) 10\.60\.0\.1 (\w+)$`), netlab.Patience)
	if err != nil {
		t.Fatal(err)
	}
	if leases := s.Leases().Leases; len(leases) != 1 || leases[0].Address.String() != m[1] || leases[0].Vendor != "Yealink" || leases[0].Static {
		t.Errorf("leases %+v", leases)
	}
	ask := func(name string) string {
		t.Helper()
		c, err := phone.Dial("udp", "10.60.0.1:53")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r, _, err := (&dns.Client{Timeout: 5 * time.Second}).ExchangeWithConn(new(dns.Msg).SetQuestion(name, dns.TypeA), &dns.Conn{Conn: c})
		if err != nil || len(r.Answer) != 1 {
			t.Fatalf("%s: %v, %v", name, r, err)
		}
		return r.Answer[0].(*dns.A).A.String()
	}
	if a := ask("desk-7.office.example."); a != m[1] {
		t.Errorf("desk-7 is %s, not %s", a, m[1])
	}
	if a := ask("pbx.office.example."); a != "10.60.0.1" {
		t.Errorf("pbx is %s", a)
	}

	if l := s.Leases(); len(l.Pools) != 2 || l.Pools[0] != (ctl.LeasePool{Zone: "voice", Link: "sv-a", Used: 1, Size: 11}) || len(s.Alarms()) != 0 {
		t.Errorf("%+v, alarms %+v", l.Pools, s.Alarms())
	}
	doc := document(t)
	doc.DHCP[0].Ranges = doc.DHCP[0].Ranges[:1]
	doc.DHCP[0].Ranges[0].First, doc.DHCP[0].Ranges[0].Last = netip.MustParseAddr(m[1]), netip.MustParseAddr(m[1])
	s.Apply(doc)
	for end := time.Now().Add(netlab.Patience); ; time.Sleep(20 * time.Millisecond) {
		if a := s.Alarms(); len(a) == 1 && a[0].Code == "net.dhcp.full.voice" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a full range is no alarm: %+v", s.Alarms())
		}
	}

	doc = document(t)
	doc.DHCP, doc.Advertise, doc.MDNS.Disabled, doc.NTP.Serve = nil, nil, true, false
	before := s.Status().Services
	s.Apply(doc)
	await("clock, dns, lldp")
	since := func(list []ctl.NetService, name string) time.Time {
		return list[slices.IndexFunc(list, func(v ctl.NetService) bool { return v.Name == name })].Since
	}
	if after := s.Status().Services; since(before, "lldp") != since(after, "lldp") {
		t.Error("what did not change was started again")
	}
	if d := s.Diagnosis(); len(d.Servers) != 1 || len(d.Sources) != 1 || d.Clock == nil {
		t.Errorf("%+v", d)
	}
}

func TestPortsOfOthers(t *testing.T) {
	t.Parallel()
	at := netip.MustParseAddrPort
	if sipPort([]ctl.Listener{{Transport: "tcp", Address: at("0.0.0.0:1")}, {Transport: "udp", Address: at("127.0.0.1:2")}, {Transport: "udp", Address: at("[::]:3")}}) != 3 {
		t.Error("SIP")
	}
	for page, want := range map[string]uint16{"https://box:8443": 8443, "https://box": 443, "https://[2001:db8::1]:444": 444, "": 443, "https://box:99999": 443} {
		if got := pagePort(page, 443); got != want {
			t.Errorf("%s: %d", page, got)
		}
	}
	dir := t.TempDir()
	away := AskPorts(ctl.NewSwitch(filepath.Join(dir, "a")), ctl.NewAdmin(filepath.Join(dir, "b")))
	if p := away(t.Context()); p != (Ports{Page: 443, SIP: 5060, Phones: 8443}) {
		t.Errorf("others are away: %+v", p)
	}
}
