package dhcp

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Ports of RFC 2131 §4.1.
const (
	serverPort = 67
	clientPort = 68
)

// keepTaken is how long an address that somebody uses without a lease is not given away.
const keepTaken = time.Hour

// answer is what a message leads to: perhaps a reply, once a lease is on disk or the address is seen
// to be unused.
type answer struct {
	reply *dhcpv4.DHCPv4
	to    netip.AddrPort
	keep  *Lease     // on disk before the reply leaves
	probe netip.Addr // unused before the reply leaves
	taken netip.Addr // somebody uses it
}

// decide answers a message that came on the link of s, or of a relay. It changes nothing.
func (s *Subnet) decide(t *Table, m *dhcpv4.DHCPv4, now time.Time) (answer, bool) {
	h, ok := hostOfMessage(m)
	if !ok || m.OpCode != dhcpv4.OpcodeBootRequest {
		return answer{}, false
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return s.discover(t, m, h, now)
	case dhcpv4.MessageTypeRequest:
		return s.request(t, m, h, now)
	case dhcpv4.MessageTypeDecline:
		return s.decline(t, m, h)
	case dhcpv4.MessageTypeRelease:
		return s.release(t, m, h, now)
	case dhcpv4.MessageTypeInform:
		return s.inform(m, h)
	}
	return answer{}, false
}

func (s *Subnet) discover(t *Table, m *dhcpv4.DHCPv4, h host, now time.Time) (answer, bool) {
	a, ok := s.choose(t, h.client, h.mac, toAddr(m.RequestedIPAddress()), now)
	if !ok {
		return answer{}, false
	}
	ans, ok := s.reply(m, h, dhcpv4.MessageTypeOffer, a)
	if l, had := t.of(s.Zone, h.client); !had || l.Addr != a || !now.Before(l.Expires) {
		ans.probe = a // RFC 2131 §2.2: an address is probed before it is given anew
	}
	return ans, ok
}

// request is the table of RFC 2131 §4.3.2, by what the message says of the state of its sender.
func (s *Subnet) request(t *Table, m *dhcpv4.DHCPv4, h host, now time.Time) (answer, bool) {
	asked, current := toAddr(m.RequestedIPAddress()), toAddr(m.ClientIPAddr)
	server := toAddr(m.ServerIdentifier())
	switch {
	case server.IsValid() && server != s.Server: // SELECTING, and another server was chosen
		return answer{}, false
	case server.IsValid():
	case current.IsValid(): // RENEWING or REBINDING
		asked = current
	case asked.IsValid(): // INIT-REBOOT
		if !s.Prefix.Contains(asked) {
			return s.refuse(m, h, "wrong network")
		}
		if _, known := t.of(s.Zone, h.client); !known {
			return answer{}, false // RFC 2131 §4.3.2: no record of it, so silence
		}
	}
	if !asked.IsValid() || !s.mayHave(t, h, asked, now) {
		return s.refuse(m, h, "address not available")
	}
	ans, ok := s.reply(m, h, dhcpv4.MessageTypeAck, asked)
	ans.keep = &Lease{
		Zone: s.Zone, Addr: asked, Client: h.client, MAC: h.mac, Name: h.name, Class: h.class, Vendor: h.vendor.name,
		Begun: now.UTC(), Expires: now.Add(s.lease()).UTC(),
	}
	if r, reserved := s.reservedFor(h.mac); reserved && r.Name != "" {
		ans.keep.Name = label(r.Name)
	}
	if l, had := t.of(s.Zone, h.client); had && l.Addr == asked && now.Before(l.Expires) {
		ans.keep.Begun = l.Begun
	}
	return ans, ok
}

// mayHave reports whether the host may have the address that it asks for.
func (s *Subnet) mayHave(t *Table, h host, a netip.Addr, now time.Time) bool {
	if r, ok := s.reservedFor(h.mac); ok {
		return r.Addr == a && t.free(a, h.client, now)
	}
	return s.grants(t, a, h.client, now)
}

// decline believes a host that says its address is in use, if the address is its own.
func (s *Subnet) decline(t *Table, m *dhcpv4.DHCPv4, h host) (answer, bool) {
	a := toAddr(m.RequestedIPAddress())
	l, ok := t.of(s.Zone, h.client)
	if !ok || l.Addr != a || toAddr(m.ServerIdentifier()) != s.Server {
		return answer{}, false
	}
	l.Expires = l.Begun
	return answer{taken: a, keep: &l}, true
}

func (s *Subnet) release(t *Table, m *dhcpv4.DHCPv4, h host, now time.Time) (answer, bool) {
	l, ok := t.of(s.Zone, h.client)
	if !ok || l.Addr != toAddr(m.ClientIPAddr) || !now.Before(l.Expires) || toAddr(m.ServerIdentifier()) != s.Server {
		return answer{}, false
	}
	l.Expires = now.UTC()
	return answer{keep: &l}, true
}

// inform tells a host that has an address already (RFC 2131 §4.3.5): without lease times or address.
func (s *Subnet) inform(m *dhcpv4.DHCPv4, h host) (answer, bool) {
	a := toAddr(m.ClientIPAddr)
	if !s.Prefix.Contains(a) { // the answer would go to a stranger
		return answer{}, false
	}
	reply, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(dhcpv4.MessageTypeAck))
	if err != nil {
		return answer{}, false
	}
	s.configure(reply, m, h)
	return answer{reply: reply, to: s.destination(m)}, true
}

func (s *Subnet) reply(m *dhcpv4.DHCPv4, h host, kind dhcpv4.MessageType, a netip.Addr) (answer, bool) {
	reply, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(a.AsSlice()))
	if err != nil {
		return answer{}, false
	}
	reply.ServerIPAddr = s.Server.AsSlice()
	s.configure(reply, m, h)
	times(reply, s.lease())
	return answer{reply: reply, to: s.destination(m)}, true
}

func (s *Subnet) refuse(m *dhcpv4.DHCPv4, h host, why string) (answer, bool) {
	reply, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak), dhcpv4.WithOption(dhcpv4.OptMessage(why)))
	if err != nil {
		return answer{}, false
	}
	reply.UpdateOption(dhcpv4.OptServerIdentifier(s.Server.AsSlice()))
	ans := answer{reply: reply, to: netip.AddrPortFrom(broadcastAll(), clientPort)}
	if relay := toAddr(m.GatewayIPAddr); relay.IsValid() {
		reply.SetBroadcast() // RFC 2131 §4.3.2: the host's own address is wrong
		ans.to = netip.AddrPortFrom(relay, serverPort)
	}
	return ans, true
}

// destination is where a reply goes (RFC 2131 §4.1). A host without an address gets a broadcast also
// when it could take a unicast: that needs no entry for it in the table of neighbours.
func (s *Subnet) destination(m *dhcpv4.DHCPv4) netip.AddrPort {
	if relay := toAddr(m.GatewayIPAddr); relay.IsValid() {
		return netip.AddrPortFrom(relay, serverPort)
	}
	if a := toAddr(m.ClientIPAddr); a.IsValid() && s.Prefix.Contains(a) {
		return netip.AddrPortFrom(a, clientPort)
	}
	return netip.AddrPortFrom(broadcastAll(), clientPort)
}

// behind reports whether this is the subnet behind a relay agent.
func (s *Subnet) behind(relay netip.Addr) bool { return s.Relay.IsValid() && s.Relay == relay }

func broadcastAll() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// toAddr returns an address that is given; 0.0.0.0 says that there is none.
func toAddr(ip []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	if a = a.Unmap(); !ok || !a.Is4() || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}
