package dhcpc

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/server6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

// server6For is a server on a link, and what it heard.
type server6For struct {
	mu    sync.Mutex
	heard []string
	ids   map[string]bool // identifiers of clients
}

func (s *server6For) handle(conn net.PacketConn, peer net.Addr, d dhcpv6.DHCPv6) {
	msg, ok := d.(*dhcpv6.Message)
	if !ok {
		return
	}
	s.mu.Lock()
	s.heard = append(s.heard, msg.MessageType.String())
	s.ids[msg.Options.ClientID().String()] = true
	s.mu.Unlock()
	own := dhcpv6.WithServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}})
	reply, err := dhcpv6.NewReplyFromMessage(msg, own)
	if msg.MessageType == dhcpv6.MessageTypeSolicit {
		reply, err = dhcpv6.NewAdvertiseFromSolicit(msg, own)
	}
	if err != nil {
		return
	}
	iaNA := msg.Options.OneIANA()
	iaNA.T1, iaNA.Options = time.Second, dhcpv6.IdentityOptions{}
	iaNA.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("2001:db8::77"), PreferredLifetime: time.Hour, ValidLifetime: time.Hour})
	reply.UpdateOption(iaNA)
	if iaPD := msg.Options.OneIAPD(); iaPD != nil {
		iaPD.Options = dhcpv6.PDOptions{}
		iaPD.Options.Add(&dhcpv6.OptIAPrefix{PreferredLifetime: time.Hour, ValidLifetime: time.Hour, Prefix: &net.IPNet{IP: net.ParseIP("2001:db8:100::"), Mask: net.CIDRMask(56, 128)}})
		reply.UpdateOption(iaPD)
	}
	reply.UpdateOption(dhcpv6.OptDNS(net.ParseIP("2001:db8::53")))
	_, _ = conn.WriteTo(reply.ToBytes(), peer) // the client asks again
}

// wire makes a link with a server at its other end.
func wire(t *testing.T) (s *server6For, link string) {
	t.Helper()
	if os.Getenv("NETLAB_INSIDE") != "yes" {
		t.Skip("no network namespaces here: run as root, or allow user namespaces")
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "d0", TxQLen: -1}, PeerName: "s0"}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"d0", "s0"} {
		end, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(end)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s = &server6For{ids: map[string]bool{}}
	srv, err := server6.NewServer("s0", &net.UDPAddr{IP: net.IPv6unspecified, Port: dhcpv6.DefaultServerPort}, s.handle)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = srv.Serve() }() // it ends when it is closed
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-ended
		if err := netlink.LinkDel(veth); err != nil {
			t.Error(err)
		}
	})
	return s, "d0"
}

// An address and a prefix come from a real server, are renewed, and are there right after a restart.
func TestDHCPv6(t *testing.T) {
	s, link := wire(t)
	dir := t.TempDir()
	doc := netcfg.Document{Interfaces: []netcfg.Interface{{Link: link, DHCP6: &netcfg.DHCP6Client{Address: true, DelegateTo: "eth9"}}}}
	run := func() (*Clients, func()) {
		c, err := New(dir, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		c.Want(doc)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		return c, func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	c, stop := run()
	patience := time.After(30 * time.Second)
	for {
		leases, changed := c.Leases6()
		if l, ok := leases[link]; ok {
			if l.Address.String() != "2001:db8::77" || l.Prefix.String() != "2001:db8:100::/56" || len(l.DNS) != 1 || time.Until(l.Renew) > time.Second {
				t.Errorf("lease %+v", l)
			}
			break
		}
		select {
		case <-changed:
		case <-patience:
			t.Fatal("no lease")
		}
	}
	stop()
	c, stop = run()
	if leases, _ := c.Leases6(); leases[link].Address.String() != "2001:db8::77" {
		t.Errorf("right after the restart: %+v", leases)
	}
	for asked := ""; !strings.HasSuffix(asked, "RENEW"); {
		_, changed := c.Leases6()
		s.mu.Lock()
		asked = strings.Join(s.heard, " ")
		s.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond): // what the server heard makes no sound
		case <-patience:
			t.Fatalf("the server heard %q", asked)
		}
	}
	stop()
	if len(s.ids) != 1 {
		t.Errorf("the client has identifiers %v", s.ids)
	}
}

func TestWhatIsNoIPv6LeaseIsRefused(t *testing.T) {
	t.Parallel()
	for name, odd := range map[string]func(m *dhcpv6.Message){
		"nothing": func(*dhcpv6.Message) {},
		"an address unasked": func(m *dhcpv6.Message) {
			dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("2001:db8::1"), ValidLifetime: time.Hour})(m)
		},
		"no time": func(m *dhcpv6.Message) {
			dhcpv6.WithIAPD([4]byte{}, &dhcpv6.OptIAPrefix{Prefix: &net.IPNet{IP: net.ParseIP("2001:db8::"), Mask: net.CIDRMask(56, 128)}})(m)
		},
		"too small": func(m *dhcpv6.Message) {
			dhcpv6.WithIAPD([4]byte{}, &dhcpv6.OptIAPrefix{ValidLifetime: time.Hour, Prefix: &net.IPNet{IP: net.ParseIP("2001:db8::"), Mask: net.CIDRMask(72, 128)}})(m)
		},
		"link-local": func(m *dhcpv6.Message) {
			dhcpv6.WithIAPD([4]byte{}, &dhcpv6.OptIAPrefix{ValidLifetime: time.Hour, Prefix: &net.IPNet{IP: net.ParseIP("fe80::"), Mask: net.CIDRMask(56, 128)}})(m)
		},
	} {
		msg, err := dhcpv6.NewMessage()
		if err != nil {
			t.Fatal(err)
		}
		odd(msg)
		if l, err := (&held6{msg, time.Now()}).read(settings6{Prefix: true}); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

// FuzzDecode6 is FuzzDecode for IPv6.
func FuzzDecode6(f *testing.F) {
	f.Add([]byte{7, 1, 2, 3, 0, 25, 0, 41, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 26, 0, 25, 0, 0, 1, 0, 0, 0, 1, 0, 56, 0x20, 1, 0xd, 0xb8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		msg, err := dhcpv6.MessageFromBytes(data)
		if err != nil {
			return
		}
		l, err := (&held6{msg, time.Unix(0, 0)}).read(settings6{Address: true, Prefix: true})
		if err == nil && (!l.Address.IsValid() && !l.Prefix.IsValid() || l.Prefix.IsValid() && (l.Prefix.Bits() > 64 || l.Prefix.Masked() != l.Prefix) || l.Renew.After(l.Until)) {
			t.Fatalf("taken: %+v", l)
		}
	})
}
