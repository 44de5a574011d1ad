package turn

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/media/stun"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// Bounds of an allocation.
const (
	defaultLifetime = 10 * time.Minute // RFC 8656 §7.2
	longestLifetime = time.Hour
	permissionTime  = 5 * time.Minute  // RFC 8656 §9
	channelTime     = 10 * time.Minute // RFC 8656 §12
	maxPermissions  = 32               // the candidates of a party
	maxChannels     = 16
	firstChannel    = 0x4000 // RFC 8656 §12
	lastChannel     = 0x7ffe // RFC 8656 §12, not followed: it ends at 0x4fff, which older clients do not know
	packetSize      = 2048
	dataRoom        = 64 // head and address around what a peer sent
)

// client is where a client is: its address, and the one of ours that it sends to.
type client struct {
	from  netip.AddrPort
	local netip.Addr
	fd    int // of the socket that it came to
}

// allocation is a port that relays for one client. Its owner's lock guards all but conn.
type allocation struct {
	server      *Server
	client      client
	user        string
	conn        *net.UDPConn
	relayed     netip.AddrPort
	expires     time.Time
	id          stun.TransactionID // that made it: its request may come again
	permissions map[netip.Addr]time.Time
	channels    map[uint16]*channel
	numbers     map[netip.AddrPort]uint16
}

type channel struct {
	peer    netip.AddrPort
	expires time.Time
}

// openRelay opens a port of the range, an even one if it must be, on the address that the client came to.
func openRelay(local netip.Addr, first, last uint16, even bool) (*net.UDPConn, netip.AddrPort, error) {
	var err error
	span := int(last) - int(first) + 1
	for range maxTries {
		port := first + uint16(rand.IntN(span))
		if even && port%2 != 0 && port > first {
			port--
		}
		at := netip.AddrPortFrom(local, port)
		var conn *net.UDPConn
		if conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err == nil {
			return conn, at, nil
		}
	}
	return nil, netip.AddrPort{}, errors.Join(errors.New("no port is free for a relay"), err)
}

// maxTries is how many ports are tried: calls have some of the range.
const maxTries = 32

// run passes what peers send to the client, until the allocation ends.
func (a *allocation) run() {
	buf := make([]byte, packetSize)
	out := make([]byte, 0, packetSize+dataRoom)
	for {
		n, from, err := a.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error of what went to a peer
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if out = a.wrap(out, buf[:n], from); out != nil {
			to := udpio.SockaddrOf(a.client.from)
			_ = udpio.Send(a.client.fd, out, &to, a.client.local) // lost, as on the way
		}
		out = out[:0]
	}
}

// wrap makes what a peer sent a message for the client, or nothing if the peer may not send
// (RFC 8656 §11.3, §12.7).
func (a *allocation) wrap(out, p []byte, from netip.AddrPort) []byte {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	now := a.server.cfg.Now()
	if !a.permittedLocked(from, now) {
		return nil
	}
	if n, ok := a.numbers[from]; ok && now.Before(a.channels[n].expires) {
		out = binary.BigEndian.AppendUint16(out[:0], n)
		out = binary.BigEndian.AppendUint16(out, uint16(len(p)))
		return append(out, p...)
	}
	var id stun.TransactionID
	a.server.random(id[:])
	w := stun.New(out, stun.Data|stun.Indication, id)
	w.AddXORAddress(stun.AttrXORPeerAddress, from)
	w.Add(stun.AttrData, p)
	return w.Message()
}

func (a *allocation) permittedLocked(peer netip.AddrPort, now time.Time) bool {
	return now.Before(a.permissions[peer.Addr()]) && a.server.cfg.Peers.Open(peer)
}

// permitLocked lets an address send and be sent to. It reports false when there are too many.
func (a *allocation) permitLocked(addr netip.Addr, now time.Time) bool {
	if _, known := a.permissions[addr]; !known && len(a.permissions) >= maxPermissions {
		for old, until := range a.permissions {
			if !now.Before(until) {
				delete(a.permissions, old)
			}
		}
		if len(a.permissions) >= maxPermissions {
			return false
		}
	}
	a.permissions[addr] = now.Add(permissionTime)
	return true
}

// bindLocked gives a peer a channel (RFC 8656 §12.2). It reports false if either is another's.
func (a *allocation) bindLocked(number uint16, peer netip.AddrPort, now time.Time) bool {
	if have, ok := a.numbers[peer]; ok && have != number {
		return false
	}
	if have := a.channels[number]; have != nil && have.peer != peer {
		return false
	}
	if a.channels[number] == nil && len(a.channels) >= maxChannels {
		return false
	}
	a.channels[number] = &channel{peer: peer, expires: now.Add(channelTime)}
	a.numbers[peer] = number
	return a.permitLocked(peer.Addr(), now)
}

// send passes what the client sent to a peer that has a permission.
func (a *allocation) sendLocked(peer netip.AddrPort, p []byte, now time.Time) {
	if a.permittedLocked(peer, now) {
		_, _ = a.conn.WriteToUDPAddrPort(p, peer) // lost, as on the way
	}
}
