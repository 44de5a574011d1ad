package dhcp

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Bounds of what a host tells of itself.
const (
	maxName   = 63 // RFC 1035 §2.3.4: one label
	maxClass  = 100
	maxClient = 64 // bytes of a client identifier; longer ones are of nobody
)

// host is who asks, as its message tells.
type host struct {
	client, mac, name, class string
	vendor                   vendor
	known                    bool // of a maker that we know
}

// hostOfMessage reads who asks. The client identifier, if it sends one, is its key, else its hardware
// address (RFC 2131 §4.2).
func hostOfMessage(m *dhcpv4.DHCPv4) (h host, ok bool) {
	if len(m.ClientHWAddr) != 6 || m.HWType != 1 { // Ethernet
		return h, false
	}
	h.mac = m.ClientHWAddr.String()
	h.client = "mac:" + h.mac
	if id := m.GetOneOption(dhcpv4.OptionClientIdentifier); len(id) >= 2 { // RFC 2132 §9.14: at least two
		if len(id) > maxClient {
			return h, false
		}
		h.client = "id:" + hex.EncodeToString(id)
	}
	h.name, h.class = label(m.HostName()), printable(m.ClassIdentifier(), maxClass)
	h.vendor, h.known = vendorOf(h.class, h.mac)
	return h, true
}

// label makes a host's name one that the DNS may have: letters, digits and hyphens (RFC 1123 §2.1).
func label(name string) string {
	name, _, _ = strings.Cut(name, ".")
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == '_', r == ' ':
			return '-'
		}
		return -1
	}, name)
	return strings.Trim(name[:min(len(name), maxName)], "-")
}

func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), most)]
}

// configure adds what the subnet says to a reply: what every host needs, and of the rest what this
// one asks for or its maker is known to need (RFC 2131 §4.3.1).
func (s *Subnet) configure(reply, asked *dhcpv4.DHCPv4, h host) {
	put := func(code uint8, value []byte) {
		if len(value) > 0 {
			reply.UpdateOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(code), value))
		}
	}
	reply.UpdateOption(dhcpv4.OptServerIdentifier(s.Server.AsSlice()))
	reply.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(s.Prefix.Bits(), 32)))
	put(dhcpv4.OptionRouter.Code(), addresses(s.Routers))
	put(dhcpv4.OptionDomainNameServer.Code(), addresses(s.DNS))
	put(dhcpv4.OptionDomainName.Code(), []byte(s.Domain))
	put(dhcpv4.OptionNTPServers.Code(), addresses(s.NTP))
	if r, ok := s.reservedFor(h.mac); ok {
		put(dhcpv4.OptionHostName.Code(), []byte(r.Name))
	}
	for code, value := range s.special(h) {
		if h.known || requested(asked, code) {
			put(code, value)
		}
	}
	for _, o := range s.Extra {
		if strings.HasPrefix(strings.ToLower(h.class), strings.ToLower(o.Class)) {
			put(o.Code, o.Value)
		}
	}
	// RFC 3046 §2.2: a relay gets its own words back.
	if info := asked.GetOneOption(dhcpv4.OptionRelayAgentInformation); info != nil {
		put(dhcpv4.OptionRelayAgentInformation.Code(), info)
	}
}

// special are the options for phones.
func (s *Subnet) special(h host) map[uint8][]byte {
	opts := map[uint8][]byte{
		dhcpv4.OptionTFTPServerName.Code(): []byte(s.Provision), optSettingsURL: []byte(s.Provision),
		optTFTPAddresses: addresses(s.TFTP), dhcpv4.OptionVendorSpecificInformation.Code(): s.Vendor,
	}
	for _, code := range h.vendor.settings {
		opts[code] = []byte(s.Provision)
	}
	if s.VoiceVLAN != 0 {
		for code, value := range h.vendor.vlan(s.VoiceVLAN, s.VoicePriority) {
			opts[code] = value
		}
	}
	if h.vendor.extra != nil {
		for code, value := range h.vendor.extra(s) {
			opts[code] = value
		}
	}
	return opts
}

// requested is the library's question, without its copy of the list.
func requested(m *dhcpv4.DHCPv4, code uint8) bool {
	for _, b := range m.GetOneOption(dhcpv4.OptionParameterRequestList) {
		if b == code {
			return true
		}
	}
	return false
}

func addresses(list []netip.Addr) (b []byte) {
	for _, a := range list {
		b = append(b, a.AsSlice()...)
	}
	return b
}

// times adds how long a lease holds and when it is asked for again (RFC 2131 §4.4.5).
func times(reply *dhcpv4.DHCPv4, lease time.Duration) {
	reply.UpdateOption(dhcpv4.OptIPAddressLeaseTime(lease))
	reply.UpdateOption(dhcpv4.OptRenewTimeValue(lease / 2))
	reply.UpdateOption(dhcpv4.OptRebindingTimeValue(lease * 7 / 8))
}
