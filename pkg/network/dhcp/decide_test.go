package dhcp

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var start = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

func voice() *Subnet {
	a := netip.MustParseAddr
	return &Subnet{
		Zone: "voice", Iface: "v0", Server: a("10.20.0.1"), Prefix: netip.MustParsePrefix("10.20.0.0/24"),
		Ranges:   []Range{{a("10.20.0.100"), a("10.20.0.102")}, {a("10.20.0.110"), a("10.20.0.110")}},
		Reserved: []Reservation{{MAC: "02:00:00:00:00:99", Addr: a("10.20.0.101"), Name: "Lobby"}},
		Lease:    time.Hour, Routers: []netip.Addr{a("10.20.0.1")}, DNS: []netip.Addr{a("10.20.0.1")}, NTP: []netip.Addr{a("10.20.0.1")},
		Domain: "pbx.example", Provision: "http://10.20.0.1/p/", TFTP: []netip.Addr{a("10.20.0.1")}, VoiceVLAN: 20, VoicePriority: 5,
	}
}

func table(t testing.TB) *Table {
	t.Helper()
	tab, err := OpenTable(filepath.Join(t.TempDir(), "leases"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tab.Close() })
	return tab
}

func mac(n int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, byte(n)} }

func message(t testing.TB, n int, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac(n)), dhcpv4.WithMessageType(kind)}, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func requesting(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(a).To4()))
}

func ours() dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{10, 20, 0, 1}))
}

// lease lets host n take an address, as if it had answered an offer.
func lease(t testing.TB, s *Subnet, tab *Table, n int, now time.Time) (netip.Addr, bool) {
	t.Helper()
	offer, ok := s.decide(tab, message(t, n, dhcpv4.MessageTypeDiscover), now)
	if !ok {
		return netip.Addr{}, false
	}
	a := toAddr(offer.reply.YourIPAddr)
	ack, ok := s.decide(tab, message(t, n, dhcpv4.MessageTypeRequest, requesting(a.String()), ours()), now)
	if !ok || ack.reply.MessageType() != dhcpv4.MessageTypeAck || ack.keep == nil {
		t.Fatalf("host %d asked for the %s offered to it: %+v, %v", n, a, ack, ok)
	}
	kept := make(chan error, 1)
	tab.put(*ack.keep, func(err error) { kept <- err })
	if err := <-kept; err != nil {
		t.Fatal(err)
	}
	return a, true
}

func TestAllAddressesAreGivenOnceThenNoneIsLeft(t *testing.T) {
	t.Parallel()
	s, tab := voice(), table(t)
	got := map[netip.Addr]int{}
	for n := 1; n <= 3; n++ {
		a, ok := lease(t, s, tab, n, start)
		if !ok || got[a] != 0 || !s.inRange(a) || a == s.Reserved[0].Addr {
			t.Fatalf("host %d got %v, %v; before %v", n, a, ok, got)
		}
		got[a] = n
	}
	if u := (Config{Subnets: []Subnet{*s}}).Usage(tab, start); len(u) != 1 || u[0] != (Usage{"voice", "v0", 3, 4}) { // one of four is reserved
		t.Errorf("usage %+v", u)
	}
	if a, ok := lease(t, s, tab, 4, start); ok {
		t.Errorf("a fourth host got %s of three addresses", a)
	}
	if a, ok := lease(t, s, tab, 1, start); !ok || got[a] != 1 {
		t.Errorf("who has an address is not offered it when all are given: %v, %v", a, ok)
	}
	if a, ok := lease(t, s, tab, 0x99, start); !ok || a != s.Reserved[0].Addr {
		t.Errorf("the reserved address is %v, %v", a, ok)
	}
	if a, ok := lease(t, s, tab, 4, start.Add(2*time.Hour)); !ok || got[a] == 0 {
		t.Errorf("an expired address is not given again: %v, %v", a, ok)
	}
}

func TestAHostGetsTheSameAddressAgain(t *testing.T) {
	t.Parallel()
	s, tab := voice(), table(t)
	first, _ := lease(t, s, tab, 1, start)
	if again, _ := lease(t, s, tab, 1, start.Add(48*time.Hour)); again != first {
		t.Errorf("%s, then %s", first, again)
	}
}

