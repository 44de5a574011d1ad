package udpio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Buffer sizes in bytes of the kernel's accounting, which counts about 770 bytes for a small
// datagram (its skb and the room reserved for headers).
const (
	SignallingBuffer = 4 << 20   // 5,000 requests: half a second of the highest rate we saw
	MediaBuffer      = 256 << 10 // 300 packets: 3 s of a call while mediad is started again, or a video key frame
)

// DSCP values (RFC 4594 §4).
const (
	DSCPVoice     uint8 = 46 // EF, RFC 3246
	DSCPVideo     uint8 = 34 // AF41, RFC 2597
	DSCPSignaling uint8 = 24 // CS3; RFC 4594 §4.2 has CS5, but phones and switches in the field use CS3
)

// Options of a socket.
type Options struct {
	Reuse         bool  // SO_REUSEPORT: several sockets share the address
	ReceiveBuffer int   // bytes; 0 leaves the kernel's default
	SendBuffer    int   // bytes; 0 leaves the kernel's default
	DSCP          uint8 // of what is sent; 0 leaves best effort
	PacketInfo    bool  // tell the local address of each datagram (Batch.To)
}

// Open binds a non-blocking UDP socket to local.
func Open(local netip.AddrPort, o Options) (fd int, err error) {
	name := SockaddrOf(local)
	if !name.Valid() {
		return -1, fmt.Errorf("open UDP socket: no address in %q", local)
	}
	fd, err = unix.Socket(int(name.raw.Family), unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return -1, fmt.Errorf("open UDP socket: %w", err)
	}
	if err = apply(fd, name.raw.Family == unix.AF_INET6, o); err == nil {
		err = bind(fd, &name)
	}
	if err != nil {
		return -1, fmt.Errorf("open UDP socket on %s: %w", local, errors.Join(err, unix.Close(fd)))
	}
	return fd, nil
}

func apply(fd int, six bool, o Options) error {
	var errs []error
	set := func(level, option, value int) {
		errs = append(errs, unix.SetsockoptInt(fd, level, option, value))
	}
	if six {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if o.Reuse {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if o.PacketInfo && six {
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	if o.PacketInfo && !six {
		set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	errs = append(errs, setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, o.ReceiveBuffer),
		setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, o.SendBuffer))
	if o.DSCP != 0 {
		errs = append(errs, SetDSCP(fd, o.DSCP))
	}
	return errors.Join(errs...)
}

func bind(fd int, local *Sockaddr) error {
	_, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(local)), uintptr(local.size()))
	if errno != 0 {
		return errno
	}
	return nil
}

// setBuffer asks beyond net.core.rmem_max first, which needs CAP_NET_ADMIN, and else for what the
// kernel grants.
func setBuffer(fd, force, option, size int) error {
	if size == 0 || unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size)
}

// SetDSCP marks what fd sends from now on (RFC 2474 §3).
func SetDSCP(fd int, dscp uint8) error {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	if family == unix.AF_INET6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(dscp)<<2)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, int(dscp)<<2)
}

// Connect makes peer the only one that fd hears and where it sends. The kernel then also keeps the
// route and finds the socket at once, which makes both ways cheaper.
func Connect(fd int, peer *Sockaddr) error { return connect(fd, peer, peer.size()) }

// Disconnect undoes Connect. The local address and port stay if they were named when the socket was
// opened; a port that the kernel chose is lost.
func Disconnect(fd int) error {
	return connect(fd, new(Sockaddr), unix.SizeofSockaddrInet4) // AF_UNSPEC, see connect(2)
}

func connect(fd int, peer *Sockaddr, size uint32) error {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(peer)), uintptr(size))
	if errno != 0 {
		return fmt.Errorf("connect UDP socket: %w", errno)
	}
	return nil
}

// Adopt takes over a descriptor that another process opened, if it is a bound UDP socket, and
// returns its local address. The caller keeps the descriptor in any case.
func Adopt(fd int) (netip.AddrPort, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("adopt descriptor %d: %w", fd, err)
	}
	if kind != unix.IPPROTO_UDP {
		return netip.AddrPort{}, fmt.Errorf("adopt descriptor %d: not a UDP socket", fd)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return netip.AddrPort{}, fmt.Errorf("adopt descriptor %d: %w", fd, err)
	}
	return Local(fd)
}

// Local returns the address that fd is bound to.
func Local(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address of descriptor %d: %w", fd, err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		s := Sockaddr{raw: unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: sa.Addr, Port: swap16(uint16(sa.Port)), Scope_id: sa.ZoneId}}
		return s.AddrPort(), nil
	}
	return netip.AddrPort{}, fmt.Errorf("address of descriptor %d: not of IP", fd)
}

// Conn gives the socket fd to package net, so that Go's poller waits for it. It takes fd over.
func Conn(fd int) (*net.UDPConn, error) {
	f := os.NewFile(uintptr(fd), "udp")
	defer f.Close() // package net works on a copy
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("socket of descriptor %d: %w", fd, err)
	}
	udp, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("socket of descriptor %d: not UDP", fd), c.Close())
	}
	return udp, nil
}

// Peer returns the address that fd is connected to, and false if it is not.
func Peer(fd int) (peer Sockaddr, ok bool) {
	size := uint32(sockaddrSize)
	_, _, errno := unix.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(&peer)), uintptr(unsafe.Pointer(&size)))
	return peer, errno == 0
}
