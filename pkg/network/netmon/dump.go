package netmon

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// dump asks the kernel for all links and addresses.
func dump() ([]ctl.Link, error) {
	found, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	links := make([]ctl.Link, 0, len(found))
	for _, l := range found {
		links = append(links, convert(l, addrs))
	}
	slices.SortFunc(links, func(a, b ctl.Link) int { return cmp.Compare(a.Index, b.Index) })
	return links, nil
}

func convert(l netlink.Link, addrs []netlink.Addr) ctl.Link {
	attrs := l.Attrs()
	link := ctl.Link{
		Name:     attrs.Name,
		Index:    attrs.Index,
		MAC:      attrs.HardwareAddr.String(),
		MTU:      attrs.MTU,
		Up:       attrs.Flags&net.FlagUp != 0,
		Carrier:  attrs.RawFlags&unix.IFF_LOWER_UP != 0,
		Loopback: attrs.Flags&net.FlagLoopback != 0,
	}
	if kind := l.Type(); kind != "device" { // which is the library's word for hardware
		link.Kind = kind
	}
	for _, a := range addrs {
		if p, ok := prefix(a); ok && a.LinkIndex == attrs.Index {
			link.Addresses = append(link.Addresses, p)
		}
	}
	slices.SortFunc(link.Addresses, netip.Prefix.Compare)
	return link
}

// prefix returns an address that can be bound. One that the kernel still checks for duplicates
// (RFC 4862 §5.4) cannot; the kernel tells when the check is over.
func prefix(a netlink.Addr) (netip.Prefix, bool) {
	checking := a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC) == unix.IFA_F_TENTATIVE
	if a.IPNet == nil || checking || a.Flags&unix.IFA_F_DADFAILED != 0 {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	bits, _ := a.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits), ok
}
