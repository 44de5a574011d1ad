package netcfg

import "slices"

// Box stands for the box itself where a rule names a zone.
const Box = "box"

// ZoneKind gives a zone its defaults.
type ZoneKind string

// The kinds of zones.
const (
	Management ZoneKind = "management" // admins
	Voice      ZoneKind = "voice"      // phones
	Guest      ZoneKind = "guest"      // strangers inside
	Outside    ZoneKind = "uplink"     // the provider or the Internet
	Custom     ZoneKind = "custom"     // nothing but what is said
)

// Service is something of the box that a zone may reach.
type Service string

// The services. What they listen on is told by the daemons that offer them.
const (
	ServePage      Service = "page"           // HTTPS page and API
	ServeSIP       Service = "sip"            // SIP over UDP, TCP, TLS and WebSocket
	ServeMedia     Service = "media"          // RTP and what comes with it
	ServeProvision Service = "provision"      // settings of phones over HTTPS
	ServePlainProv Service = "provision-http" // the same over HTTP, where others on the network can read them; in no zone by default
	ServeDHCP      Service = "dhcp"
	ServeDNS       Service = "dns"
	ServeNTP       Service = "ntp"
	ServeMDNS      Service = "mdns"
	ServePing      Service = "ping"
	ServeWireGuard Service = "wireguard"
)

// Services returns all that there are.
func Services() []Service {
	return []Service{
		ServePage, ServeSIP, ServeMedia, ServeProvision, ServePlainProv, ServeDHCP, ServeDNS, ServeNTP, ServeMDNS, ServePing, ServeWireGuard,
	}
}

// Zone is a part of the network with one level of trust. What no rule allows is dropped.
type Zone struct {
	Name      string    `json:"name"`
	Kind      ZoneKind  `json:"kind,omitempty"`      // default custom
	Services  []Service `json:"services,omitzero"`   // of the box that it may reach; default by kind
	Reaches   []string  `json:"reaches,omitempty"`   // zones that its hosts may open connections to
	TrustDSCP bool      `json:"trustDSCP,omitempty"` // marks of its packets are kept; default: made by us, RFC 2474
	Isolated  bool      `json:"isolated,omitempty"`  // its links do not reach each other
}

// KindOr returns the kind of the zone.
func (z Zone) KindOr() ZoneKind { return or(z.Kind, Custom) }

// ServicesOr returns what the zone may reach of the box.
func (z Zone) ServicesOr() []Service {
	if z.Services != nil {
		return z.Services
	}
	switch z.KindOr() {
	case Management:
		return []Service{ServePage, ServeDHCP, ServeDNS, ServeNTP, ServeMDNS, ServePing}
	case Voice:
		return []Service{ServeSIP, ServeMedia, ServeProvision, ServeDHCP, ServeDNS, ServeNTP, ServePing}
	case Guest:
		return []Service{ServeDHCP, ServeDNS}
	case Outside:
		return []Service{ServeSIP, ServeMedia, ServeWireGuard, ServePing}
	case Custom:
	}
	return nil
}

// Offers reports whether the zone may reach a service.
func (z Zone) Offers(s Service) bool { return slices.Contains(z.ServicesOr(), s) }
