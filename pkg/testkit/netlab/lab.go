// Package netlab makes small networks for tests out of network namespaces: a box in the middle and
// hosts around it, each on a wire of its own, so that a host reaches the box and nobody else.
package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// KeepKey names the variable that, when set, keeps the folders of labs for a person to look at.
const KeepKey = "NETLAB_KEEP"

// Lab is a network that lives as long as its test.
type Lab struct {
	Box   *Host
	Dir   string // of all files of the lab; its path is short, for unix sockets
	V6    bool   // the kernel has IPv6
	wires int
}

// New makes a lab with a box and no hosts yet.
func New(t testing.TB) *Lab {
	t.Helper()
	need(t)
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if os.Getenv(KeepKey) != "" {
			t.Log("files of the lab are in", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	l := &Lab{Dir: dir}
	_, err = os.Stat("/proc/sys/net/ipv6")
	l.V6 = err == nil
	l.Box = l.newHost(t, "box")
	return l
}

// Host adds a host with a wire to the box. Its default route is the box, which forwards nothing:
// what the host sends to anybody else is seen on its wire and goes no further.
func (l *Lab) Host(t testing.TB, name string) *Host {
	t.Helper()
	return l.HostAt(t, l.Box, name)
}

// HostAt is Host with the wire to another host than the box: to that one it is the box.
func (l *Lab) HostAt(t testing.TB, near *Host, name string) *Host {
	t.Helper()
	l.wires++
	h := l.newHost(t, name)
	if err := l.connect(near, h, l.wires); err != nil {
		t.Fatalf("wire of %s: %v", name, err)
	}
	return h
}

// Behind adds a host with a wire to another, which is made a router: what the router does with packets,
// such as rewriting their addresses, is for the test to say. It finds the box where the router does.
func (l *Lab) Behind(t testing.TB, router *Host, name string) *Host {
	t.Helper()
	l.wires++
	h := l.newHost(t, name)
	h.V4 = netip.AddrFrom4([4]byte{10, 18, byte(l.wires), 2})
	gateway := netip.AddrFrom4([4]byte{10, 18, byte(l.wires), 1})
	near := fmt.Sprintf("in%d", l.wires)
	err := router.Do(func() error {
		wire := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: near}, PeerName: "eth0", PeerNamespace: netlink.NsFd(h.ns)}
		if err := netlink.LinkAdd(wire); err != nil {
			return err
		}
		return errors.Join(raise(near, gateway), os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600))
	})
	if err == nil {
		err = h.Do(func() error { return errors.Join(raise("eth0", h.V4), routeVia(gateway)) })
	}
	if err != nil {
		t.Fatalf("wire of %s to %s: %v", name, router.Name, err)
	}
	h.Box4 = router.Box4
	return h
}

// newHost makes a namespace with a loopback interface that is up.
func (l *Lab) newHost(t testing.TB, name string) *Host {
	t.Helper()
	h := &Host{Name: name, Dir: filepath.Join(l.Dir, name), work: make(chan func()), ended: make(chan struct{})}
	if err := os.Mkdir(h.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.begin(); err != nil {
		t.Fatalf("namespace of %s: %v", name, err)
	}
	t.Cleanup(h.end)
	err := h.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		return errors.Join(err, forwardNothing())
	})
	if err != nil {
		t.Fatalf("loopback of %s: %v", name, err)
	}
	return h
}

// forwardNothing turns forwarding off: a new namespace may have got it from the machine.
func forwardNothing() error {
	for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		file := "/proc/sys/net/" + name
		now, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || (err == nil && strings.TrimSpace(string(now)) == "0") {
			continue
		}
		if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// connect gives h the n-th wire, to at. The addresses are those for benchmarks and documentation,
// which nobody has.
func (l *Lab) connect(at, h *Host, n int) error {
	h.V4, h.Box4 = netip.AddrFrom4([4]byte{198, 18, byte(n), 2}), netip.AddrFrom4([4]byte{198, 18, byte(n), 1})
	if l.V6 {
		h.V6 = netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::2", n))
		h.Box6 = netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", n))
	}
	near := fmt.Sprintf("to%d", n)
	err := at.Do(func() error {
		wire := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: near}, PeerName: "eth0", PeerNamespace: netlink.NsFd(h.ns)}
		if err := netlink.LinkAdd(wire); err != nil {
			return err
		}
		return raise(near, h.Box4, h.Box6)
	})
	if err != nil {
		return err
	}
	return h.Do(func() error {
		return errors.Join(raise("eth0", h.V4, h.V6), routeVia(h.Box4), routeVia(h.Box6))
	})
}

// raise gives an interface its addresses and brings it up.
func raise(name string, addrs ...netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if !a.IsValid() {
			continue
		}
		ip := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(24, 32)}
		if a.Is6() {
			ip.Mask = net.CIDRMask(64, 128)
		}
		// Nobody else is on the wire, so the address need not be asked for first (RFC 4862 §5.4).
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ip, Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("address %s: %w", a, err)
		}
	}
	// One packet on the wire is one packet in a capture: none are joined into larger ones.
	if err := netlink.LinkSetGSOMaxSegs(link, 1); err != nil {
		return fmt.Errorf("segments: %w", err)
	}
	return netlink.LinkSetUp(link)
}

func routeVia(gateway netip.Addr) error {
	if !gateway.IsValid() {
		return nil
	}
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice()}); err != nil {
		return fmt.Errorf("default route via %s: %w", gateway, err)
	}
	return nil
}

// Wire adds one more wire between two hosts. Its ends have no addresses and are up.
func (l *Lab) Wire(t testing.TB, a *Host, nameA string, b *Host, nameB string) {
	t.Helper()
	err := a.Do(func() error {
		wire := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: nameA}, PeerName: nameB, PeerNamespace: netlink.NsFd(b.ns)}
		if err := netlink.LinkAdd(wire); err != nil {
			return err
		}
		return raise(nameA)
	})
	if err == nil {
		err = b.Do(func() error { return raise(nameB) })
	}
	if err != nil {
		t.Fatalf("wire from %s to %s: %v", a.Name, b.Name, err)
	}
}

// Rename gives one of the host's links another name, as a board or a kernel with VLANs has it.
func (h *Host) Rename(t testing.TB, from, to string) {
	t.Helper()
	err := h.Do(func() error {
		link, err := netlink.LinkByName(from)
		if err != nil {
			return err
		}
		return netlink.LinkSetName(link, to)
	})
	if err != nil {
		t.Fatalf("call %s of %s %s: %v", from, h.Name, to, err)
	}
}
