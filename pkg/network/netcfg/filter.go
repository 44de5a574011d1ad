package netcfg

// Protocol is a transport that a rule matches.
type Protocol string

// The protocols. ICMP means that of the packet's IP version.
const (
	AnyProtocol Protocol = ""
	TCP         Protocol = "tcp"
	UDP         Protocol = "udp"
	ICMP        Protocol = "icmp"
)

// Firewall is what the zones' defaults do not say.
type Firewall struct {
	Rules  []Rule `json:"rules,omitempty"` // the first that matches decides
	Limits Limits `json:"limits,omitzero"`
}

// Action is what a rule does.
type Action string

// The actions.
const (
	Allow  Action = "allow"
	Drop   Action = "drop"
	Reject Action = "reject" // the sender is told
)

// Rule is one line of the firewall, about the first packet of a connection.
type Rule struct {
	Name         string      `json:"name"`
	Action       Action      `json:"action,omitempty"`       // default allow
	From         string      `json:"from,omitempty"`         // zone; default any
	To           string      `json:"to,omitempty"`           // zone or "box"; default any
	Sources      []Prefix    `json:"sources,omitempty"`      // default any
	Destinations []Prefix    `json:"destinations,omitempty"` // default any
	Protocol     Protocol    `json:"protocol,omitempty"`     // default any
	Ports        []PortRange `json:"ports,omitempty"`        // of the destination; default any; tcp and udp only
	Log          bool        `json:"log,omitempty"`
	Disabled     bool        `json:"disabled,omitempty"`
}

// ActionOr returns what the rule does.
func (r Rule) ActionOr() Action { return or(r.Action, Allow) }

// Limits bound what strangers may cost. A stranger is a source that no registration made known.
type Limits struct {
	StrangerPacketsPerSecond      int `json:"strangerPacketsPerSecond,omitempty"`      // SIP of one source; default 20
	StrangerBurst                 int `json:"strangerBurst,omitempty"`                 // packets at once of one source; default 60
	AllStrangersPacketsPerSecond  int `json:"allStrangersPacketsPerSecond,omitempty"`  // SIP of all of them; default 2000
	TLSConnectionsPerSource       int `json:"tlsConnectionsPerSource,omitempty"`       // at a time, SIP over TCP, TLS and WSS; default 64
	PageConnectionsPerSource      int `json:"pageConnectionsPerSource,omitempty"`      // at a time; default 64
	NewConnectionsPerSecondSource int `json:"newConnectionsPerSecondSource,omitempty"` // to the box of one source; default 20
}

// StrangerRateOr returns the SIP packets per second of one stranger.
func (l Limits) StrangerRateOr() int { return or(l.StrangerPacketsPerSecond, 20) }

// StrangerBurstOr returns how many SIP packets one stranger may send at once.
func (l Limits) StrangerBurstOr() int { return or(l.StrangerBurst, 60) }

// AllStrangersRateOr returns the SIP packets per second of all strangers.
func (l Limits) AllStrangersRateOr() int { return or(l.AllStrangersPacketsPerSecond, 2000) }

// TLSConnectionsOr returns how many SIP connections one source may hold.
func (l Limits) TLSConnectionsOr() int { return or(l.TLSConnectionsPerSource, 64) }

// PageConnectionsOr returns how many connections to the page one source may hold.
func (l Limits) PageConnectionsOr() int { return or(l.PageConnectionsPerSource, 64) }

// NewConnectionsOr returns how many connections one source may open to the box in a second.
func (l Limits) NewConnectionsOr() int { return or(l.NewConnectionsPerSecondSource, 20) }

// NAT is every rewriting of addresses.
type NAT struct {
	Masquerade []Masquerade `json:"masquerade,omitempty"`
	Source     []SourceNAT  `json:"source,omitempty"` // before masquerading
	OneToOne   []OneToOne   `json:"oneToOne,omitempty"`
	Forwards   []Forward    `json:"forwards,omitempty"`
}

// Masquerade hides hosts behind the box's address of a zone.
type Masquerade struct {
	Zone    string   `json:"zone"`              // that packets leave to
	Sources []Prefix `json:"sources,omitempty"` // default: every host of other zones; IPv4 only unless an IPv6 prefix is named
}

// SourceNAT gives packets of some hosts one outside address.
type SourceNAT struct {
	Zone    string   `json:"zone"` // that packets leave to
	Sources []Prefix `json:"sources"`
	To      Addr     `json:"to"` // an address of the box in that zone
}

// OneToOne binds an outside address to an inside host, both ways.
type OneToOne struct {
	Name    string `json:"name"`
	Zone    string `json:"zone"` // of the outside address
	Outside Addr   `json:"outside"`
	Inside  Addr   `json:"inside"`
	Hairpin bool   `json:"hairpin,omitempty"` // hosts inside reach it by the outside address too
}

// Forward hands a port of the box to an inside host.
type Forward struct {
	Name     string    `json:"name"`
	Zone     string    `json:"zone"`             // that packets come from
	Address  Addr      `json:"address,omitzero"` // default: every address of the box in that zone
	Protocol Protocol  `json:"protocol"`         // tcp or udp
	Ports    PortRange `json:"ports"`
	To       Addr      `json:"to"`
	ToPort   uint16    `json:"toPort,omitempty"`  // of the first; default the same ports
	Sources  []Prefix  `json:"sources,omitempty"` // default any
	Hairpin  bool      `json:"hairpin,omitempty"` // hosts inside reach it by the outside address too
	Disabled bool      `json:"disabled,omitempty"`
}