func TestOffersTakeNoMemory(t *testing.T) {
	t.Parallel()
	s, tab := voice(), table(t)
	for n := range 250 {
		s.decide(tab, message(t, n, dhcpv4.MessageTypeDiscover), start)
	}
	if len(tab.byAddr)+len(tab.byClient)+len(tab.taken) != 0 {
		t.Error("an offer is remembered")
	}
	if _, ok := lease(t, s, tab, 1, start); !ok {
		t.Error("strangers that only asked took all addresses")
	}
}

// The table of RFC 2131 §4.3.2, after host 1 has 10.20.0.x.
func TestRequestsByState(t *testing.T) {
	t.Parallel()
	s, tab := voice(), table(t)
	a, _ := lease(t, s, tab, 1, start)
	has := dhcpv4.WithClientIP(a.AsSlice())
	for name, c := range map[string]struct {
		m    *dhcpv4.DHCPv4
		want dhcpv4.MessageType // None for silence
	}{
		"another server chosen":        {message(t, 1, dhcpv4.MessageTypeRequest, requesting(a.String()), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{10, 20, 0, 9}))), 0},
		"renewing":                     {message(t, 1, dhcpv4.MessageTypeRequest, has), dhcpv4.MessageTypeAck},
		"back after a restart":         {message(t, 1, dhcpv4.MessageTypeRequest, requesting(a.String())), dhcpv4.MessageTypeAck},
		"back on the wrong network":    {message(t, 1, dhcpv4.MessageTypeRequest, requesting("192.168.7.7")), dhcpv4.MessageTypeNak},
		"back, but not known":          {message(t, 7, dhcpv4.MessageTypeRequest, requesting("10.20.0.110")), 0},
		"wants what another has":       {message(t, 2, dhcpv4.MessageTypeRequest, requesting(a.String()), ours()), dhcpv4.MessageTypeNak},
		"wants what is reserved":       {message(t, 2, dhcpv4.MessageTypeRequest, requesting("10.20.0.101"), ours()), dhcpv4.MessageTypeNak},
		"wants the box's own":          {message(t, 2, dhcpv4.MessageTypeRequest, requesting("10.20.0.1"), ours()), dhcpv4.MessageTypeNak},
		"wants nothing":                {message(t, 2, dhcpv4.MessageTypeRequest, ours()), dhcpv4.MessageTypeNak},
		"informs":                      {message(t, 2, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(net.IP{10, 20, 0, 50})), dhcpv4.MessageTypeAck},
		"informs from elsewhere":       {message(t, 2, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(net.IP{8, 8, 8, 8})), 0},
		"an answer, not a question":    {message(t, 2, dhcpv4.MessageTypeOffer), 0},
		"declines what is not its own": {message(t, 2, dhcpv4.MessageTypeDecline, requesting(a.String()), ours()), 0},
	} {
		ans, ok := s.decide(tab, c.m, start.Add(time.Minute))
		got := dhcpv4.MessageType(0)
		if ok {
			got = ans.reply.MessageType()
		}
		if got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestReleaseAndDecline(t *testing.T) {
	t.Parallel()
	s, tab := voice(), table(t)
	a, _ := lease(t, s, tab, 1, start)
	ans, ok := s.decide(tab, message(t, 1, dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(a.AsSlice()), ours()), start.Add(time.Minute))
	if !ok || ans.reply != nil || ans.keep == nil || ans.keep.Expires.After(start.Add(time.Minute)) {
		t.Errorf("a release is %+v, %v", ans, ok)
	}
	ans, ok = s.decide(tab, message(t, 1, dhcpv4.MessageTypeDecline, requesting(a.String()), ours()), start.Add(time.Minute))
	if !ok || ans.taken != a {
		t.Fatalf("a decline is %+v, %v", ans, ok)
	}
	tab.markTaken(a, start.Add(time.Hour))
	if other, ok := lease(t, s, tab, 1, start.Add(2*time.Minute)); !ok || other == a {
		t.Errorf("after a decline of %s: %v, %v", a, other, ok)
	}
	if c := tab.Conflicts(start); len(c) != 1 || c[0] != a {
		t.Errorf("conflicts %v", c)
	}
}

func TestOptionsByVendor(t *testing.T) {
	t.Parallel()
	s, tab := voice(), table(t)
	s.Extra = []Option{{Code: 67, Value: []byte("boot.cfg")}, {Code: 67, Value: []byte("poly.cfg"), Class: "polycom"}}
	text := func(m *dhcpv4.DHCPv4, code uint8) string {
		return string(m.GetOneOption(dhcpv4.GenericOptionCode(code)))
	}
	class := func(c string) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptClassIdentifier(c)) }
	for name, c := range map[string]struct {
		mods []dhcpv4.Modifier
		want map[uint8]string
	}{
		"Yealink": {[]dhcpv4.Modifier{class("yealink")}, map[uint8]string{66: s.Provision, 132: "20", 133: "5", 150: "\x0a\x14\x00\x01", 67: "boot.cfg", 15: "pbx.example"}},
		"Polycom": {[]dhcpv4.Modifier{class("Polycom-VVX450")}, map[uint8]string{67: "poly.cfg", 160: s.Provision, 128: "VLAN-A=20;", 132: ""}},
		"Cisco":   {[]dhcpv4.Modifier{class("Cisco Systems, Inc. IP Phone CP-8841")}, map[uint8]string{150: "\x0a\x14\x00\x01", 132: "\x00\x00\x00\x14"}},
		"Avaya":   {[]dhcpv4.Modifier{class("ccp.avaya.com")}, map[uint8]string{242: "L2Q=1,L2QVLAN=20,HTTPSRVR=10.20.0.1", 132: ""}},
		"laptop":  {nil, map[uint8]string{66: "", 132: "", 150: "", 42: "\x0a\x14\x00\x01", 6: "\x0a\x14\x00\x01", 3: "\x0a\x14\x00\x01", 1: "\xff\xff\xff\x00", 54: "\x0a\x14\x00\x01"}},
		"asks":    {[]dhcpv4.Modifier{dhcpv4.WithRequestedOptions(dhcpv4.OptionTFTPServerName)}, map[uint8]string{66: s.Provision, 160: ""}},
	} {
		ans, ok := s.decide(tab, message(t, 1, dhcpv4.MessageTypeDiscover, c.mods...), start)
		if !ok {
			t.Fatalf("%s: no offer", name)
		}
		for code, want := range c.want {
			if got := text(ans.reply, code); got != want {
				t.Errorf("%s: option %d is %q, want %q", name, code, got, want)
			}
		}
	}
}

