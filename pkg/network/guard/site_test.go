package guard

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/nft"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// site is an office: a box that forwards, phones in a VLAN, admins on the untagged LAN, an outside host.
type site struct {
	lab                   *netlab.Lab
	box                   *netlab.Host
	outside, phone, admin *netlab.Host
	kernel                *nft.Kernel
	guard                 *Guard
	facts                 filter.Facts
}

const siteDocument = `{
  "interfaces": [
    {"link": "wan0", "zone": "internet", "addresses": ["198.18.1.1/24", "2001:db8:1::1/64"]},
    {"link": "lan0.100", "zone": "phones", "addresses": ["198.18.2.1/24", "2001:db8:2::1/64"]},
    {"link": "lan1", "zone": "office", "addresses": ["198.18.3.1/24", "2001:db8:3::1/64"]}
  ],
  "zones": [
    {"name": "internet", "kind": "uplink"},
    {"name": "phones", "kind": "voice", "reaches": ["internet"], "trustDSCP": true},
    {"name": "office", "kind": "management", "reaches": ["internet", "phones"]}
  ],
  "nat": {
    "masquerade": [{"zone": "internet"}],
    "forwards": [
      {"name": "camera", "zone": "internet", "protocol": "tcp", "ports": "8080", "to": "198.18.2.2", "toPort": 80, "hairpin": true},
      {"name": "row", "zone": "internet", "protocol": "tcp", "ports": "9000-9003", "to": "198.18.2.2", "toPort": 79},
      {"name": "six", "zone": "internet", "protocol": "tcp", "ports": "8080", "to": "2001:db8:2::2", "toPort": 80}
    ]
  }
}`

func newSite(t *testing.T) *site {
	t.Helper()
	lab := netlab.New(t)
	s := &site{lab: lab, box: lab.Box, outside: lab.Host(t, "outside"), phone: lab.Host(t, "phone"), admin: lab.Host(t, "admin")}
	s.facts = filter.Facts{
		SIPUDP: []uint16{5060}, SIPStream: []uint16{5061}, Media: ruleset.PortRange{First: 20000, Last: 29999}, Page: 443, Provision: 8443,
	}
	s.rename(t, "to1", "wan0")
	s.rename(t, "to3", "lan1")
	s.tag(t)
	s.forward(t)
	ns := -1
	if err := s.box.Do(func() (err error) {
		ns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(ns) })
	s.kernel = nft.New(ns)
	s.guard = s.newGuard(t, s.document(t))
	return s
}

