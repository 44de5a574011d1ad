// Package netplan decides what must change in the kernel so that it holds what a network document
// wants: desired state, differences, ordered steps in plain words. It is pure.
package netplan

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

// What is ours in the kernel is marked, so that nothing else is ever touched.
const (
	Alias     = "sanchar:" // begins the alias (IFALIAS) of links that we made or took
	Protocol  = 83         // of routes and addresses (rtnetlink(7)): 'S'; no daemon of rt_protos has it
	QueueRoot = 0x5300     // major number of the root queue of a link
)

// Rules of policy routing and the tables that they lead to are in ranges of ours.
const (
	firstRule     = 5300
	lastRule      = 5399
	firstTable    = 5300 // of the first uplink
	mainTable     = 254
	localRule     = firstRule      // networks of the box's own before any uplink
	addressRules  = firstRule + 10 // answers leave by the uplink whose address they bear
	markRules     = firstRule + 50 // connections leave by the uplink that they came by
	uplinkMetric  = 100            // of the first uplink's default route; the next has 10 more
	failedPenalty = 1000           // an uplink that failed its check is the last resort
	lonelyMetric  = 500            // a default route that DHCP told on a link which is no uplink
)

// State is what the kernel holds, or what it should hold.
type State struct {
	Links    []Link
	Addrs    []Addr
	Routes   []Route
	Rules    []Rule
	Tunnels  []Tunnel
	Queues   []Queue
	Settings map[string]string // below /proc/sys/net: "ipv4/ip_forward"
}

// Kinds of links: names are the kernel's, but for ports.
const (
	KindPort      = "port" // hardware, or what stands for it: it is never made or removed
	KindBond      = "bond"
	KindBridge    = "bridge"
	KindVLAN      = "vlan"
	KindWireGuard = "wireguard"
	KindIFB       = "ifb" // where incoming packets queue
)

// Link is a network interface.
type Link struct {
	Name   string
	Kind   string
	Alias  string // ours begins with Alias
	Up     bool
	MTU    int
	Master string // bond or bridge that it is a member of
	Parent string // of a VLAN
	VLAN   int
	Bond   Bond
	STP    bool // of a bridge
}

// Bond is how a bond works.
type Bond struct {
	Mode          string
	MonitorMillis int
	LACPFast      bool
}

func (l Link) ours() bool { return strings.HasPrefix(l.Alias, Alias) }

// Addr is an address of a link.
type Addr struct {
	Link   string
	Prefix netip.Prefix
	Ours   bool
	Kernel bool // made by the kernel itself: link-local, from advertisements
}

// Route is an entry of a routing table.
type Route struct {
	To     netip.Prefix
	Via    netip.Addr
	Link   string
	Metric int
	Table  int
	Source netip.Addr
	Kind   netcfg.RouteKind
	Ours   bool // compared by key without it
	Kernel bool // made by the kernel itself: of addresses, from advertisements
}

func (r Route) key() Route {
	r.Ours, r.Kernel = false, false
	return r
}

// Rule sends packets to a routing table.
type Rule struct {
	Priority    int
	V6          bool
	From        netip.Addr // none: any
	Mark        uint32     // with netcfg.MarkUplinkMask; 0: any
	Table       int
	NoDefaultOf bool // routes of length 0 do not count
}

func (r Rule) ours() bool { return r.Priority >= firstRule && r.Priority <= lastRule }

// Tunnel is a WireGuard link's inside. Keys that are secret are elsewhere.
type Tunnel struct {
	Link       string
	ListenPort uint16
	Keyed      bool // it has a private key
	Peers      []Peer
}

// Peer is the other end of a tunnel.
type Peer struct {
	PublicKey        string
	Allowed          []netip.Prefix // in order
	KeepaliveSeconds int
	Preshared        bool
}

// Queue is the shaper of a link.
type Queue struct {
	Link      string
	Shaper    netcfg.Shaper
	Kbit      int
	VoiceKbit int    // that voice is sure of; HTB only
	From      string // link whose incoming packets queue here; "" where outgoing ones do
}

// Facts is what the document leaves to the network.
type Facts struct {
	Leases    map[string]Lease      // by link
	Leases6   map[string]Lease6     // by link
	Gateways6 map[string]netip.Addr // default routers that advertised themselves, by link
	Failed    map[string]bool       // uplinks that failed their check, by name
	NoIPv6    bool                  // the kernel has none
}

// Lease is what a DHCP server gave a link.
type Lease struct {
	Address netip.Prefix
	Router  netip.Addr
}

// Lease6 is what a DHCPv6 server gave a link: an address, a prefix for hosts inside, or both.
type Lease6 struct {
	Address netip.Addr
	Prefix  netip.Prefix
}

func orderRoutes(a, b Route) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), a.To.Compare(b.To), cmp.Compare(a.Metric, b.Metric),
		strings.Compare(a.Link, b.Link), a.Via.Compare(b.Via))
}
