package guard

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// outsideAddresses gives the box further addresses outside.
func (s *site) outsideAddresses(t *testing.T, all ...string) {
	t.Helper()
	err := s.box.Do(func() error {
		link, err := netlink.LinkByName("wan0")
		for _, a := range all {
			if err == nil {
				err = netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(a).To4(), Mask: net.CIDRMask(24, 32)}})
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func addr(text string) netcfg.Addr { return netcfg.Addr{Addr: netip.MustParseAddr(text)} }

func prefixes(texts ...string) (all []netcfg.Prefix) {
	for _, text := range texts {
		all = append(all, netcfg.Prefix{Prefix: netip.MustParsePrefix(text)})
	}
	return all
}

func TestAddressesThatStandForOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.outsideAddresses(t, "198.18.1.9", "198.18.1.10")
	serve(t, s.outside, "198.18.1.2:80")
	serve(t, s.phone, "198.18.2.2:80", "198.18.2.2:81")
	doc := s.document(t)
	doc.NAT.OneToOne = []netcfg.OneToOne{{Name: "phone", Zone: "internet", Outside: addr("198.18.1.9"), Inside: addr("198.18.2.2"), Hairpin: true}}
	doc.NAT.Source = []netcfg.SourceNAT{{Zone: "internet", Sources: prefixes("198.18.3.0/24"), To: addr("198.18.1.10")}}
	doc.Firewall.Rules = []netcfg.Rule{{Name: "web", From: "internet", To: "phones", Destinations: prefixes("198.18.2.2/32"), Protocol: netcfg.TCP, Ports: []netcfg.PortRange{{First: 80, Last: 80}}}}
	doc.NAT.Forwards[0].Sources = prefixes("198.18.1.77/32")
	if err := s.guard.Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	if from := reaches(t, s.phone, "198.18.1.2:80"); from.String() != "198.18.1.9" {
		t.Errorf("the outside sees %s of the phone", from)
	}
	if from := reaches(t, s.admin, "198.18.1.2:80"); from.String() != "198.18.1.10" {
		t.Errorf("the outside sees %s of the office", from)
	}
	reaches(t, s.outside, "198.18.1.9:80")
	reachesNot(t, s.outside, "198.18.1.9:81") // no rule lets it in
	if from := reaches(t, s.phone, "198.18.1.9:80"); from != s.phone.Box4 {
		t.Errorf("at the hairpin the phone sees %s", from)
	}
	reachesNot(t, s.outside, "198.18.1.1:8080") // the forward is for somebody else
}

func TestRulesOfTheDocumentDecideInTheirOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	serve(t, s.outside, "198.18.1.2:80", "198.18.1.2:81", "198.18.1.2:82")
	serve(t, s.box, "198.18.2.1:7000", "198.18.3.1:443")
	doc := s.document(t)
	web := []netcfg.PortRange{{First: 80, Last: 80}, {First: 82, Last: 90}}
	doc.Firewall.Rules = []netcfg.Rule{
		{Name: "one host", From: "phones", To: "internet", Destinations: prefixes("198.18.1.2/32"), Protocol: netcfg.TCP, Ports: web},
		{Name: "no more", Action: netcfg.Drop, From: "phones", To: "internet", Log: true},
		{Name: "own service", From: "phones", To: netcfg.Box, Protocol: netcfg.TCP, Ports: []netcfg.PortRange{{First: 7000, Last: 7000}}},
		{Name: "page is closed", Action: netcfg.Reject, From: "office", Protocol: netcfg.TCP},
	}
	if err := s.guard.Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	reaches(t, s.phone, "198.18.1.2:80")
	reaches(t, s.phone, "198.18.1.2:82")
	reachesNot(t, s.phone, "198.18.1.2:81")
	reaches(t, s.phone, "198.18.2.1:7000")
	if _, err := s.admin.Dial("tcp4", "198.18.3.1:443"); err == nil || !strings.Contains(err.Error(), "refused") && !strings.Contains(err.Error(), "no route") && !strings.Contains(err.Error(), "prohibited") {
		t.Errorf("who is refused is told %v", err)
	}
	if s.count(t, "through.rule.no_more") == 0 {
		t.Error("the rule has not counted")
	}
}

// TestClassesOfAShapedUplink: what can be trusted to be voice has its class when it reaches the queue.
func TestClassesOfAShapedUplink(t *testing.T) {
	t.Parallel()
	netlab.Need(t, "nft", "nftables")
	s := newSite(t)
	doc := s.document(t)
	doc.Uplinks = []netcfg.Uplink{{Name: "fibre", Link: "wan0", Shaping: &netcfg.Shaping{UpKbit: 1000}}}
	doc.QoS.Bulk = prefixes("198.18.3.0/24")
	if err := s.guard.Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	s.box.Output(t, "nft", "add table inet probe; add chain inet probe seen { type filter hook postrouting priority 200 ; };"+
		"add rule inet probe seen oifname wan0 meta mark and 0xff == 1 counter; add rule inet probe seen oifname wan0 meta mark and 0xff == 5 counter")
	for range 3 {
		s.seenOutside(t, s.phone, 46)
		s.seenOutside(t, s.admin, 46)
		s.seenOutside(t, s.phone, 0)
	}
	got := s.box.Output(t, "nft", "list", "table", "inet", "probe")
	for _, want := range []string{`0x00000001 counter packets 3 `, `0x00000005 counter packets 3 `} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
