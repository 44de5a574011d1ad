package netcfg

// DNS is where names are resolved and which are our own. Zones that may reach the service dns are answered.
type DNS struct {
	Servers  []Addr      `json:"servers,omitempty"` // asked in this order; default: what DHCP and advertisements say
	Serve    bool        `json:"serve,omitempty"`   // forward for the zones
	Hosts    []Host      `json:"hosts,omitempty"`
	Split    []SplitZone `json:"split,omitempty"`    // domains that other servers know
	AllowLAN []string    `json:"allowLAN,omitempty"` // domains whose answers may name private addresses (rebinding)
}

// Host is a local name.
type Host struct {
	Name      string `json:"name"` // without a dot it is in the document's domain
	Addresses []Addr `json:"addresses"`
}

// SplitZone sends the questions about a domain to its own servers.
type SplitZone struct {
	Domain  string `json:"domain"`
	Servers []Addr `json:"servers"`
}

// NTP is where the time comes from. Zones that may reach the service ntp are answered.
type NTP struct {
	Sources []string `json:"sources,omitempty"` // names or addresses; default the pool
	Serve   bool     `json:"serve,omitempty"`
}

// SourcesOr returns where the time comes from.
func (n NTP) SourcesOr() []string {
	if len(n.Sources) > 0 {
		return n.Sources
	}
	return []string{"0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org", "3.pool.ntp.org"}
}

// DHCPServer gives addresses to the hosts of an interface. Its zone must offer the service dhcp.
type DHCPServer struct {
	Link         string        `json:"link"` // of an interface with a static IPv4 address, which tells subnet and router
	Ranges       []AddrRange   `json:"ranges"`
	LeaseSeconds int           `json:"leaseSeconds,omitempty"` // default 86400, a day
	Router       Addr          `json:"router,omitzero"`        // option 3; default our address
	NoRouter     bool          `json:"noRouter,omitempty"`     // hosts are told of none
	DNS          []Addr        `json:"dns,omitempty"`          // option 6; default our address if we serve it, else the upstream servers
	NTP          []Addr        `json:"ntp,omitempty"`          // option 42; default our address if we serve it
	Domain       string        `json:"domain,omitempty"`       // option 15; default the document's
	Phones       PhoneOptions  `json:"phones,omitzero"`
	Options      []DHCPOption  `json:"options,omitempty"`
	Reservations []Reservation `json:"reservations,omitempty"`
	Relays       []DHCPRelay   `json:"relays,omitempty"` // agents that are answered; default none
}

// LeaseOr returns how many seconds a lease lasts.
func (s DHCPServer) LeaseOr() int { return or(s.LeaseSeconds, 86400) }

// PhoneOptions is what phones are told besides.
type PhoneOptions struct {
	ProvisionURL string `json:"provisionURL,omitempty"` // options 66 and 160, or inside 43 as the vendor wants; default the box's own
	NoProvision  bool   `json:"noProvision,omitempty"`  // phones are told of no server
	TFTPServers  []Addr `json:"tftpServers,omitempty"`  // option 150
	VLAN         int    `json:"vlan,omitempty"`         // option 132: the voice VLAN that a phone is to move to
	Priority     *uint8 `json:"priority,omitempty"`     // option 133: IEEE 802.1p, 0 to 7
}

// DHCPOption is an option as such: exactly one of its values is set.
type DHCPOption struct {
	Code        uint8  `json:"code"` // 1 to 254
	Text        string `json:"text,omitempty"`
	Hex         string `json:"hex,omitempty"`
	Addresses   []Addr `json:"addresses,omitempty"`
	VendorClass string `json:"vendorClass,omitempty"` // only for clients whose option 60 starts so; default all
}

// Reservation is the address of one host.
type Reservation struct {
	MAC     string `json:"mac"`
	Address Addr   `json:"address"`
	Name    string `json:"name,omitempty"`
}

// DHCPRelay is a relay agent (RFC 2131 §4.1) and the subnet behind it.
type DHCPRelay struct {
	Agent  Addr        `json:"agent"`  // giaddr
	Subnet Prefix      `json:"subnet"` // of the hosts there
	Ranges []AddrRange `json:"ranges"`
	Router Addr        `json:"router,omitzero"` // default the agent
}

// RouterAdvert is what hosts of an interface are told of IPv6, RFC 4861 §6.2.1.
type RouterAdvert struct {
	Link            string   `json:"link"`
	Prefixes        []Prefix `json:"prefixes,omitempty"`        // default: the /64s of the interface, delegated ones too
	NotRouter       bool     `json:"notRouter,omitempty"`       // prefixes only, lifetime 0: no default route by us
	LifetimeSeconds int      `json:"lifetimeSeconds,omitempty"` // of the default route; default 1800
	IntervalSeconds int      `json:"intervalSeconds,omitempty"` // at most; default 600
	Managed         bool     `json:"managed,omitempty"`         // the M flag: addresses by DHCPv6
	Other           bool     `json:"other,omitempty"`           // the O flag: other settings by DHCPv6
	DNS             []Addr   `json:"dns,omitempty"`             // RDNSS, RFC 8106 §5.1; default our address if we serve it
	Search          []string `json:"search,omitempty"`          // DNSSL, RFC 8106 §5.2; default the document's domain
	MTU             int      `json:"mtu,omitempty"`             // told to hosts; default: nothing is told
}

// LifetimeOr returns for how many seconds the box is a default router.
func (r RouterAdvert) LifetimeOr() int {
	if r.NotRouter {
		return 0
	}
	return or(r.LifetimeSeconds, 1800)
}

// IntervalOr returns the seconds between two advertisements, at most.
func (r RouterAdvert) IntervalOr() int { return or(r.IntervalSeconds, 600) }

// LLDP says what the ports tell their neighbours, IEEE 802.1AB.
type LLDP struct {
	Disabled bool        `json:"disabled,omitempty"`
	Silent   []string    `json:"silent,omitempty"` // ports that only listen
	Voice    []VoicePort `json:"voice,omitempty"`  // network policies of LLDP-MED
}

// VoicePort is the network policy that phones of a port are told.
type VoicePort struct {
	Port     string `json:"port"`
	VLAN     int    `json:"vlan,omitempty"`     // default 0: untagged
	Priority *uint8 `json:"priority,omitempty"` // IEEE 802.1p, 0 to 7; default 5
	DSCP     *uint8 `json:"dscp,omitempty"`     // default that of QoS for voice
}

// MDNS announces the page and SIP by DNS-SD to the zones that may reach the service mdns.
type MDNS struct {
	Disabled bool   `json:"disabled,omitempty"`
	Name     string `json:"name,omitempty"` // of the instance; default "Sanchar" and the hostname
}
