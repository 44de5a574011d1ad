package netapply

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
)

func changeRoute(s netplan.Step) error {
	r, err := toKernel(s.Route)
	if err != nil {
		return err
	}
	if s.Act == netplan.RemoveRoute {
		return netlink.RouteDel(r)
	}
	return netlink.RouteReplace(r)
}

func toKernel(r netplan.Route) (*netlink.Route, error) {
	k := &netlink.Route{
		Dst: ipNet(r.To), Priority: r.Metric, Table: r.Table, Protocol: netplan.Protocol,
		Family: family(r.To.Addr()), Type: unix.RTN_UNICAST,
	}
	switch r.Kind {
	case netcfg.Blackhole:
		k.Type = unix.RTN_BLACKHOLE
	case netcfg.Unreachable:
		k.Type = unix.RTN_UNREACHABLE
	case netcfg.Unicast:
	}
	if r.Link != "" {
		link, err := netlink.LinkByName(r.Link)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", r.Link, err)
		}
		k.LinkIndex = link.Attrs().Index
	}
	if r.Via.IsValid() {
		k.Gw = r.Via.AsSlice()
		k.Flags = int(netlink.FLAG_ONLINK) // a provider's gateway may lie outside of the network it gave
	} else if r.Link != "" && r.To.Addr().Is4() {
		k.Scope = netlink.SCOPE_LINK
	}
	if r.Source.IsValid() {
		k.Src = r.Source.AsSlice()
	}
	return k, nil
}

// routes returns what stands in the main table and in ours.
func routes(names map[int]string) (all []netplan.Route, err error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	for _, fam := range []int{unix.AF_INET, unix.AF_INET6} {
		found, err := netlink.RouteListFiltered(fam, filter, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			if r.Table == unix.RT_TABLE_LOCAL || r.Dst != nil && r.Dst.IP.IsMulticast() {
				continue
			}
			all = append(all, fromKernel(r, fam, names))
		}
	}
	return all, nil
}

func fromKernel(k netlink.Route, fam int, names map[int]string) netplan.Route {
	r := netplan.Route{
		To: prefixOf(k.Dst, fam), Via: addrOf(k.Gw), Link: names[k.LinkIndex], Metric: k.Priority, Table: k.Table,
		Source: addrOf(k.Src), Kind: netcfg.Unicast, Ours: k.Protocol == netplan.Protocol,
		Kernel: k.Protocol == unix.RTPROT_KERNEL || k.Protocol == unix.RTPROT_RA,
	}
	switch k.Type {
	case unix.RTN_BLACKHOLE:
		r.Kind, r.Link = netcfg.Blackhole, "" // for IPv6 the kernel names the loopback
	case unix.RTN_UNREACHABLE:
		r.Kind, r.Link = netcfg.Unreachable, ""
	}
	return r
}

func changeRule(s netplan.Step) error {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table, r.Protocol = unix.AF_INET, s.Rule.Priority, s.Rule.Table, netplan.Protocol
	if s.Rule.V6 {
		r.Family = unix.AF_INET6
	}
	if s.Rule.From.IsValid() {
		from, err := s.Rule.From.Prefix(s.Rule.From.BitLen())
		if err != nil {
			return err
		}
		r.Src = ipNet(from)
	}
	if s.Rule.Mark != 0 {
		mask := netcfg.MarkUplinkMask
		r.Mark, r.Mask = s.Rule.Mark, &mask
	}
	if s.Rule.NoDefaultOf {
		r.SuppressPrefixlen = 0
	}
	if s.Act == netplan.RemoveRule {
		return netlink.RuleDel(r)
	}
	return netlink.RuleAdd(r)
}

// The kernel has these from the start: the local table, the main one, and the default one.
const (
	ruleLocal   = 0
	ruleMain    = 32766
	ruleDefault = 32767
)

func rules() (all []netplan.Rule, err error) {
	for _, fam := range []int{unix.AF_INET, unix.AF_INET6} {
		found, err := netlink.RuleList(fam)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			priority := max(r.Priority, ruleLocal) // the library has -1 where the kernel says nothing
			if priority == ruleLocal || priority == ruleMain || priority == ruleDefault {
				continue
			}
			rule := netplan.Rule{Priority: priority, V6: fam == unix.AF_INET6, Mark: r.Mark, Table: r.Table, NoDefaultOf: r.SuppressPrefixlen == 0}
			if r.Src != nil {
				rule.From = addrOf(r.Src.IP)
			}
			all = append(all, rule)
		}
	}
	return all, nil
}
