package netapply

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
	"github.com/coraltele/sanchar/pkg/testkit/otherkernel"
)

func TestPortsAndAddresses(t *testing.T) {
	b := newBox(t, 2)
	b.setText(`{"ports":[{"name":"p0","mtu":1400},{"name":"p1"}],"zones":[{"name":"A"}],
		"interfaces":[{"link":"p0","zone":"A","addresses":["192.0.2.1/24","192.0.2.2/24","2001:db8::1/64"]}]}`)
	b.wantLink("p0", map[string]string{"mtu": "1400", "ifalias": "sanchar:port", "operstate": "UP"})
	b.wantAddrs("p0", "192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64")
	b.wantSetting("ipv4/ip_forward", "1")
	b.wantSetting("ipv6/conf/p0/accept_ra", "0")
	b.wantSetting("ipv6/conf/p1/disable_ipv6", "1")

	// The first address goes, and the second of its network stays; one moves to the other port.
	b.setText(`{"ports":[{"name":"p0"},{"name":"p1"}],"zones":[{"name":"A"}],
		"interfaces":[{"link":"p0","zone":"A","addresses":["192.0.2.2/24"]},{"link":"p1","zone":"A","addresses":["2001:db8::1/64"]}]}`)
	b.wantLink("p0", map[string]string{"mtu": "1500"})
	b.wantAddrs("p0", "192.0.2.2/24")
	b.wantAddrs("p1", "2001:db8::1/64")

	b.setText(`{"ports":[{"name":"p0","disabled":true}]}`)
	b.wantLink("p0", map[string]string{"operstate": "DOWN"})
	b.wantLink("p1", map[string]string{"operstate": "DOWN", "ifalias": "<nil>"})
	b.wantAddrs("p0")
	b.wantAddrs("p1")
}

func TestBridges(t *testing.T) {
	b := newBox(t, 3)
	b.setText(`{"ports":[{"name":"p0"},{"name":"p1"},{"name":"p2"}],"bridges":[{"name":"br0","members":["p0","p1"],"stp":true}],"zones":[{"name":"A"}],
		"interfaces":[{"link":"br0","zone":"A","addresses":["10.1.0.1/24"]}]}`)
	b.wantLink("br0", map[string]string{"linkinfo.info_kind": "bridge", "linkinfo.info_data.stp_state": "1", "ifalias": "sanchar:bridge"})
	b.wantLink("p0", map[string]string{"master": "br0"})
	b.setText(`{"ports":[{"name":"p0","mtu":9000},{"name":"p1"},{"name":"p2","mtu":9000}],"bridges":[{"name":"br0","members":["p0","p2"],"mtu":9000}],"zones":[{"name":"A"}],
		"interfaces":[{"link":"br0","zone":"A","addresses":["10.1.0.1/24"]}]}`)
	b.wantLink("br0", map[string]string{"linkinfo.info_data.stp_state": "0", "mtu": "9000"})
	b.wantLink("p1", map[string]string{"master": "<nil>"})
	b.wantLink("p2", map[string]string{"master": "br0"})
	b.setText(`{"ports":[{"name":"p0"},{"name":"p1"},{"name":"p2"}]}`)
	b.wantNo("br0")
}

func TestVLANs(t *testing.T) {
	b := newBox(t, 2)
	port, err := netlink.LinkByName("p0")
	if err != nil {
		t.Fatal(err)
	}
	need(t, "VLANs", &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "probe", ParentIndex: port.Attrs().Index, TxQLen: -1}, VlanId: 4000, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	b.setText(`{"ports":[{"name":"p0"},{"name":"p1"}],"vlans":[{"parent":"p0","id":20},{"name":"guests","parent":"p0","id":40,"mtu":1400}],"zones":[{"name":"A"}],
		"interfaces":[{"link":"p0.20","zone":"A","addresses":["10.20.0.1/24"]},{"link":"guests","zone":"A","addresses":["10.40.0.1/24","2001:db8:40::1/64"]}]}`)
	b.wantLink("p0.20", map[string]string{"linkinfo.info_kind": "vlan", "linkinfo.info_data.id": "20", "link": "p0", "operstate": "UP"})
	b.wantLink("guests", map[string]string{"linkinfo.info_data.id": "40", "mtu": "1400"})
	b.wantAddrs("p0.20", "10.20.0.1/24")
	// Another parent and another number: made anew. A bridge takes one of them.
	b.setText(`{"ports":[{"name":"p0"},{"name":"p1"}],"vlans":[{"name":"guests","parent":"p1","id":41}],"bridges":[{"name":"br0","members":["guests"]}],
		"zones":[{"name":"A"}],"interfaces":[{"link":"br0","zone":"A","addresses":["10.40.0.1/24"]}]}`)
	b.wantNo("p0.20")
	b.wantLink("guests", map[string]string{"linkinfo.info_data.id": "41", "link": "p1", "master": "br0"})
	b.setText(`{"ports":[{"name":"p0"},{"name":"p1"}]}`)
	b.wantNo("guests")
	b.wantNo("br0")
}

