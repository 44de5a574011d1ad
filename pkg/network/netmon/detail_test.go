package netmon

import (
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestDetailIsWhatTheKernelHas(t *testing.T) {
	watch(t) // skips where there is no own namespace
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wd-a", TxQLen: 1000}, PeerName: "wd-b"}
	do(t, netlink.LinkAdd(veth))
	t.Cleanup(func() { do(t, netlink.LinkDel(veth)) })
	peer, err := netlink.LinkByName("wd-b")
	do(t, err, netlink.LinkSetUp(veth), netlink.LinkSetUp(peer), netlink.AddrAdd(veth, addr(t, "192.0.2.1/24")))
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	do(t, netlink.NeighAdd(&netlink.Neigh{LinkIndex: veth.Attrs().Index, IP: net.IPv4(192, 0, 2, 9), HardwareAddr: mac, State: netlink.NUD_PERMANENT}))
	do(t, netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(192, 0, 2, 9), Priority: 77, Protocol: 4}))
	for _, args := range []string{
		"qdisc add dev wd-a root handle 1: htb default 10", "class add dev wd-a parent 1: classid 1:10 htb rate 1gbit", "qdisc add dev wd-a parent 1:10 handle 10: pfifo",
	} {
		if out, err := exec.Command("tc", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("tc %s: %s %v", args, out, err)
		}
	}
	c, err := net.Dial("udp", "192.0.2.9:9")
	do(t, err)
	for range 5 {
		_, err := c.Write(make([]byte, 1000))
		do(t, err)
	}
	do(t, c.Close())

	d, err := Detail()
	do(t, err)
	at := slices.IndexFunc(d.Links, func(l ctl.LinkDetail) bool { return l.Name == "wd-a" })
	if l := d.Links[at]; l.Sent.Packets < 5 || l.Sent.Bytes < 5000 || l.SpeedMbit != 10000 || l.Duplex != "full" || len(l.Addresses) == 0 {
		t.Errorf("link %+v", l)
	}
	if !slices.Contains(d.Neighbours, ctl.Neighbour{Link: "wd-a", Address: netip.MustParseAddr("192.0.2.9"), MAC: mac.String(), State: "permanent"}) {
		t.Errorf("neighbours %+v", d.Neighbours)
	}
	want := ctl.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.9"), Link: "wd-a", Metric: 77, Table: 254, Made: "static"}
	if !slices.Contains(d.Routes, want) {
		t.Errorf("routes %+v", d.Routes)
	}
	kinds := map[string]ctl.Queue{}
	for _, q := range d.Queues {
		if q.Link == "wd-a" {
			kinds[q.Kind] = q
		}
	}
	if kinds["htb"].Packets < 5 || kinds["pfifo"].Parent != "1:10" || kinds["htb class"].Handle != "1:10" || kinds["htb class"].Bytes < 5000 {
		t.Errorf("queues %+v", d.Queues)
	}
}
