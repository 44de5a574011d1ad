// Package onlink opens sockets that hear and speak on one link only, and keeps what uses them going.
package onlink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// retryAfter is how long Keep waits: a link that has just come needs a moment for its addresses.
const retryAfter = 2 * time.Second

const msgRetry = "service of a link failed, trying again"

// Keep calls run again, after a wait, for as long as it fails, and returns when ctx ends.
func Keep(ctx context.Context, log *slog.Logger, iface string, run func(ctx context.Context) error) {
	for ctx.Err() == nil {
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		log.Warn(msgRetry, "iface", iface, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// CloseWith closes c when ctx ends. The function it returns closes c at once.
func CloseWith(ctx context.Context, c interface{ Close() error }) (closeNow func()) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // its reader tells what was wrong
	return func() {
		if stop() {
			_ = c.Close()
		}
	}
}

// ListenUDP opens a UDP socket of one link. Others on other links may have the same port, and
// broadcasts may be sent.
func ListenUDP(ctx context.Context, iface string, at netip.AddrPort) (*net.UDPConn, error) {
	lc := boundTo(iface)
	c, err := lc.ListenPacket(ctx, "udp"+family(at), at.String())
	if err != nil {
		return nil, fmt.Errorf("listen at %s on %s: %w", at, iface, err)
	}
	return c.(*net.UDPConn), nil
}

// ListenTCP opens a TCP listener of one link.
func ListenTCP(ctx context.Context, iface string, at netip.AddrPort) (net.Listener, error) {
	lc := boundTo(iface)
	l, err := lc.Listen(ctx, "tcp"+family(at), at.String())
	if err != nil {
		return nil, fmt.Errorf("listen at %s on %s: %w", at, iface, err)
	}
	return l, nil
}

// ListenICMPv6 opens a raw socket for ICMPv6 of one link.
func ListenICMPv6(ctx context.Context, iface string) (net.PacketConn, error) {
	lc := boundTo(iface)
	c, err := lc.ListenPacket(ctx, "ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, fmt.Errorf("listen for ICMPv6 on %s: %w", iface, err)
	}
	return c, nil
}

// ListenICMP opens a raw socket for ICMP of one link.
func ListenICMP(ctx context.Context, iface string) (net.PacketConn, error) {
	lc := boundTo(iface)
	c, err := lc.ListenPacket(ctx, "ip4:icmp", "0.0.0.0")
	if err != nil {
		return nil, fmt.Errorf("listen for ICMP on %s: %w", iface, err)
	}
	return c, nil
}

func boundTo(iface string) net.ListenConfig {
	return net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var optErr error
		err := c.Control(func(fd uintptr) { optErr = bindTo(int(fd), iface) })
		return errors.Join(err, optErr)
	}}
}

func family(at netip.AddrPort) string {
	if at.Addr().Is6() {
		return "6"
	}
	return "4"
}

// bindTo is made before the address is bound, so that the same address may be bound on each link.
func bindTo(fd int, iface string) error {
	if iface == "" {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
		unix.BindToDevice(fd, iface),
	)
}

// Packet opens a socket for whole Ethernet frames of one type on a link; etherType 0 opens one
// that only sends. The filter decides in the kernel what is heard; nil is all of the type.
func Packet(iface string, etherType uint16, filter []unix.SockFilter) (*os.File, error) {
	link, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", iface, err)
	}
	// Protocol 0 hears nothing before the filter is there (packet(7)).
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket of %s: %w", iface, err)
	}
	if len(filter) > 0 {
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: NetOrder(etherType), Ifindex: link.Index})
	}
	if err != nil {
		_ = unix.Close(fd) // the first error tells more
		return nil, fmt.Errorf("packet socket of %s: %w", iface, err)
	}
	return os.NewFile(uintptr(fd), "packet:"+iface), nil
}

// Join lets a packet socket hear frames to a multicast address.
func Join(f *os.File, iface string, group net.HardwareAddr) error {
	link, err := net.InterfaceByName(iface)
	if err != nil {
		return fmt.Errorf("link %s: %w", iface, err)
	}
	mreq := unix.PacketMreq{Ifindex: int32(link.Index), Type: unix.PACKET_MR_MULTICAST, Alen: uint16(len(group))}
	copy(mreq.Address[:], group)
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = raw.Control(func(fd uintptr) {
		optErr = unix.SetsockoptPacketMreq(int(fd), unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq)
	})
	return errors.Join(err, optErr)
}

// NetOrder returns v as the bytes of a number in network order would be read by this machine.
func NetOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// Zone returns the zone of an address of a link (RFC 4007 §11) by the link's index: the standard
// library keeps names for a minute, and a link that was made anew has the name but another index.
func Zone(index int) string { return strconv.Itoa(index) }