func TestBonds(t *testing.T) {
	need(t, "bonds", netlink.NewLinkBond(netlink.LinkAttrs{Name: "probe", TxQLen: -1}))
	b := newBox(t, 3)
	b.setText(`{"ports":[{"name":"p0"},{"name":"p1"},{"name":"p2"}],"bonds":[{"name":"bond0","members":["p0","p1"]}],"vlans":[{"parent":"bond0","id":7}],
		"zones":[{"name":"A"}],"interfaces":[{"link":"bond0.7","zone":"A","addresses":["10.7.0.1/24"]}]}`)
	b.wantLink("bond0", map[string]string{"linkinfo.info_data.mode": "active-backup", "linkinfo.info_data.miimon": "100", "ifalias": "sanchar:bond"})
	b.wantLink("p1", map[string]string{"master": "bond0"})
	b.wantAddrs("bond0.7", "10.7.0.1/24")
	b.setText(`{"ports":[{"name":"p0","mtu":9000},{"name":"p1"},{"name":"p2","mtu":9000}],"bonds":[{"name":"bond0","members":["p0","p2"],"mode":"802.3ad","lacpFast":true,"monitorMillis":50,"mtu":9000}],
		"vlans":[{"parent":"bond0","id":7}],"zones":[{"name":"A"}],"interfaces":[{"link":"bond0.7","zone":"A","addresses":["10.7.0.1/24"]}]}`)
	b.wantLink("bond0", map[string]string{"linkinfo.info_data.mode": "802.3ad", "linkinfo.info_data.ad_lacp_rate": "fast", "mtu": "9000"})
	b.wantLink("p1", map[string]string{"master": "<nil>"})
	b.wantLink("p2", map[string]string{"master": "bond0", "mtu": "9000"})
	b.wantAddrs("bond0.7", "10.7.0.1/24")
	b.setText(`{"ports":[{"name":"p0"},{"name":"p1"},{"name":"p2"}]}`)
	b.wantNo("bond0")
	b.wantNo("bond0.7")
	b.wantLink("p0", map[string]string{"mtu": "1500"})
}

func TestRoutes(t *testing.T) {
	b := newBox(t, 1)
	b.setText(`{"ports":[{"name":"p0"}],"zones":[{"name":"A"}],"interfaces":[{"link":"p0","zone":"A","addresses":["10.0.0.1/24","2001:db8::1/64"]}],
		"routes":[{"to":"10.60.0.0/16","via":"10.0.0.254"},{"to":"10.61.0.0/16","link":"p0","metric":7,"source":"10.0.0.1"},{"to":"192.168.0.0/16","kind":"unreachable"},
		{"to":"172.16.0.0/12","kind":"blackhole"},{"to":"2001:db8:60::/48","via":"2001:db8::fe"},{"to":"2001:db8:61::/48","kind":"unreachable"}]}`)
	b.wantRoutes(false, "main", "10.60.0.0/16 10.0.0.254 p0 50", "10.61.0.0/16 p0 7 10.0.0.1", "192.168.0.0/16 unreachable 50", "172.16.0.0/12 blackhole 50")
	b.wantRoutes(true, "main", "2001:db8:60::/48 2001:db8::fe p0 50", "2001:db8:61::/48 unreachable 50")
	b.setText(`{"ports":[{"name":"p0"}],"zones":[{"name":"A"}],"interfaces":[{"link":"p0","zone":"A","addresses":["10.0.0.1/24"]}],
		"routes":[{"to":"10.60.0.0/16","via":"10.0.0.253"},{"to":"10.62.0.0/16","via":"10.0.0.254"}]}`)
	b.wantRoutes(false, "main", "10.60.0.0/16 10.0.0.253 p0 50", "10.62.0.0/16 10.0.0.254 p0 50")
	b.wantRoutes(true, "main")
	b.setText(`{"ports":[{"name":"p0"}]}`)
	b.wantRoutes(false, "main")
}

const twoUplinks = `{"ports":[{"name":"p0"},{"name":"p1"}],"zones":[{"name":"Out","kind":"uplink"}],
	"interfaces":[{"link":"p0","zone":"Out","addresses":["192.0.2.2/30","2001:db8:1::2/64"]},{"link":"p1","zone":"Out","dhcp4":{}}],
	"uplinks":[{"name":"One","link":"p0","gateway4":"192.0.2.1","gateway6":"2001:db8:1::1"},{"name":"Two","link":"p1"}]}`

