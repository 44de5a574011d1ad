// Package dns answers the names of the hosts of our zones: those that the box knows itself, the rest
// by asking other servers, with a bounded cache between.
package dns

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Limits of what hosts may cost.
const (
	DefaultEntries = 5000             // of the cache; an entry takes about 500 bytes
	maxCached      = 4 << 10          // bytes of an answer that is cached
	maxTTL         = 24 * time.Hour   // whatever a server says
	maxNegativeTTL = 15 * time.Minute // RFC 2308 §5 lets it be hours; a name that is made is waited for
	maxStale       = time.Hour        // an answer may be used after its end when no server answers (RFC 8767 §5)
	staleTTL       = 30               // seconds that such an answer holds (RFC 8767 §4)
	localTTL       = 60               // seconds: a lease may move
	maxForwards    = 256              // questions to other servers at once
	maxConnections = 64               // TCP, of each address served
	maxPerConn     = 64               // questions on one of them
	idleTime       = 8 * time.Second
	perSecond      = 50 // questions of one host
	burst          = 200
	udpSize        = 1232 // bytes that no usual path fragments
	askTime        = 2 * time.Second
	sickTime       = 30 * time.Second // a server that did not answer is asked last for so long
)

// Place is where questions are answered: one address on one link.
type Place struct {
	Zone  string
	Iface string
	Index int // of the link: one that was made anew needs new sockets
	Addr  netip.Addr
	Self  []netip.Addr   // the box's own addresses as hosts there know them
	From  []netip.Prefix // who may ask; a question from elsewhere is not answered at all
}

// Host is a name that an admin has given.
type Host struct {
	Name  string // of one label, which is in our domain, or a whole name
	Addrs []netip.Addr
}

// Split sends the questions for a domain and all below it to servers of its own. Their answers may
// hold private addresses.
type Split struct {
	Domain  string
	Servers []netip.AddrPort
}

// Config is what is answered, and where.
type Config struct {
	Places  []Place
	Servers []netip.AddrPort // asked for what we don't know ourselves, in this order
	Split   []Split
	Domain  string // ours: what we don't know of it, nobody knows
	Box     string // the box's own name, which stands for the addresses of the place that was asked
	Hosts   []Host
	Entries int      // of the cache; 0 is DefaultEntries
	Inside  []string // domains whose answers may hold private addresses, though Servers answer them
}

// Names are the hosts that a DHCP server knows.
type Names interface {
	Named(name string) (netip.Addr, bool)
	NameOf(a netip.Addr) (string, bool)
}

// canonical is how names are compared: lower case, with the dot of the root (RFC 4343 §3).
func canonical(name string) string { return dns.CanonicalName(name) }

// below reports whether a name is a domain or is in it; both are canonical.
func below(name, domain string) bool {
	return domain != "." && (name == domain || strings.HasSuffix(name, "."+domain))
}