func TestRelaysAreAnsweredOnlyIfNamed(t *testing.T) {
	t.Parallel()
	s, behind := voice(), voice()
	relay := netip.MustParseAddr("10.30.0.254")
	behind.Zone, behind.Relay, behind.Prefix = "behind", relay, netip.MustParsePrefix("10.30.0.0/24")
	behind.Ranges = []Range{{netip.MustParseAddr("10.30.0.1"), netip.MustParseAddr("10.30.0.9")}}
	l := &link{Server: New(Config{Subnets: []Subnet{*s, *behind}}, nil, nil), sub: s}
	for name, c := range map[string]struct {
		relay, from string
		zone        string
	}{
		"by itself":             {"10.30.0.254", "10.30.0.254", "behind"},
		"by another of its own": {"10.30.0.254", "10.20.0.254", "behind"},
		"not named":             {"10.30.0.253", "10.30.0.253", ""},
		"from anywhere":         {"10.30.0.254", "203.0.113.9", ""},
		"without an agent":      {"0.0.0.0", "0.0.0.0", "voice"},
	} {
		got := l.subnetOf(message(t, 1, dhcpv4.MessageTypeDiscover, dhcpv4.WithGatewayIP(net.ParseIP(c.relay).To4())), netip.MustParseAddr(c.from))
		if (got == nil) != (c.zone == "") || (got != nil && got.Zone != c.zone) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	s = behind
	ans, ok := s.decide(table(t), message(t, 1, dhcpv4.MessageTypeDiscover, dhcpv4.WithGatewayIP(relay.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionRelayAgentInformation, []byte{1, 2, 'e', '1'}))), start)
	if !ok || ans.to != netip.AddrPortFrom(relay, 67) || string(ans.reply.GetOneOption(dhcpv4.OptionRelayAgentInformation)) != "\x01\x02e1" {
		t.Errorf("through a relay: %+v, %v", ans, ok)
	}
}

func TestLeasesSurviveARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases")
	tab, err := OpenTable(path)
	if err != nil {
		t.Fatal(err)
	}
	s := voice()
	a, _ := lease(t, s, tab, 1, start)
	for range 2500 { // renewals make history, which is cut away
		lease(t, s, tab, 1, start)
		if len(tab.byAddr) != 1 {
			t.Fatal("a renewal is a second lease")
		}
	}
	if err := tab.compact(start); err != nil {
		t.Fatal(err)
	}
	if _, frames := tab.log.Size(); frames != 1 {
		t.Errorf("%d frames for one lease", frames)
	}
	if err := tab.Close(); err != nil {
		t.Fatal(err)
	}
	if tab, err = OpenTable(path); err != nil {
		t.Fatal(err)
	}
	defer tab.Close()
	all := tab.Leases(start)
	if len(all) != 1 || all[0].Addr != a || all[0].MAC != "02:00:00:00:00:01" {
		t.Errorf("after a restart: %+v", all)
	}
	if len(tab.Leases(start.Add(2*time.Hour))) != 0 {
		t.Error("an expired lease is listed")
	}
}

func TestNamesAreLabels(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Desk Phone_7": "desk-phone-7", "x.example.com": "x", "-a-": "a", "<script>": "script", "": "", "ü": "",
		strings.Repeat("a", 80): strings.Repeat("a", 63),
	} {
		if got := label(in); got != want {
			t.Errorf("label(%q) is %q, want %q", in, got, want)
		}
	}
}

func FuzzDecide(f *testing.F) {
	seed, _ := dhcpv4.NewDiscovery(mac(1))
	f.Add(seed.ToBytes())
	request, _ := dhcpv4.New(dhcpv4.WithHwAddr(mac(2)), dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), requesting("10.20.0.100"), ours())
	f.Add(request.ToBytes())
	f.Add([]byte{1, 1, 6})
	s := voice()
	tab := table(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		ans, ok := s.decide(tab, m, start)
		if !ok || ans.reply == nil {
			return
		}
		if _, err := dhcpv4.FromBytes(ans.reply.ToBytes()); err != nil {
			t.Errorf("our answer cannot be read: %v", err)
		}
		if y := toAddr(ans.reply.YourIPAddr); y.IsValid() && !s.Prefix.Contains(y) {
			t.Errorf("an address of somebody else: %s", y)
		}
	})
}

func FuzzARP(f *testing.F) {
	f.Add(arpRequest(mac(1), netip.MustParseAddr("10.0.0.1")))
	f.Fuzz(func(_ *testing.T, b []byte) { arpSender(b) })
}

func BenchmarkDecide(b *testing.B) {
	s, tab := voice(), table(b)
	m := message(b, 1, dhcpv4.MessageTypeDiscover)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.decide(tab, m, start); !ok {
			b.Fatal("no offer")
		}
	}
}

func ExampleRange() {
	r := Range{netip.MustParseAddr("10.0.0.250"), netip.MustParseAddr("10.0.1.4")}
	fmt.Println(r.size(), r.at(10))
	// Output: 11 10.0.1.4
}

// A host for which there is no address left in a large range is the dearest one.
func BenchmarkDecideWithAFullRange(b *testing.B) {
	s, tab := voice(), table(b)
	s.Prefix, s.Ranges = netip.MustParsePrefix("10.20.0.0/16"), []Range{{netip.MustParseAddr("10.20.16.0"), netip.MustParseAddr("10.20.255.254")}}
	for i := range s.Ranges[0].size() {
		a := s.Ranges[0].at(i)
		tab.setLocked(Lease{Zone: s.Zone, Addr: a, Client: a.String(), Begun: start, Expires: start.Add(1000 * time.Hour)})
	}
	m := message(b, 1, dhcpv4.MessageTypeDiscover)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ { // at a hundred questions a second
		if _, ok := s.decide(tab, m, start.Add(time.Duration(i)*10*time.Millisecond)); ok {
			b.Fatal("an offer of nothing")
		}
	}
}