func TestTwoUplinks(t *testing.T) {
	b := newBox(t, 2)
	b.facts.Leases = map[string]netplan.Lease{"p1": {Address: prefix("198.51.100.9/24"), Router: netip.MustParseAddr("198.51.100.1")}}
	doc := b.setText(twoUplinks)
	b.wantAddrs("p1", "198.51.100.9/24")
	b.wantRoutes(false, "main", "default 192.0.2.1 p0 100", "default 198.51.100.1 p1 110")
	b.wantRoutes(true, "main", "default 2001:db8:1::1 p0 100")
	b.wantRoutes(false, "5301", "default 198.51.100.1 p1 100")
	if got := leaves(t, "203.0.113.1", ""); got != "p0" {
		t.Errorf("packets leave by %s", got)
	}
	if got := leaves(t, "203.0.113.1", "198.51.100.9"); got != "p1" {
		t.Errorf("answers from the second uplink's address leave by %s", got)
	}
	b.facts.Failed = map[string]bool{"One": true}
	b.set(doc)
	b.wantRoutes(false, "main", "default 192.0.2.1 p0 1100", "default 198.51.100.1 p1 110")
	if got := leaves(t, "203.0.113.1", ""); got != "p1" {
		t.Errorf("after the failure packets leave by %s", got)
	}
	if got := leaves(t, "192.0.2.1", "198.51.100.9"); got != "p0" {
		t.Errorf("a neighbour is reached by %s", got)
	}
	b.facts = netplan.Facts{}
	b.set(netcfg.Document{})
	b.wantRoutes(false, "5301")
	for _, r := range ip(t, "rule") {
		if p, _ := r["priority"].(float64); p >= 5300 && p < 5400 {
			t.Errorf("a rule stayed: %v", r)
		}
	}
}

// leaves asks the kernel by which link it would send.
func leaves(t *testing.T, to, from string) string {
	t.Helper()
	args := []string{"route", "get", to}
	if from != "" {
		args = append(args, "from", from)
	}
	dev, _ := ip(t, args...)[0]["dev"].(string)
	return dev
}

// needTC skips a test of something of traffic control that this kernel has not.
func needTC(t *testing.T, what string, args ...string) {
	t.Helper()
	for _, cmd := range [][]string{{"qdisc", "replace", "dev", "lo", "root", "handle", "1:", "htb"}, args} {
		if out, err := exec.Command("tc", cmd...).CombinedOutput(); err != nil {
			t.Skipf("this kernel has no %s: %s", what, out)
		}
	}
	tc(t, "qdisc", "del", "dev", "lo", "root")
}

func TestShaping(t *testing.T) {
	needTC(t, "fw classifier", "filter", "add", "dev", "lo", "parent", "1:", "protocol", "all", "prio", "1", "handle", "1/0xff", "fw", "flowid", "1:1")
	needTC(t, "matchall classifier", "filter", "add", "dev", "lo", "parent", "1:", "protocol", "all", "prio", "1", "matchall", "flowid", "1:1")
	b := newBox(t, 1)
	head := `{"ports":[{"name":"p0"}],"zones":[{"name":"Out"}],"interfaces":[{"link":"p0","zone":"Out","addresses":["192.0.2.2/30"]}],
		"uplinks":[{"name":"One","link":"p0","gateway4":"192.0.2.1","shaping":`
	b.setText(head + `{"upKbit":2000,"downKbit":8000}}]}`)
	for _, link := range []string{"p0", "ifbup0"} {
		if got := tc(t, "class", "show", "dev", link); strings.Count(got, "class htb") != 6 {
			t.Errorf("classes of %s:\n%s", link, got)
		}
	}
	if got := tc(t, "class", "show", "dev", "p0", "classid", "5300:11"); !strings.Contains(got, "rate 800Kbit ceil 2Mbit") {
		t.Errorf("class of voice:\n%s", got)
	}
	if got := tc(t, "filter", "show", "dev", "p0", "ingress"); !strings.Contains(got, "ifbup0") {
		t.Errorf("what comes in is not queued:\n%s", got)
	}
	b.setText(head + `{"upKbit":3000,"voicePercent":50}}]}`)
	b.wantNo("ifbup0")
	if got := tc(t, "class", "show", "dev", "p0", "classid", "5300:11"); !strings.Contains(got, "rate 1500Kbit ceil 3Mbit") {
		t.Errorf("class of voice after the change:\n%s", got)
	}
	if got := tc(t, "qdisc", "show", "dev", "p0"); strings.Contains(got, "ingress") {
		t.Errorf("what comes in is still taken:\n%s", got)
	}
	b.setText(`{"ports":[{"name":"p0"}]}`)
	if got := tc(t, "qdisc", "show", "dev", "p0"); strings.Contains(got, "htb") {
		t.Errorf("still shaped:\n%s", got)
	}
}

