package netcfg

import "fmt"

// MTUs in bytes. RFC 8200 §5 wants 1280 for IPv6; 9216 is what common switches carry at most.
const (
	DefaultMTU = 1500
	minMTU     = 1280
	maxMTU     = 9216
)

// Port is a network socket of the box.
type Port struct {
	Name     string `json:"name"`               // the kernel's, which the board keeps stable: "eth0"
	Label    string `json:"label,omitempty"`    // as printed on the case: "LAN 1"; default the name
	MTU      int    `json:"mtu,omitempty"`      // bytes; default 1500
	Disabled bool   `json:"disabled,omitempty"` // stays down
}

// BondMode is how a bond spreads frames over its members.
type BondMode string

// The bond modes: names are the kernel's.
const (
	ActiveBackup BondMode = "active-backup" // one member works, the others wait
	LACP         BondMode = "802.3ad"       // IEEE 802.1AX; the switch must speak it too
	BalanceXOR   BondMode = "balance-xor"   // a static group of the switch
)

// Bond is several ports that work as one.
type Bond struct {
	Name          string   `json:"name"` // "bond0"
	Members       []string `json:"members"`
	Mode          BondMode `json:"mode,omitempty"`          // default active-backup
	MonitorMillis int      `json:"monitorMillis,omitempty"` // how often carriers are looked at; default 100
	LACPFast      bool     `json:"lacpFast,omitempty"`      // LACPDUs each second and not each 30 s
	MTU           int      `json:"mtu,omitempty"`           // bytes; default 1500
}

// ModeOr returns the mode of the bond.
func (b Bond) ModeOr() BondMode { return or(b.Mode, ActiveBackup) }

// MonitorOr returns how often carriers are looked at, in milliseconds.
func (b Bond) MonitorOr() int { return or(b.MonitorMillis, 100) }

// Bridge is a switch made of links.
type Bridge struct {
	Name    string   `json:"name"` // "br0"
	Members []string `json:"members,omitempty"`
	STP     bool     `json:"stp,omitempty"` // spanning tree, IEEE 802.1D
	MTU     int      `json:"mtu,omitempty"` // bytes; default 1500
}

// VLAN is one tagged network of a link.
type VLAN struct {
	Name     string `json:"name,omitempty"` // default "parent.id"
	Parent   string `json:"parent"`         // a port, bond or bridge
	ID       int    `json:"id"`             // 1 to 4094
	Protocol string `json:"protocol,omitempty"`
	MTU      int    `json:"mtu,omitempty"` // bytes; default 1500; at most the parent's
}

// NameOr returns the name of the VLAN's link.
func (v VLAN) NameOr() string { return or(v.Name, fmt.Sprintf("%s.%d", v.Parent, v.ID)) }

// WireGuard is a tunnel. Private and preshared keys never stand in the document.
type WireGuard struct {
	Name       string   `json:"name"`                 // of the link: "wg0"
	ListenPort uint16   `json:"listenPort,omitempty"` // UDP; default 51820
	MTU        int      `json:"mtu,omitempty"`        // bytes; default 1420, which fits IPv6 outside
	Peers      []WGPeer `json:"peers,omitempty"`
}

// ListenPortOr returns the UDP port of the tunnel.
func (w WireGuard) ListenPortOr() uint16 { return or(w.ListenPort, 51820) }

// MTUOr returns the MTU of the tunnel.
func (w WireGuard) MTUOr() int { return or(w.MTU, 1420) }

// WGPeer is the other end of a tunnel: a site or a remote phone.
type WGPeer struct {
	Name             string   `json:"name"`
	PublicKey        string   `json:"publicKey"`                  // 32 bytes in base64
	Endpoint         string   `json:"endpoint,omitempty"`         // "host:port"; default: it calls us
	Allowed          []Prefix `json:"allowed"`                    // what is behind it; routes are made for them
	KeepaliveSeconds int      `json:"keepaliveSeconds,omitempty"` // default 0: none; 25 holds a NAT binding open
	Preshared        bool     `json:"preshared,omitempty"`        // also a key of both, kept apart
}

// Interface is what a link is for: its addresses and its zone.
type Interface struct {
	Link        string       `json:"link"` // of a port, bond, bridge, VLAN or tunnel
	Zone        string       `json:"zone"`
	Description string       `json:"description,omitempty"`
	Addresses   []Prefix     `json:"addresses,omitempty"` // with their prefix lengths: "10.1.0.1/24"
	DHCP4       *DHCPClient  `json:"dhcp4,omitempty"`     // set: ask for an IPv4 address
	SLAAC       bool         `json:"slaac,omitempty"`     // RFC 4862: addresses and routes from advertisements
	DHCP6       *DHCP6Client `json:"dhcp6,omitempty"`     // set: ask for IPv6 addresses or a prefix
}

// DHCPClient says how an IPv4 address is asked for.
type DHCPClient struct {
	Hostname     string `json:"hostname,omitempty"`     // told to the server; default the box's
	ClientID     string `json:"clientID,omitempty"`     // option 61 in hexadecimal; default by the MAC address
	IgnoreDNS    bool   `json:"ignoreDNS,omitempty"`    // the server's name servers are not used
	IgnoreRouter bool   `json:"ignoreRouter,omitempty"` // its gateway neither
}

// DHCP6Client says what is asked of a DHCPv6 server.
type DHCP6Client struct {
	Address      bool   `json:"address,omitempty"`      // an address for this link
	DelegateTo   string `json:"delegateTo,omitempty"`   // link that gets the first /64 of a delegated prefix
	PrefixLength int    `json:"prefixLength,omitempty"` // hint for the delegation; default 56
	IgnoreDNS    bool   `json:"ignoreDNS,omitempty"`
}
