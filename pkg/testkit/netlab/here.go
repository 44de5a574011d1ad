package netlab

import (
	"testing"

	"github.com/vishvananda/netlink"
)

// Cable adds a host whose eth0 is at the other end of a link called near in the namespace that the
// tests themselves run in: what they start without a lab's thread is the box. Neither end has
// addresses, both are up.
func (l *Lab) Cable(t testing.TB, name, near string) *Host {
	t.Helper()
	h := l.newHost(t, name)
	wire := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: near}, PeerName: "eth0", PeerNamespace: netlink.NsFd(h.ns)}
	if err := netlink.LinkAdd(wire); err != nil {
		t.Fatalf("cable of %s: %v", name, err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(wire) }) // a test may have done it
	if err := raise(near); err != nil {
		t.Fatalf("cable of %s: %v", name, err)
	}
	if err := h.Do(func() error { return raise("eth0") }); err != nil {
		t.Fatalf("cable of %s: %v", name, err)
	}
	return h
}

// RaiseLoopback gives the namespace that the tests themselves run in, after Enter, its loopback.
func RaiseLoopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
