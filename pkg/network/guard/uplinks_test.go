package guard

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// twoUplinks has the second uplink where the office was.
const twoUplinks = `{
  "interfaces": [
    {"link": "wan0", "zone": "internet", "addresses": ["198.18.1.1/24"]},
    {"link": "lan1", "zone": "internet", "addresses": ["198.18.3.1/24"]},
    {"link": "lan0.100", "zone": "phones", "addresses": ["198.18.2.1/24"]}
  ],
  "zones": [
    {"name": "internet", "kind": "uplink", "services": ["sip", "page"]},
    {"name": "phones", "kind": "voice", "reaches": ["internet"]}
  ],
  "uplinks": [{"name": "first", "link": "wan0"}, {"name": "second", "link": "lan1"}],
  "nat": {
    "masquerade": [{"zone": "internet"}],
    "forwards": [{"name": "camera", "zone": "internet", "protocol": "tcp", "ports": "8080", "to": "198.18.2.2", "toPort": 80}]
  }
}`

// TestAnswersLeaveByTheUplinkThatAskedThem: the default route is the first uplink; who comes by the
// second, from far away, is answered by the second: the box itself and a host behind it.
func TestAnswersLeaveByTheUplinkThatAskedThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	second, far := s.admin, netip.MustParseAddr("203.0.113.5")
	serve(t, s.phone, "198.18.2.2:80")
	serve(t, s.box, "198.18.3.1:443")
	s.route(t, second, far)
	var doc netcfg.Document
	if err := json.Unmarshal([]byte(twoUplinks), &doc); err != nil {
		t.Fatal(err)
	}
	if err := s.guard.Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"198.18.3.1:443", "198.18.3.1:8080"} {
		if !answersFrom(t, second, far, to) {
			t.Errorf("%s does not answer by the second uplink", to)
		}
	}
	if len(doc.Uplinks) != 2 {
		t.Fatal("the document has lost an uplink")
	}
	doc.Uplinks = doc.Uplinks[:1]
	if err := s.guard.Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	if answersFrom(t, second, far, "198.18.3.1:443") {
		t.Error("without marks the answer finds its way too: this test shows nothing")
	}
}

// route gives a host an address that only the marks lead back to.
func (s *site) route(t *testing.T, second *netlab.Host, far netip.Addr) {
	t.Helper()
	err := second.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: far.AsSlice(), Mask: net.CIDRMask(32, 32)}})
	})
	if err == nil {
		err = s.box.Do(func() error {
			const table = 102
			mask := netcfg.MarkUplinkMask
			rule := netlink.NewRule()
			rule.Mark, rule.Mask, rule.Table, rule.Family = netcfg.UplinkMark(1), &mask, table, netlink.FAMILY_V4
			link, err := netlink.LinkByName("lan1")
			if err != nil {
				return err
			}
			anywhere := &net.IPNet{IP: net.IP{0, 0, 0, 0}, Mask: net.CIDRMask(0, 32)}
			return errors.Join(netlink.RuleAdd(rule),
				netlink.RouteAdd(&netlink.Route{Dst: anywhere, Gw: s.outside.V4.AsSlice()}),
				netlink.RouteAdd(&netlink.Route{Dst: anywhere, Gw: second.V4.AsSlice(), LinkIndex: link.Attrs().Index, Table: table}),
				netlink.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: net.IP{198, 18, 2, 0}, Mask: net.CIDRMask(24, 32)}, Gw: nil, Table: table, LinkIndex: linkIndex("lan0.100")}))
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func linkIndex(name string) int {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0
	}
	return link.Attrs().Index
}

func answersFrom(t *testing.T, h *netlab.Host, from netip.Addr, to string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), moment)
	defer cancel()
	var c net.Conn
	err := h.Do(func() (err error) {
		c, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}).DialContext(ctx, "tcp4", to)
		return err
	})
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
