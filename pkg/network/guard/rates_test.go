package guard

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/nft"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// burst sends n datagrams to a port of the box, from the sources in turn, and returns how many came in.
func (s *site) burst(t *testing.T, h *netlab.Host, to netip.AddrPort, n int, sources ...netip.Addr) (came int) {
	t.Helper()
	in, err := s.box.ListenUDP(to)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	conns := make([]*net.UDPConn, len(sources))
	for i, source := range sources {
		if conns[i], err = h.ListenUDP(netip.AddrPortFrom(source, 0)); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
	}
	for i := range n {
		if _, err := conns[i%len(conns)].WriteToUDPAddrPort([]byte("x"), to); err != nil {
			t.Fatal(err)
		}
	}
	for buf := make([]byte, 16); ; came++ {
		_ = in.SetReadDeadline(time.Now().Add(moment / 4)) // a wire of the lab has brought all by now
		if _, _, err := in.ReadFromUDPAddrPort(buf); err != nil {
			return came
		}
	}
}

// limited applies the site's document with limits that a slow machine cannot mistake: few a second.
func (s *site) limited(t *testing.T) (burst, all int) {
	t.Helper()
	doc := s.document(t)
	doc.Firewall.Limits = netcfg.Limits{StrangerPacketsPerSecond: 1, StrangerBurst: 30, AllStrangersPacketsPerSecond: 100}
	if err := s.guard.Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	return 30, 100
}

func TestStrangersAreSlowedAndRegisteredPhonesAreNot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	each, all := s.limited(t)
	sip := netip.MustParseAddrPort("198.18.1.1:5060")
	if came := s.burst(t, s.outside, sip, 200, s.outside.V4); came < each || came > 2*each {
		t.Errorf("%d of 200 of a stranger came in, want about %d", came, each)
	}
	many := addAddresses(t, s.outside, 100)
	if came := s.burst(t, s.outside, sip, 1000, many...); came < all/2 || came > 3*all {
		t.Errorf("%d of 1000 of 100 strangers came in, want about %d", came, all)
	}
	if err := s.kernel.Update(s.guard.feed.sets[filter.Known4], []nft.Element{{Addr: s.phone.V4}}, nil); err != nil {
		t.Fatal(err)
	}
	if came := s.burst(t, s.phone, netip.MustParseAddrPort("198.18.2.1:5060"), 200, s.phone.V4); came != 200 {
		t.Errorf("%d of 200 of a registered phone came in", came)
	}
	if came := s.burst(t, s.phone, netip.MustParseAddrPort("198.18.2.1:5060"), 2000, s.phone.V4); came > 1000 {
		t.Errorf("%d of 2000 in the name of a registered phone came in", came)
	}
}

func TestAnIPv6NetworkIsOneStranger(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if !s.lab.V6 {
		t.Skip("this kernel has no IPv6")
	}
	each, _ := s.limited(t)
	sip := netip.MustParseAddrPort("[2001:db8:1::1]:5060")
	var many []netip.Addr
	err := s.outside.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		for i := byte(16); i < 36 && err == nil; i++ {
			a := netip.MustParseAddr("2001:db8:1::").As16()
			a[15] = i
			many = append(many, netip.AddrFrom16(a))
			err = netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: a[:], Mask: net.CIDRMask(64, 128)}, Flags: noDAD})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if came := s.burst(t, s.outside, sip, 200, many...); came < each || came > 2*each {
		t.Errorf("%d of 200 from one network came in, want about %d", came, each)
	}
}

// noDAD: nobody else is on the wire (IFA_F_NODAD).
const noDAD = 2

// addAddresses gives a host further addresses of its network.
func addAddresses(t *testing.T, h *netlab.Host, n byte) (all []netip.Addr) {
	t.Helper()
	err := h.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		for i := byte(0); i < n && err == nil; i++ {
			a := h.V4.As4()
			a[3] = 100 + i
			all = append(all, netip.AddrFrom4(a))
			err = netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: a[:], Mask: net.CIDRMask(24, 32)}})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
