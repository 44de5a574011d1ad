package netapply

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/netplan"
)

// solicitation is a message of RFC 4861 §4.1: type, code, checksum (the kernel's work) and a reserved word.
func solicitation() []byte { return []byte{133, 0, 0, 0, 0, 0, 0, 0} }

// neighbourHops is what neighbour discovery wants, so that nothing of it comes from beyond the link.
const neighbourHops = 255 // RFC 4861 §6.1.1

// listens reports whether the settings let a link listen to advertisements from now on.
func listens(settings []netplan.Setting) bool {
	for _, s := range settings {
		if strings.HasSuffix(s.Path, "/accept_ra") && s.Value != "0" {
			return true
		}
	}
	return false
}

// solicit asks the routers of a link to advertise themselves, RFC 4861 §6.3.7. The kernel does so only
// when a link is switched on; one that is on already would wait for minutes.
func solicit(link string) (err error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		ctlErr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), link) })
		return errors.Join(ctlErr, err)
	}}
	c, err := config.ListenPacket(context.Background(), "ip6:ipv6-icmp", "::")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := ipv6.NewPacketConn(c).SetMulticastHopLimit(neighbourHops); err != nil {
		return err
	}
	_, err = c.WriteTo(solicitation(), &net.IPAddr{IP: net.IPv6linklocalallrouters, Zone: link})
	return err
}
