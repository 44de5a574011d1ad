package udpio

import (
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockaddr is an address and a port as the kernel writes them. The zero value is none.
type Sockaddr struct {
	// The IPv6 form is the longer one; an IPv4 address uses its first 16 bytes.
	raw unix.RawSockaddrInet6
}

// sockaddrSize is the room for either form.
const sockaddrSize = unix.SizeofSockaddrInet6

// SockaddrOf returns the kernel's form of ap.
func SockaddrOf(ap netip.AddrPort) (s Sockaddr) {
	s.Set(ap)
	return s
}

// Set makes s the kernel's form of ap; an invalid ap makes it none. A zone is the name or the
// number of an interface (RFC 4007 §11.2).
func (s *Sockaddr) Set(ap netip.AddrPort) {
	s.raw = unix.RawSockaddrInet6{}
	addr := ap.Addr()
	switch {
	case addr.Is4() || addr.Is4In6():
		four := s.four()
		four.Family, four.Port, four.Addr = unix.AF_INET, swap16(ap.Port()), addr.As4()
	case addr.Is6():
		s.raw.Family, s.raw.Port, s.raw.Addr = unix.AF_INET6, swap16(ap.Port()), addr.As16()
		s.raw.Scope_id = zoneIndex(addr.Zone())
	}
}

// AddrPort returns what s holds. A zone comes as the interface's number.
func (s *Sockaddr) AddrPort() netip.AddrPort {
	return netip.AddrPortFrom(s.Addr(), swap16(s.raw.Port))
}

// Addr returns the address of s without the port.
func (s *Sockaddr) Addr() netip.Addr {
	switch s.raw.Family {
	case unix.AF_INET:
		return netip.AddrFrom4(s.four().Addr)
	case unix.AF_INET6:
		addr := netip.AddrFrom16(s.raw.Addr).Unmap()
		if s.raw.Scope_id != 0 {
			return addr.WithZone(strconv.FormatUint(uint64(s.raw.Scope_id), 10))
		}
		return addr
	}
	return netip.Addr{}
}

// Valid reports whether s holds an address.
func (s *Sockaddr) Valid() bool { return s.raw.Family != 0 }

// Equal reports whether both hold the same address, zone and port.
func (s *Sockaddr) Equal(o *Sockaddr) bool { return s.EqualAddr(o) && s.raw.Port == o.raw.Port }

// EqualAddr reports whether both hold the same address and zone, whatever the ports.
func (s *Sockaddr) EqualAddr(o *Sockaddr) bool {
	switch {
	case s.raw.Family != o.raw.Family:
		return false
	case s.raw.Family == unix.AF_INET:
		return s.four().Addr == o.four().Addr
	}
	return s.raw.Addr == o.raw.Addr && s.raw.Scope_id == o.raw.Scope_id
}

func (s *Sockaddr) four() *unix.RawSockaddrInet4 {
	return (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
}

// size is the length that the kernel wants with this form.
func (s *Sockaddr) size() uint32 {
	switch s.raw.Family {
	case unix.AF_INET:
		return unix.SizeofSockaddrInet4
	case unix.AF_INET6:
		return unix.SizeofSockaddrInet6
	}
	return 0
}

// swap16 turns a port into network order and back; all our machines are little-endian.
func swap16(v uint16) uint16 { return v<<8 | v>>8 }

func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0 // the kernel refuses a link-local address without a zone: the send says so
	}
	return uint32(ifi.Index)
}
