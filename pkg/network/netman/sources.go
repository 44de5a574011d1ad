package netman

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/coraltele/sanchar/pkg/network/dhcpc"
	"github.com/coraltele/sanchar/pkg/network/health"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Network is what the network tells: leases of DHCP servers, checks of uplinks.
type Network struct {
	clients *dhcpc.Clients
	checker *health.Checker

	mu      sync.Mutex
	doc     netcfg.Document
	changed chan struct{}
}

// NewNetwork returns the sources made of clients and a checker, which it runs.
func NewNetwork(clients *dhcpc.Clients, checker *health.Checker) *Network {
	return &Network{clients: clients, checker: checker, changed: make(chan struct{})}
}

// Run asks and checks until ctx ends.
func (n *Network) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.clients.Run(ctx) }) // both end with ctx only
	wg.Go(func() { _ = n.checker.Run(ctx) })
	defer wg.Wait()
	for {
		_, leases := n.clients.Leases()
		_, states := n.checker.States()
		select {
		case <-ctx.Done():
			return nil
		case <-leases:
			n.check() // a lease may have told a gateway
		case <-states:
		}
		n.mu.Lock()
		close(n.changed)
		n.changed = make(chan struct{})
		n.mu.Unlock()
	}
}

// Want says which document to follow.
func (n *Network) Want(doc netcfg.Document) {
	n.mu.Lock()
	n.doc = doc
	n.mu.Unlock()
	n.clients.Want(doc)
	n.check()
}

func (n *Network) check() {
	n.mu.Lock()
	doc := n.doc
	n.mu.Unlock()
	leases, _ := n.clients.Leases()
	gateways := map[string]netip.Addr{}
	for link, l := range leases {
		gateways[link] = l.Router
	}
	n.checker.Want(doc, gateways)
}

// Facts returns what is known now, and a channel that is closed when it has changed.
func (n *Network) Facts() (netplan.Facts, <-chan struct{}) {
	n.mu.Lock()
	changed := n.changed
	n.mu.Unlock()
	facts := netplan.Facts{Leases: map[string]netplan.Lease{}, Leases6: map[string]netplan.Lease6{}, Failed: map[string]bool{}}
	leases, _ := n.clients.Leases()
	for link, l := range leases {
		facts.Leases[link] = netplan.Lease{Address: l.Address, Router: l.Router}
	}
	leases6, _ := n.clients.Leases6()
	for link, l := range leases6 {
		facts.Leases6[link] = netplan.Lease6{Address: l.Address, Prefix: l.Prefix}
	}
	states, _ := n.checker.States()
	for name, s := range states {
		facts.Failed[name] = !s.Up
	}
	return facts, changed
}

// Leases returns the addresses that servers gave us.
func (n *Network) Leases() (all []ctl.NetLease) {
	leases, _ := n.clients.Leases()
	for link, l := range leases {
		all = append(all, ctl.NetLease{Link: link, Address: l.Address, Router: l.Router, DNS: l.DNS, Server: l.Server, Until: l.Until})
	}
	leases6, _ := n.clients.Leases6()
	for link, l := range leases6 {
		address := l.Prefix
		if l.Address.IsValid() {
			address = netip.PrefixFrom(l.Address, l.Address.BitLen())
		}
		all = append(all, ctl.NetLease{Link: link, Address: address, DNS: l.DNS, Until: l.Until})
	}
	slices.SortStableFunc(all, func(a, b ctl.NetLease) int { return cmp.Compare(a.Link, b.Link) })
	return all
}

// Uplinks returns how the uplinks are. The first that works is the active one.
func (n *Network) Uplinks() (all []ctl.NetUplink) {
	n.mu.Lock()
	doc := n.doc
	n.mu.Unlock()
	states, _ := n.checker.States()
	active := false
	for _, u := range doc.Uplinks {
		s := states[u.Name]
		all = append(all, ctl.NetUplink{Name: u.Name, Link: u.Link, Up: s.Up, Active: s.Up && !active, Since: s.Since, Why: s.Why})
		active = active || s.Up
	}
	return all
}
