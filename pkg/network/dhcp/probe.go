package dhcp

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/network/onlink"
)

const (
	etherARP  = 0x0806
	probeTime = 500 * time.Millisecond // a host on the link answers within a few milliseconds
)

// arpProbe asks the link whether anybody has the address, as RFC 5227 §2.1.1 does, without telling
// an address of its own.
func arpProbe(ctx context.Context, iface string, a netip.Addr) (used bool) {
	nic, err := net.InterfaceByName(iface)
	if err != nil || len(nic.HardwareAddr) != 6 {
		return false
	}
	f, err := onlink.Packet(iface, etherARP, nil)
	if err != nil {
		return false // it is offered unprobed: the host probes, too (RFC 2131 §4.4.1)
	}
	defer onlink.CloseWith(ctx, f)()
	if _, err := f.Write(arpRequest(nic.HardwareAddr, a)); err != nil {
		return false
	}
	if err := f.SetReadDeadline(time.Now().Add(probeTime)); err != nil {
		return false
	}
	for buf := make([]byte, 128); ; {
		n, err := f.Read(buf)
		if err != nil {
			return false
		}
		if sender, ok := arpSender(buf[:n]); ok && sender == a {
			return true
		}
	}
}

// arpRequest is a probe (RFC 826): the sender's protocol address is all zero.
func arpRequest(own net.HardwareAddr, a netip.Addr) []byte {
	b := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	b = append(b, own...)
	b = binary.BigEndian.AppendUint16(b, etherARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, their lengths, request
	b = append(b, own...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	return append(b, a.AsSlice()...)
}

// arpSender returns the protocol address of who sent an ARP frame.
func arpSender(frame []byte) (netip.Addr, bool) {
	const header, least = 14, 14 + 28
	if len(frame) < least || binary.BigEndian.Uint16(frame[12:]) != etherARP || frame[header+4] != 6 || frame[header+5] != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(frame[header+14 : header+18])
}
