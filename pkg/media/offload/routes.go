package offload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Route is how an address is reached.
type Route struct {
	Ifindex, MTU uint32
	Longest      uint32     // packet that may come by the interface: its own MTU, whatever the route's is
	NextHop      netip.Addr // the address itself on a link of ours
}

// way is what a route is looked up by: rules may choose by the source too.
type way struct{ from, to netip.Addr }

// Routes knows how parties are reached. The kernel is asked once for each and again after each change
// of its tables.
type Routes struct {
	mu    sync.Mutex // guards what follows
	found map[way]Route
	turns uint64 // how often all was forgotten
}

// maxRoutes bounds what is remembered of parties that have left.
const maxRoutes = 4 * MaxFlows

// NewRoutes returns routes that know none.
func NewRoutes() *Routes { return &Routes{found: map[way]Route{}} }

// known returns what was found before: no interface if there is none that the kernel could use.
func (r *Routes) known(w way) (Route, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	route, ok := r.found[w]
	return route, ok
}

// find returns a route, and asks the kernel if it is not known: that takes a few system calls.
func (r *Routes) find(w way) (Route, error) {
	r.mu.Lock()
	route, ok := r.found[w]
	turn := r.turns
	r.mu.Unlock()
	switch {
	case ok && route.Ifindex == 0:
		return route, fmt.Errorf("route from %s to %s: %w", w.from, w.to, ErrNoRoute)
	case ok:
		return route, nil
	}
	route, err := look(w.from, w.to)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.found) >= maxRoutes {
		clear(r.found)
	}
	if turn == r.turns { // else it may be of before the change
		r.found[w] = route
	}
	return route, err
}

// ErrNoRoute says that it is not known how a flow's party is reached, or that it is not in a way that
// the kernel could use.
var ErrNoRoute = errors.New("no route that the kernel could use")

// ways are to the peer, and to the other party.
func (f *Flow) ways() [2]way {
	return [2]way{{f.Local.Addr(), f.Peer.Addr()}, {f.From.Addr(), f.To.Addr()}}
}

// findOf looks for the routes that a flow needs, unless it is known how that ended.
func (r *Routes) findOf(f *Flow) error {
	var errs []error
	for _, w := range f.ways() {
		if _, ok := r.known(w); !ok {
			_, err := r.find(w)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// lookOf returns the routes of a flow, and asks for those that are not known.
func (r *Routes) lookOf(f *Flow) (in, out Route, err error) {
	ways := f.ways()
	in, errIn := r.find(ways[0])
	out, errOut := r.find(ways[1])
	return in, out, errors.Join(errIn, errOut)
}

// knownOf returns the routes of a flow, if both are known and the kernel can use them: a packet cannot
// become one of another version of IP.
func (r *Routes) knownOf(f *Flow) (in, out Route, err error) {
	ways := f.ways()
	in, okIn := r.known(ways[0])
	out, okOut := r.known(ways[1])
	if !okIn || !okOut || in.Ifindex == 0 || out.Ifindex == 0 || f.Peer.Addr().Is4() != f.To.Addr().Is4() {
		return in, out, ErrNoRoute
	}
	return in, out, nil
}

// forget makes all be asked again.
func (r *Routes) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.found)
	r.turns++
}

// look asks the kernel for a route that the program can use: over Ethernet, to a next hop of the same
// version of IP.
func look(from, to netip.Addr) (Route, error) {
	routes, err := netlink.RouteGetWithOptions(net.IP(to.AsSlice()), &netlink.RouteGetOptions{SrcAddr: net.IP(from.AsSlice())})
	if err != nil || len(routes) != 1 {
		return Route{}, fmt.Errorf("route from %s to %s: %w", from, to, err)
	}
	got := &routes[0]
	link, err := netlink.LinkByIndex(got.LinkIndex)
	if err != nil {
		return Route{}, fmt.Errorf("route from %s to %s: %w", from, to, err)
	}
	attrs := link.Attrs()
	if got.Via != nil || got.Type != unix.RTN_UNICAST || attrs.EncapType != "ether" || attrs.Flags&net.FlagLoopback != 0 {
		return Route{}, fmt.Errorf("route from %s to %s by %s: %w", from, to, attrs.Name, ErrNoRoute)
	}
	route := Route{Ifindex: uint32(got.LinkIndex), MTU: uint32(attrs.MTU), Longest: uint32(attrs.MTU), NextHop: to}
	if got.MTU > 0 {
		route.MTU = min(route.MTU, uint32(got.MTU))
	}
	if hop, ok := netip.AddrFromSlice(got.Gw); ok && !hop.IsUnspecified() {
		route.NextHop = hop.Unmap()
	}
	return route, nil
}

// quiet is how long the tables are left alone after a change: one that an admin makes comes as several.
const quiet = 50 * time.Millisecond

// Follow calls changed after each change of the kernel's routes, links, addresses and rules, until ctx
// ends.
func (r *Routes) Follow(ctx context.Context, changed func()) error {
	sock, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return fmt.Errorf("follow routes: %w", err)
	}
	stop := context.AfterFunc(ctx, sock.Close)
	defer stop()
	for ctx.Err() == nil {
		_, _, err := sock.Receive()
		switch {
		case ctx.Err() != nil:
		case err == nil || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN): // messages lost are changes too
			r.forget()
			changed()
			pause(ctx, quiet)
		default:
			sock.Close()
			return fmt.Errorf("follow routes: %w", err)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
