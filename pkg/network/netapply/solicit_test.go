package netapply

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// advertiser answers each solicitation on a link as a router does: with itself and a prefix.
func advertiser(t *testing.T, link string) (asked <-chan struct{}) {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if ctlErr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), link) }); ctlErr != nil {
			return ctlErr
		}
		return err
	}}
	c, err := config.ListenPacket(context.Background(), "ip6:ipv6-icmp", "::")
	if err != nil {
		t.Fatal(err)
	}
	p := ipv6.NewPacketConn(c)
	ifi, err := net.InterfaceByName(link)
	if err == nil {
		err = p.JoinGroup(ifi, &net.IPAddr{IP: net.IPv6linklocalallrouters})
	}
	if err == nil {
		err = p.SetMulticastHopLimit(neighbourHops)
	}
	if err != nil {
		t.Fatal(err)
	}
	advert := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0} // RFC 4861 §4.2: 30 minutes
	advert = append(advert, 3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0)
	advert = append(advert, net.ParseIP("2001:db8:9::")...)
	heard, ended := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(ended)
		for buf := make([]byte, 1500); ; {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if n > 0 && buf[0] == 133 {
				heard <- struct{}{}
				_, _ = c.WriteTo(advert, &net.IPAddr{IP: net.IPv6linklocalallnodes, Zone: link}) // it will be asked again
			}
		}
	}()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return heard
}

// A link that is on already finds its router at once when it is to listen, and the uplink's route
// goes by it.
func TestSLAAC(t *testing.T) {
	b := newBox(t, 1)
	static := `{"ports":[{"name":"p0"}],"zones":[{"name":"A"}],"interfaces":[{"link":"p0","zone":"A","addresses":["10.0.0.1/24"]%s}],"uplinks":[{"name":"One","link":"p0","gateway4":"10.0.0.2"}]}`
	b.setText(strings.Replace(static, "%s", "", 1))
	linkLocal(t, "q0")
	linkLocal(t, "p0")
	asked := advertiser(t, "q0")
	doc := b.parse(strings.Replace(static, "%s", `,"slaac":true`, 1))
	apply := func() { // the router may answer in the middle of it
		if _, err := b.apply.Apply(t.Context(), doc, b.facts); err != nil && !errors.Is(err, errUnsettled) {
			t.Fatal(err)
		}
	}
	apply()
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody asked for routers")
	}
	for end := time.Now().Add(20 * time.Second); len(b.routes(true, "main")) == 0; {
		if apply(); time.Now().After(end) {
			t.Fatalf("no route by the router:\n%v", ip(t, "-6", "route"))
		}
	}
	b.set(doc)
	p, err := b.apply.Plan(doc, b.facts)
	if err != nil || len(p.Foreign) != 1 { // q0, the other end of the cable
		t.Errorf("foreign %v, %v", p.Foreign, err)
	}
	b.setText(strings.Replace(static, "%s", "", 1))
	b.wantSetting("ipv6/conf/p0/accept_ra", "0")
	b.wantRoutes(true, "main")
}

// linkLocal waits until a link has an address that it may speak from (RFC 4862 §5.4).
func linkLocal(t *testing.T, name string) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		found, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range found {
			if a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
				return
			}
		}
	}
	t.Fatalf("%s has no address of its own", name)
}
