package udpio

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Control messages that say which of our addresses a datagram was sent to, or is to be sent from:
// IP_PKTINFO (ip(7)) and IPV6_PKTINFO (RFC 3542 §6).
const (
	cmsgHead    = unix.SizeofCmsghdr
	controlSize = (cmsgHead + unix.SizeofInet6Pktinfo + cmsgAlign - 1) &^ (cmsgAlign - 1)
	cmsgAlign   = int(unsafe.Sizeof(uintptr(0)))
)

// parsePacketInfo reads one control message. The kernel wrote it; what does not fit is none.
func parsePacketInfo(p []byte) (to netip.Addr, ifindex int) {
	if len(p) < cmsgHead {
		return netip.Addr{}, 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&p[0]))
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(p) >= cmsgHead+unix.SizeofInet4Pktinfo:
		info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&p[cmsgHead]))
		return netip.AddrFrom4(info.Addr), int(info.Ifindex)
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(p) >= cmsgHead+unix.SizeofInet6Pktinfo:
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&p[cmsgHead]))
		return netip.AddrFrom16(info.Addr), int(info.Ifindex)
	}
	return netip.Addr{}, 0
}

// putPacketInfo writes the control message that makes from the source, and returns its length: 0 for
// none, when the kernel chooses.
func putPacketInfo(p *[controlSize]byte, from netip.Addr) int {
	if !from.IsValid() {
		return 0
	}
	*p = [controlSize]byte{}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&p[0]))
	if from.Is4() {
		h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		h.SetLen(cmsgHead + unix.SizeofInet4Pktinfo)
		(*unix.Inet4Pktinfo)(unsafe.Pointer(&p[cmsgHead])).Spec_dst = from.As4()
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	}
	h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	h.SetLen(cmsgHead + unix.SizeofInet6Pktinfo)
	info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&p[cmsgHead]))
	info.Addr, info.Ifindex = from.As16(), zoneIndex(from.Zone())
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}
