package netmon

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Detail asks the kernel for what changes all the time, too. It is for people who look: nobody is
// told of changes.
func Detail() (d ctl.NetDetail, err error) {
	links, err := links()
	if err != nil {
		return d, err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return d, fmt.Errorf("list addresses: %w", err)
	}
	for _, l := range links[:min(len(links), ctl.NetDetailMax)] {
		d.Links = append(d.Links, linkDetail(l, addrs))
	}
	slices.SortFunc(d.Links, func(a, b ctl.LinkDetail) int { return cmp.Compare(a.Index, b.Index) })
	var errs [3]error
	d.Neighbours, errs[0] = neighbours(names)
	d.Routes, errs[1] = routes(names)
	d.Queues, errs[2] = queues(links)
	d.Conntrack = ctl.Conntrack{Count: procNumber("nf_conntrack_count"), Max: procNumber("nf_conntrack_max")}
	return d, errors.Join(errs[:]...)
}

// links lists all; a list that was interrupted by a change is good enough for who looks once.
func links() ([]netlink.Link, error) {
	all, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return all, nil
}

func linkDetail(l netlink.Link, addrs []netlink.Addr) ctl.LinkDetail {
	d := ctl.LinkDetail{Link: convert(l, addrs)}
	if s := l.Attrs().Statistics; s != nil {
		d.Received = ctl.LinkCounters{Bytes: s.RxBytes, Packets: s.RxPackets, Errors: s.RxErrors, Dropped: s.RxDropped}
		d.Sent = ctl.LinkCounters{Bytes: s.TxBytes, Packets: s.TxPackets, Errors: s.TxErrors, Dropped: s.TxDropped}
	}
	if d.Carrier {
		d.SpeedMbit, d.Duplex = speed(d.Name)
	}
	return d
}

func procNumber(name string) uint64 {
	text, err := os.ReadFile("/proc/sys/net/netfilter/" + name)
	if err != nil {
		return 0 // the module is not there
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64) // the kernel writes numbers
	return n
}

// state returns the name that ip-neighbour(8) has for a state.
func state(s int) string {
	for _, n := range []struct {
		bit  int
		name string
	}{
		{netlink.NUD_PERMANENT, "permanent"},
		{netlink.NUD_REACHABLE, "reachable"},
		{netlink.NUD_STALE, "stale"},
		{netlink.NUD_DELAY, "delay"},
		{netlink.NUD_PROBE, "probe"},
		{netlink.NUD_INCOMPLETE, "incomplete"},
		{netlink.NUD_FAILED, "failed"},
		{netlink.NUD_NOARP, "noarp"},
	} {
		if s&n.bit != 0 {
			return n.name
		}
	}
	return "none"
}

func neighbours(names map[int]string) (all []ctl.Neighbour, err error) {
	found, err := netlink.NeighList(0, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}
	for _, n := range found {
		a, ok := netip.AddrFromSlice(n.IP)
		if a = a.Unmap(); !ok || a.IsMulticast() || n.State == netlink.NUD_NOARP || len(all) >= ctl.NetDetailMax {
			continue
		}
		all = append(all, ctl.Neighbour{Link: names[n.LinkIndex], Address: a, MAC: n.HardwareAddr.String(), State: state(n.State)})
	}
	slices.SortFunc(all, func(a, b ctl.Neighbour) int {
		return cmp.Or(strings.Compare(a.Link, b.Link), a.Address.Compare(b.Address))
	})
	return all, nil
}

// routes lists all tables but the kernel's own of local addresses.
func routes(names map[int]string) (all []ctl.Route, err error) {
	found, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range found {
		if r.Table == unix.RT_TABLE_LOCAL || len(all) >= ctl.NetDetailMax {
			continue
		}
		row := ctl.Route{Link: names[r.LinkIndex], Metric: r.Priority, Table: r.Table, Made: r.Protocol.String()}
		row.Gateway, _ = netip.AddrFromSlice(r.Gw)
		row.Source, _ = netip.AddrFromSlice(r.Src)
		row.Gateway, row.Source = row.Gateway.Unmap(), row.Source.Unmap()
		row.To = destination(r)
		all = append(all, row)
	}
	return all, nil
}

func destination(r netlink.Route) netip.Prefix {
	if r.Dst != nil {
		a, _ := netip.AddrFromSlice(r.Dst.IP)
		bits, _ := r.Dst.Mask.Size()
		return netip.PrefixFrom(a.Unmap(), bits)
	}
	if r.Family == netlink.FAMILY_V6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// queues lists the disciplines of all links, and the classes of those that have some.
func queues(links []netlink.Link) (all []ctl.Queue, err error) {
	for _, l := range links {
		found, listErr := netlink.QdiscList(l)
		if listErr != nil && !errors.Is(listErr, netlink.ErrDumpInterrupted) {
			err = errors.Join(err, fmt.Errorf("list queues of %s: %w", l.Attrs().Name, listErr))
			continue
		}
		for _, q := range found {
			a := q.Attrs()
			if q.Type() == "noqueue" || len(all) >= ctl.NetDetailMax {
				continue
			}
			all = append(all, queue(l, q.Type(), a.Handle, a.Parent, (*netlink.ClassStatistics)(a.Statistics)))
		}
		classes, listErr := netlink.ClassList(l, 0)
		if listErr != nil {
			continue // the kernel has none for this kind of link
		}
		for _, c := range classes {
			if a := c.Attrs(); len(all) < ctl.NetDetailMax && c.Type() != "fq_codel" { // whose classes are flows
				all = append(all, queue(l, c.Type()+" class", a.Handle, a.Parent, a.Statistics))
			}
		}
	}
	return all, err
}

func queue(l netlink.Link, kind string, handle, parent uint32, s *netlink.ClassStatistics) ctl.Queue {
	q := ctl.Queue{Link: l.Attrs().Name, Kind: kind, Handle: netlink.HandleStr(handle)}
	if parent != netlink.HANDLE_ROOT && parent != 0 {
		q.Parent = netlink.HandleStr(parent)
	}
	if s == nil {
		return q
	}
	if s.Basic != nil {
		q.Bytes, q.Packets = s.Basic.Bytes, uint64(s.Basic.Packets)
	}
	if s.Queue != nil {
		q.Dropped, q.Backlog, q.Requeues, q.Overlimit = uint64(s.Queue.Drops), s.Queue.Backlog, s.Queue.Requeues, s.Queue.Overlimits
	}
	return q
}
