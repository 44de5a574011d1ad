package netcfg

// RouteKind is what happens to packets that a route matches.
type RouteKind string

// The kinds of routes.
const (
	Unicast     RouteKind = "unicast"
	Blackhole   RouteKind = "blackhole"   // dropped in silence
	Unreachable RouteKind = "unreachable" // the sender is told
)

// Route is a static route.
type Route struct {
	To     Prefix    `json:"to"`               // "0.0.0.0/0" is better an uplink
	Via    Addr      `json:"via,omitzero"`     // gateway; default: hosts are on the link itself
	Link   string    `json:"link,omitempty"`   // default: the one that reaches Via
	Metric int       `json:"metric,omitempty"` // the lowest wins; default 50
	Source Addr      `json:"source,omitzero"`  // own address to speak from; default the kernel's choice
	Kind   RouteKind `json:"kind,omitempty"`   // default unicast
}

// KindOr returns the kind of the route.
func (r Route) KindOr() RouteKind { return or(r.Kind, Unicast) }

// MetricOr returns the metric of the route.
func (r Route) MetricOr() int { return or(r.Metric, 50) }

// Uplink is a way to the outside. The order of the document is the order of preference.
type Uplink struct {
	Name     string   `json:"name"`
	Link     string   `json:"link"`              // of an interface
	Gateway4 Addr     `json:"gateway4,omitzero"` // default: what DHCP says
	Gateway6 Addr     `json:"gateway6,omitzero"` // default: what advertisements say
	Check    Check    `json:"check,omitzero"`
	Shaping  *Shaping `json:"shaping,omitempty"` // default: none
}

// CheckMethod is how an uplink is found to work.
type CheckMethod string

// The methods.
const (
	CheckPing CheckMethod = "ping" // ICMP echo
	CheckARP  CheckMethod = "arp"  // the gateway answers ARP or neighbour discovery
	CheckTCP  CheckMethod = "tcp"  // a connection is accepted or refused
	CheckLink CheckMethod = "link" // the carrier is enough
)

// Check is the health check of an uplink.
type Check struct {
	Method          CheckMethod `json:"method,omitempty"`          // default ping
	Targets         []string    `json:"targets,omitempty"`         // one answer is enough: "9.9.9.9", for tcp "9.9.9.9:443"; default the gateway
	IntervalSeconds int         `json:"intervalSeconds,omitempty"` // default 5
	TimeoutSeconds  int         `json:"timeoutSeconds,omitempty"`  // default 2
	FailAfter       int         `json:"failAfter,omitempty"`       // failures in a row; default 3
	RecoverAfter    int         `json:"recoverAfter,omitempty"`    // successes in a row; default 5
}

// MethodOr returns the method of the check.
func (c Check) MethodOr() CheckMethod { return or(c.Method, CheckPing) }

// IntervalOr returns the seconds between two checks.
func (c Check) IntervalOr() int { return or(c.IntervalSeconds, 5) }

// TimeoutOr returns the seconds that an answer may take.
func (c Check) TimeoutOr() int { return or(c.TimeoutSeconds, 2) }

// FailAfterOr returns how many failures in a row make an uplink ill.
func (c Check) FailAfterOr() int { return or(c.FailAfter, 3) }

// RecoverAfterOr returns how many successes in a row make it well again.
func (c Check) RecoverAfterOr() int { return or(c.RecoverAfter, 5) }
