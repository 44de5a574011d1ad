package netapply

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/netplan"
)

// IFA_PROTO says who made an address (Linux 5.18). The library does not know it.
const (
	ifaProto    = 11
	protoRA     = 2 // IFAPROT_KERNEL_RA
	protoKernel = 3 // IFAPROT_KERNEL_LL
)

// changeAddr adds or removes an address. Addresses of ours bear our number, so that those of others
// on the same link stay.
func changeAddr(kind int, a netplan.Addr) error {
	link, err := netlink.LinkByName(a.Link)
	if err != nil {
		return err
	}
	flags := unix.NLM_F_ACK
	if kind == unix.RTM_NEWADDR {
		flags |= unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	req := nl.NewNetlinkRequest(kind, flags)
	msg := nl.NewIfAddrmsg(family(a.Prefix.Addr()))
	msg.Index, msg.Prefixlen = uint32(link.Attrs().Index), uint8(a.Prefix.Bits())
	req.AddData(msg)
	raw := a.Prefix.Addr().AsSlice()
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, raw))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, raw))
	if kind == unix.RTM_NEWADDR {
		req.AddData(nl.NewRtAttr(ifaProto, []byte{netplan.Protocol}))
		if a.Prefix.Addr().Is4() && a.Prefix.Bits() < 31 {
			req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(a.Prefix)))
		}
	}
	_, err = req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func broadcast(p netip.Prefix) []byte {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return b[:]
}

// addrs returns the addresses of all links.
func addrs(names map[int]string) (all []netplan.Addr, err error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	if err != nil {
		return nil, err
	}
	for _, m := range msgs {
		head := nl.DeserializeIfAddrmsg(m)
		attrs, err := nl.ParseRouteAttrAsMap(m[unix.SizeofIfAddrmsg:])
		if err != nil {
			return nil, err
		}
		raw, ok := attrs[unix.IFA_LOCAL]
		if !ok {
			raw = attrs[unix.IFA_ADDRESS]
		}
		ip, ok := netip.AddrFromSlice(raw.Value)
		if !ok {
			continue
		}
		a := netplan.Addr{Link: names[int(head.Index)], Prefix: netip.PrefixFrom(ip, int(head.Prefixlen))}
		var proto byte
		if v := attrs[ifaProto].Value; len(v) == 1 {
			proto = v[0]
		}
		a.Ours = proto == netplan.Protocol
		a.Kernel = proto == protoRA || proto == protoKernel || proto == 0 && ip.IsLinkLocalUnicast()
		all = append(all, a)
	}
	return all, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefixOf is the other way round. The library has nil for everything.
func prefixOf(n *net.IPNet, family int) netip.Prefix {
	if n == nil {
		if family == unix.AF_INET6 {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	ip, _ := netip.AddrFromSlice(n.IP)
	if family == unix.AF_INET {
		ip = ip.Unmap()
	}
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(ip, bits)
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