func TestShapingByCAKE(t *testing.T) {
	needTC(t, "CAKE", "qdisc", "replace", "dev", "lo", "root", "cake")
	b := newBox(t, 1)
	b.setText(`{"ports":[{"name":"p0"}],"zones":[{"name":"Out"}],"interfaces":[{"link":"p0","zone":"Out","addresses":["192.0.2.2/30"]}],
		"uplinks":[{"name":"One","link":"p0","gateway4":"192.0.2.1","shaping":{"upKbit":2000,"shaper":"cake"}}]}`)
	if got := tc(t, "qdisc", "show", "dev", "p0"); !strings.Contains(got, "cake 5300:") || !strings.Contains(got, "2Mbit diffserv4") {
		t.Errorf("got %s", got)
	}
}

func tc(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("tc", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("tc %v: %v: %s", args, err, out)
	}
	return string(out)
}

// What the kernel of this machine may not have is tested under one that has it.
func TestUnderAnotherKernel(t *testing.T) {
	otherkernel.Run(t, "VLANs|Bonds|Bridges|Shaping|TwoUplinks|Foreign", "ipv6", "8021q", "bonding", "dummy", "ifb", "sch_cake", "sch_fq_codel", "sch_htb",
		"sch_ingress", "cls_u32", "cls_fw", "cls_matchall", "act_mirred", "veth", "bridge")
}

// What others made is left alone, and listed.
func TestForeignThingsStay(t *testing.T) {
	b := newBox(t, 2)
	doc := b.setText(`{"ports":[{"name":"p0"}],"zones":[{"name":"A"}],"interfaces":[{"link":"p0","zone":"A","addresses":["10.0.0.1/24"]}]}`)
	others := [][]string{
		{"link", "add", "theirs", "type", "bridge"},
		{"link", "set", "theirs", "up"},
		{"addr", "add", "10.9.0.1/24", "dev", "theirs"},
		{"addr", "add", "10.0.0.77/24", "dev", "p0"},
		{"route", "add", "10.88.0.0/16", "via", "10.0.0.9"},
		{"rule", "add", "from", "10.88.0.1", "table", "88", "priority", "1000"},
	}
	for _, args := range others {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %s", args, out)
		}
	}
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", "theirs").Run() // the namespace ends anyway
		_ = exec.Command("ip", "rule", "del", "priority", "1000").Run()
	})
	b.set(doc)
	p, err := b.apply.Plan(doc, b.facts)
	want := []string{
		"link p1 (veth)", "link q0 (veth)", "link q1 (veth)", "link theirs (bridge)", "address 10.9.0.1/24 on theirs", "address 10.0.0.77/24 on p0",
		"route to 10.88.0.0/16 by 10.0.0.9 on p0, metric 0", "rule 1000 to table 88",
	}
	slices.Sort(want)
	slices.Sort(p.Foreign)
	if err != nil || !slices.Equal(p.Foreign, want) {
		t.Errorf("foreign things (%v):\n%s\nwant\n%s", err, strings.Join(p.Foreign, "\n"), strings.Join(want, "\n"))
	}
	b.wantAddrs("p0", "10.0.0.1/24", "10.0.0.77/24")
	if p, err = b.apply.Plan(b.parse(`{"ports":[{"name":"theirs"}],"bridges":[{"name":"p1"}]}`), b.facts); err != nil || len(p.Blocked) != 2 {
		t.Errorf("names that are taken: %v, %v", p.Blocked, err)
	}
	b.setText(`{"bridges":[{"name":"theirs"}]}`) // the same as theirs: it is taken over
	b.wantLink("theirs", map[string]string{"ifalias": "sanchar:bridge"})
}

// A port that is not there makes nothing else fail; when it comes, it becomes what it is to be.
func TestAPortThatComesLater(t *testing.T) {
	b := newBox(t, 1)
	text := `{"ports":[{"name":"p0"},{"name":"late"}],"zones":[{"name":"A"}],
		"interfaces":[{"link":"p0","zone":"A","addresses":["10.0.0.1/24"]},{"link":"late","zone":"A","addresses":["10.5.0.1/24"]}]}`
	doc := b.setText(text)
	p, err := b.apply.Plan(doc, b.facts)
	if err != nil || len(p.Waiting) != 1 {
		t.Errorf("waiting %v, %v", p.Waiting, err)
	}
	late := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "late", TxQLen: -1}, PeerName: "late-peer"}
	if err := netlink.LinkAdd(late); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(late) }) // as in newBox
	b.set(doc)
	b.wantAddrs("late", "10.5.0.1/24")
}
