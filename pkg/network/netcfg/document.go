// Package netcfg is the network document: everything an admin may want of the box's network, its
// defaults, its rules and the words for what differs between two of them. It is pure.
//
// A field that is left out has the default its comment names; the methods of a type return what
// holds then. Names of links are the kernel's; other things are referred to by their names.
package netcfg

// Document is all that is wanted of the network.
type Document struct {
	Hostname   string         `json:"hostname,omitempty"` // of the box, one label; default "sanchar"
	Domain     string         `json:"domain,omitempty"`   // local names end in it; default "lan"
	Ports      []Port         `json:"ports,omitempty"`
	Bonds      []Bond         `json:"bonds,omitempty"`
	Bridges    []Bridge       `json:"bridges,omitempty"`
	VLANs      []VLAN         `json:"vlans,omitempty"`
	WireGuard  []WireGuard    `json:"wireguard,omitempty"`
	Interfaces []Interface    `json:"interfaces,omitempty"` // addresses and zones of links
	Zones      []Zone         `json:"zones,omitempty"`
	Routes     []Route        `json:"routes,omitempty"`
	Uplinks    []Uplink       `json:"uplinks,omitempty"` // the first that is healthy carries what leaves
	NAT        NAT            `json:"nat,omitzero"`
	Firewall   Firewall       `json:"firewall,omitzero"`
	QoS        QoS            `json:"qos,omitzero"`
	DNS        DNS            `json:"dns,omitzero"`
	NTP        NTP            `json:"ntp,omitzero"`
	DHCP       []DHCPServer   `json:"dhcp,omitempty"` // servers, one per interface at most
	Advertise  []RouterAdvert `json:"advertise,omitempty"`
	LLDP       LLDP           `json:"lldp,omitzero"`
	MDNS       MDNS           `json:"mdns,omitzero"`
}

// HostnameOr returns the name of the box.
func (d Document) HostnameOr() string { return or(d.Hostname, "sanchar") }

// DomainOr returns the domain of local names.
func (d Document) DomainOr() string { return or(d.Domain, "lan") }

// Interface returns the interface on a link.
func (d Document) Interface(link string) (Interface, bool) {
	return find(d.Interfaces, func(i Interface) bool { return i.Link == link })
}

// Zone returns the zone of a name.
func (d Document) Zone(name string) (Zone, bool) {
	return find(d.Zones, func(z Zone) bool { return z.Name == name })
}

// InZone returns the links of a zone in the document's order.
func (d Document) InZone(zone string) (links []string) {
	for _, i := range d.Interfaces {
		if i.Zone == zone {
			links = append(links, i.Link)
		}
	}
	return links
}

// Serving returns the links whose zone may use a service of the box, in the document's order.
func (d Document) Serving(s Service) (links []string) {
	for _, i := range d.Interfaces {
		if z, ok := d.Zone(i.Zone); ok && z.Offers(s) {
			links = append(links, i.Link)
		}
	}
	return links
}

func find[T any](list []T, is func(T) bool) (found T, ok bool) {
	for _, v := range list {
		if is(v) {
			return v, true
		}
	}
	return found, false
}

// or returns what is set, or its default.
func or[T comparable](value, byDefault T) T {
	var unset T
	if value == unset {
		return byDefault
	}
	return value
}