func (s *site) document(t *testing.T) (doc netcfg.Document) {
	t.Helper()
	if err := json.Unmarshal([]byte(siteDocument), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// newGuard applies the document with the site's facts: no daemon runs.
func (s *site) newGuard(t *testing.T, doc netcfg.Document) *Guard {
	t.Helper()
	dir := t.TempDir()
	g, err := New(Config{
		Kernel: s.kernel, Switch: ctl.NewSwitch(filepath.Join(dir, "s")), Media: ctl.NewMedia(filepath.Join(dir, "m")), Admin: ctl.NewAdmin(filepath.Join(dir, "a")),
		Links: func() ([]ctl.Link, <-chan struct{}) { return nil, nil }, StateDir: dir, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	g.facts = s.facts
	if err := g.Apply(context.Background(), doc); err != nil {
		t.Fatal(err)
	}
	return g
}

func (s *site) rename(t *testing.T, from, to string) {
	t.Helper()
	err := s.box.Do(func() error {
		link, err := netlink.LinkByName(from)
		return errors.Join(err, netlink.LinkSetName(link, to))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tag puts the phone behind VLAN 100. Where the kernel has no VLANs its wire is only called so: the
// packet filter knows links by their names.
func (s *site) tag(t *testing.T) {
	t.Helper()
	s.rename(t, "to2", "lan0")
	vlan := func(h *netlab.Host, parent string, addresses ...netip.Addr) error {
		return h.Do(func() error {
			link, err := netlink.LinkByName(parent)
			if err != nil {
				return err
			}
			v := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: parent + ".100", ParentIndex: link.Attrs().Index}, VlanId: 100}
			if err := netlink.LinkAdd(v); err != nil {
				return err
			}
			return errors.Join(netlink.LinkSetUp(v), moveAddresses(link, v, addresses...))
		})
	}
	err := vlan(s.box, "lan0", s.phone.Box4, s.phone.Box6)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		t.Log("this kernel has no 802.1Q: the wire is only called lan0.100")
		s.rename(t, "lan0", "lan0.100")
		return
	}
	if err == nil {
		err = vlan(s.phone, "eth0", s.phone.V4, s.phone.V6)
	}
	if err == nil {
		err = s.phone.Do(func() error {
			link, err := netlink.LinkByName("eth0.100")
			for _, gw := range []netip.Addr{s.phone.Box4, s.phone.Box6} {
				if gw.IsValid() {
					err = errors.Join(err, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gw.AsSlice()}))
				}
			}
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func moveAddresses(from, to netlink.Link, addresses ...netip.Addr) error {
	for _, a := range addresses {
		if !a.IsValid() {
			continue
		}
		ip := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(24, 32)}, Flags: unix.IFA_F_NODAD}
		if a.Is6() {
			ip.Mask = net.CIDRMask(64, 128)
		}
		if err := errors.Join(netlink.AddrDel(from, ip), netlink.AddrAdd(to, ip)); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) forward(t *testing.T) {
	t.Helper()
	err := s.box.Do(func() error {
		err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)
		if s.lab.V6 {
			err = errors.Join(err, os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0o600))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// serve answers each connection with the address that it came from.
func serve(t *testing.T, h *netlab.Host, addresses ...string) {
	t.Helper()
	for _, address := range addresses {
		var ln net.Listener
		err := h.Do(func() (err error) {
			network := "tcp4" // "tcp" at 0.0.0.0 would be IPv6 as well
			if strings.HasPrefix(address, "[") {
				network = "tcp6"
			}
			ln, err = net.Listen(network, address)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, c.RemoteAddr().String()+"\n")
				_ = c.Close()
			}
		}()
		t.Cleanup(func() { _ = ln.Close(); <-done })
	}
}

// Waits: what passes does so at once; what is dropped is given up after a moment.
const (
	moment   = 400 * time.Millisecond
	patience = 5 * time.Second
)

// ask connects and returns what is answered; "" if nobody is reached within a moment.
func ask(t *testing.T, h *netlab.Host, address string, wait time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	c, err := h.DialContext(ctx, "tcp", address)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	text, _ := io.ReadAll(c)
	return strings.TrimSpace(string(text))
}

func reaches(t *testing.T, h *netlab.Host, address string) (from netip.Addr) {
	t.Helper()
	text := ask(t, h, address, patience)
	ap, err := netip.ParseAddrPort(text)
	if err != nil {
		t.Errorf("%s does not reach %s (%q)", h, address, text)
	}
	return ap.Addr().Unmap()
}

func reachesNot(t *testing.T, h *netlab.Host, address string) {
	t.Helper()
	if text := ask(t, h, address, moment); text != "" {
		t.Errorf("%s reaches %s: %s", h, address, text)
	}
}

// echo answers each datagram at an address with the address that it came from.
func echo(t *testing.T, h *netlab.Host, at string) {
	t.Helper()
	c, err := h.ListenUDP(netip.MustParseAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			_, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort([]byte(from.String()), from)
		}
	}()
	t.Cleanup(func() { _ = c.Close(); <-done })
}

// datagram sends one from an address and returns what is answered within wait; "" for nothing.
func datagram(t *testing.T, h *netlab.Host, from, to string, wait time.Duration) string {
	t.Helper()
	c, err := h.ListenUDP(netip.MustParseAddrPort(from))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WriteToUDPAddrPort([]byte("hello"), netip.MustParseAddrPort(to)); err != nil {
		return ""
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 2048)
	n, _, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}
