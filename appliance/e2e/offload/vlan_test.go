package offload

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// A call between a VLAN and another one goes through the kernel as well: the tags are off when the
// program sees a packet, and the kernel writes those of the way out.
func TestCallBetweenVLANs(t *testing.T) { bothWays(t, callBetweenVLANs) }

func callBetweenVLANs(t *testing.T, way string) {
	b, hosts := newBox(t, way, "alice", "bob")
	at := map[string]netip.Addr{"alice": netip.MustParseAddr("198.18.70.2"), "bob": netip.MustParseAddr("198.18.71.2")}
	near := map[string]netip.Addr{"alice": netip.MustParseAddr("198.18.70.1"), "bob": netip.MustParseAddr("198.18.71.1")}
	for i, name := range []string{"alice", "bob"} {
		addVLAN(t, hosts[name], "eth0", 70+i, at[name])
		addVLAN(t, b.Box, map[string]string{"alice": "to1", "bob": "to2"}[name], 70+i, near[name])
	}
	b.until("the program is attached to the VLANs too", func() bool {
		st, err := b.net.Status(t.Context())
		return err == nil && len(st.Offload.Links) == 4
	})
	call := b.connect(newPhone(t, hosts["alice"], at["alice"], 0xa11ce), near["alice"], newPhone(t, hosts["bob"], at["bob"], 0xb0b), near["bob"])
	before, _ := call.stats()
	call.rest(100)
	call.a.stop()
	call.b.stop()
	call.both(1, 1)
	if after, _ := call.counted(); after.Offloaded < before.Offloaded+90 || after.PacketsIn != uint64(call.a.last()) {
		t.Errorf("of %d packets %+v", call.a.last(), after)
	}
}

func addVLAN(t *testing.T, h *netlab.Host, parent string, id int, addr netip.Addr) {
	t.Helper()
	err := h.Do(func() error {
		wire, err := netlink.LinkByName(parent)
		if err != nil {
			return err
		}
		vlan := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "tagged", ParentIndex: wire.Attrs().Index}, VlanId: id}
		if parent != "eth0" { // on the box there are two
			vlan.Name = parent + "v"
		}
		if err := netlink.LinkAdd(vlan); err != nil {
			return err
		}
		return errors.Join(
			netlink.AddrAdd(vlan, &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(24, 32)}}), netlink.LinkSetUp(vlan))
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("no VLANs here: load the kernel's module 8021q")
	}
	if err != nil {
		t.Fatalf("VLAN %d of %s: %v", id, h, err)
	}
}
