package offload

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// isolated makes the test's thread be in a network namespace of its own, with an Ethernet interface that
// has 192.0.2.1/24.
func isolated(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace here: %v: run as root", err)
	}
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wire", MTU: 1400}, PeerName: "far"}))
	for _, name := range []string{"wire", "far", "lo"} {
		l, err := netlink.LinkByName(name)
		must(t, err)
		must(t, netlink.LinkSetUp(l))
	}
	wire, err := netlink.LinkByName("wire")
	must(t, err)
	must(t, netlink.AddrAdd(wire, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(24, 32)}}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addRoute(t *testing.T, to string, gateway net.IP) {
	t.Helper()
	_, dst, err := net.ParseCIDR(to)
	must(t, err)
	must(t, netlink.RouteReplace(&netlink.Route{Dst: dst, Gw: gateway, MTU: 1300}))
}

func TestRoutes(t *testing.T) {
	isolated(t)
	addRoute(t, "198.51.100.0/24", net.IPv4(192, 0, 2, 254))
	wire, err := netlink.LinkByName("wire")
	must(t, err)
	from, addr := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr
	r := NewRoutes()
	for _, c := range []struct {
		to   netip.Addr
		want Route
		err  error
	}{
		{addr("192.0.2.7"), Route{uint32(wire.Attrs().Index), 1400, 1400, addr("192.0.2.7")}, nil},
		{addr("198.51.100.7"), Route{uint32(wire.Attrs().Index), 1300, 1400, addr("192.0.2.254")}, nil},
		{addr("192.0.2.1"), Route{}, ErrNoRoute}, // ourselves
		{addr("127.0.0.9"), Route{}, ErrNoRoute},
		{addr("203.0.113.1"), Route{}, unix.ENETUNREACH},
	} {
		for range 2 { // the second time it is known
			got, err := r.find(way{from, c.to})
			if got != c.want || (c.err == nil) != (err == nil) {
				t.Errorf("%s: %+v, %v; want %+v, %v", c.to, got, err, c.want, c.err)
			}
		}
		if _, ok := r.known(way{from, c.to}); !ok {
			t.Errorf("%s is not remembered", c.to)
		}
	}
}

func TestChangesOfRoutesAreFollowed(t *testing.T) {
	isolated(t)
	r := NewRoutes()
	w := way{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.1")}
	if _, err := r.find(w); err == nil {
		t.Fatal("there is a route")
	}
	ctx, cancel := context.WithCancel(t.Context())
	changed, ended, ready := make(chan struct{}, 100), make(chan error, 1), make(chan struct{})
	ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(ns)
	go func() {
		runtime.LockOSThread() // its socket is made in the test's namespace
		err := unix.Setns(ns, unix.CLONE_NEWNET)
		close(ready)
		ended <- errors.Join(err, r.Follow(ctx, func() { changed <- struct{}{} }))
	}()
	<-ready
	for found := false; !found; { // until it listens, changes are not heard
		addRoute(t, "203.0.113.0/24", net.IPv4(192, 0, 2, 250))
		select {
		case <-changed:
			found = true
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if got, err := r.find(w); err != nil || got.NextHop != netip.MustParseAddr("192.0.2.250") {
		t.Errorf("after the change %+v, %v", got, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
