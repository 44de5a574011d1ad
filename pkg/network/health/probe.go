package health

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

// What a check finds, in words for people.
var (
	errNoCarrier = errors.New("the link has no carrier")
	errNoGateway = errors.New("the link has no gateway yet")
	errNoAnswer  = errors.New("no answer")
)

// Check asks once by a link, whatever the routes say.
func Check(ctx context.Context, link string, method netcfg.CheckMethod, target netip.AddrPort) error {
	if err := carrier(link); err != nil || method == netcfg.CheckLink {
		return err
	}
	if !target.Addr().IsValid() {
		return errNoGateway
	}
	switch method {
	case netcfg.CheckTCP:
		return tcp(ctx, link, target)
	case netcfg.CheckARP:
		return neighbour(ctx, link, target.Addr())
	case netcfg.CheckPing, netcfg.CheckLink:
	}
	return ping(ctx, link, target.Addr())
}

func carrier(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if link.Attrs().RawFlags&unix.IFF_LOWER_UP == 0 || link.Attrs().Flags&net.FlagUp == 0 {
		return errNoCarrier
	}
	return nil
}

// through binds a socket to a link.
func through(link string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		ctlErr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), link) })
		return errors.Join(ctlErr, err)
	}
}

// tcp connects. A refusal is an answer too.
func tcp(ctx context.Context, link string, target netip.AddrPort) error {
	c, err := (&net.Dialer{Control: through(link)}).DialContext(ctx, "tcp", target.String())
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w", target, errNoAnswer)
	}
	return c.Close()
}

// ICMP echo, RFC 792 and RFC 4443 §4.1: type, code, checksum, identifier, sequence, and what comes back.
const (
	echo4, reply4 = 8, 0
	echo6, reply6 = 128, 129
	echoLength    = 24
)

// ping sends an echo request and waits for its reply.
func ping(ctx context.Context, link string, target netip.Addr) (err error) {
	network, request, reply := "ip4:icmp", byte(echo4), byte(reply4)
	if target.Is6() {
		network, request, reply = "ip6:ipv6-icmp", echo6, reply6
	}
	c, err := (&net.ListenConfig{Control: through(link)}).ListenPacket(ctx, network, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	packet := make([]byte, echoLength)
	packet[0] = request
	if _, err := rand.Read(packet[4:]); err != nil { // identifier, sequence and data: nobody guesses them
		return err
	}
	if target.Is4() { // for IPv6 the kernel does it
		binary.BigEndian.PutUint16(packet[2:], checksum(packet))
	}
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // the socket is closed anyway
	defer stop()
	if _, err := c.WriteTo(packet, &net.IPAddr{IP: target.AsSlice()}); err != nil {
		return fmt.Errorf("ping %s: %w", target, err)
	}
	return awaitReply(c, packet, reply, target)
}

func awaitReply(c net.PacketConn, request []byte, reply byte, target netip.Addr) error {
	buf := make([]byte, 2048)
	for {
		n, _, err := c.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("ping %s: %w", target, errNoAnswer)
		}
		if err != nil {
			return err
		}
		if n == echoLength && buf[0] == reply && string(buf[4:n]) == string(request[4:]) {
			return nil
		}
	}
}

// checksum is that of RFC 1071 §1.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// neighbourLook is how often the answer of a neighbour is looked for.
const neighbourLook = 50 * time.Millisecond

// neighbour lets the kernel ask for the link-layer address of a neighbour: by ARP or, for IPv6,
// neighbour solicitation.
func neighbour(ctx context.Context, name string, target netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	fam := unix.AF_INET
	if target.Is6() {
		fam = unix.AF_INET6
	}
	ask := &netlink.Neigh{LinkIndex: link.Attrs().Index, Family: fam, IP: target.AsSlice(), State: netlink.NUD_NONE, Flags: netlink.NTF_USE}
	_ = netlink.NeighDel(&netlink.Neigh{LinkIndex: ask.LinkIndex, Family: fam, IP: ask.IP}) // an old answer is none; there may be no entry
	if err := netlink.NeighSet(ask); err != nil {
		return fmt.Errorf("ask for neighbour %s: %w", target, err)
	}
	ticker := time.NewTicker(neighbourLook)
	defer ticker.Stop()
	for {
		found, err := netlink.NeighList(ask.LinkIndex, fam)
		if err != nil {
			return err
		}
		for _, n := range found {
			if n.IP.Equal(ask.IP) && n.State&(netlink.NUD_REACHABLE|netlink.NUD_PERMANENT|netlink.NUD_STALE|netlink.NUD_DELAY) != 0 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("ask for neighbour %s: %w", target, errNoAnswer)
		case <-ticker.C:
		}
	}
}
