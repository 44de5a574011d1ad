package services

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/network/dhcp"
	"github.com/coraltele/sanchar/pkg/network/diag"
	"github.com/coraltele/sanchar/pkg/network/dns"
	"github.com/coraltele/sanchar/pkg/network/lldp"
	"github.com/coraltele/sanchar/pkg/network/ntp"
	"github.com/coraltele/sanchar/pkg/network/ra"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Status tells how the services are.
func (s *Services) Status() (st ctl.NetServices) {
	s.mu.Lock()
	for _, u := range s.units {
		st.Services = append(st.Services, u.status())
		switch r := u.run.(type) {
		case *dns.Server:
			st.Servers = nameServers(r)
		case *ntp.Client:
			st.Clock = clockStatus(r.State())
		}
	}
	for _, link := range s.waiting {
		st.Services = append(st.Services, ctl.NetService{Name: "dhcp", Links: []string{link}, Fault: link + " has not got its address yet"})
	}
	s.mu.Unlock()
	slices.SortFunc(st.Services, func(a, b ctl.NetService) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Fault, b.Fault))
	})
	return st
}

func (u *unit) status() ctl.NetService {
	st := ctl.NetService{Name: u.name, Links: u.links, Since: u.since, Counts: counts(u.run)}
	if f := u.fault.Load(); f != nil {
		st.Fault = *f
	}
	return st
}

func counts(r runner) map[string]uint64 {
	load := func(pairs map[string]*atomic.Uint64) map[string]uint64 {
		out := map[string]uint64{}
		for name, n := range pairs {
			out[name] = n.Load()
		}
		return out
	}
	switch r := r.(type) {
	case *dhcp.Server:
		c := &r.Counters
		return load(map[string]*atomic.Uint64{"received": &c.Received, "answered": &c.Answered, "dropped": &c.Dropped, "refused": &c.Refused})
	case *dns.Server:
		c := &r.Counters
		out := load(map[string]*atomic.Uint64{
			"asked": &c.Asked, "local": &c.Local, "cached": &c.Cached, "forwarded": &c.Forwarded, "stale": &c.Stale,
			"failed": &c.Failed, "rebound": &c.Rebound, "refused": &c.Refused,
		})
		out["kept"] = uint64(r.Size())
		return out
	case *ntp.Server:
		return load(map[string]*atomic.Uint64{"answered": &r.Answered, "refused": &r.Refused})
	case *ra.Advertiser:
		return load(map[string]*atomic.Uint64{"sent": &r.Sent})
	}
	return nil
}

func nameServers(r *dns.Server) (all []ctl.NameServer) {
	for _, u := range r.Upstreams() {
		all = append(all, ctl.NameServer{Server: u.Server, Asked: u.Asked, Failed: u.Failed, LastOK: u.LastOK, LastFail: u.LastFail, Took: u.Took})
	}
	return all
}

func clockStatus(st ntp.State) *ctl.ClockStatus {
	out := &ctl.ClockStatus{
		Synced: st.Synced, Measured: !(ntp.Kernel{}).MayChange(), Stratum: st.Stratum, Offset: st.Offset, Updated: st.Updated, Sources: []ctl.ClockSource{},
	}
	for _, src := range st.Sources {
		out.Sources = append(out.Sources, ctl.ClockSource{
			Name: src.Name, Address: src.Addr, Stratum: src.Stratum, Offset: src.Offset, Delay: src.Delay, Last: src.Last, Selected: src.Selected, Fault: src.Fault,
		})
	}
	return out
}

// Leases tells who has which address.
func (s *Services) Leases() ctl.Leases {
	out := ctl.Leases{Leases: []ctl.Lease{}}
	t := s.table.Load()
	if t == nil {
		return out
	}
	now := time.Now()
	for _, l := range t.Leases(now) {
		out.Leases = append(out.Leases, ctl.Lease{
			Zone: l.Zone, Address: l.Addr, MAC: l.MAC, Name: l.Name, Vendor: l.Vendor, Class: l.Class, Begun: l.Begun, Expires: l.Expires, Static: s.reserved(l.MAC),
		})
	}
	out.Conflicts = t.Conflicts(now)
	for _, u := range s.usage(t, now) {
		out.Pools = append(out.Pools, ctl.LeasePool{Zone: u.Zone, Link: u.Iface, Used: u.Used, Size: u.Size})
	}
	return out
}

func (s *Services) usage(t *dhcp.Table, now time.Time) []dhcp.Usage {
	s.mu.Lock()
	u := s.units["dhcp"]
	s.mu.Unlock()
	if u == nil {
		return nil
	}
	cfg, _ := u.cfg.(dhcp.Config)
	return cfg.Usage(t, now)
}

// nearlyFull is when an admin hears of a range: the last addresses go fast when phones move in.
const nearlyFull = 0.95

// unsynced is how long the clock may be without sources before an admin hears of it.
const unsynced = 15 * time.Minute

// since is when a service began, zero if it does not run.
func (s *Services) since(name string) (t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[name]; u != nil {
		t = u.since
	}
	return t
}

// Alarms are what an admin should hear of.
func (s *Services) Alarms() (all []ctl.Alarm) {
	now := time.Now()
	if t := s.table.Load(); t != nil {
		since := s.since("dhcp")
		for _, u := range s.usage(t, now) {
			if float64(u.Used) >= nearlyFull*float64(u.Size) {
				all = append(all, ctl.Alarm{
					Code: "net.dhcp.full." + u.Zone, Text: fmt.Sprintf("%d of %d addresses for hosts of %s on %s are given away", u.Used, u.Size, u.Zone, u.Iface),
					Cure: "make the range longer, or the leases shorter", Since: since,
				})
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.units {
		if f := u.fault.Load(); f != nil {
			all = append(all, ctl.Alarm{Code: "net.service." + u.name, Text: u.name + " for the zones does not run: " + *f, Cure: "it is started again by itself; see sanchar net services", Since: u.since})
		}
		if c, ok := u.run.(*ntp.Client); ok && now.Sub(u.since) > unsynced && !c.State().Synced {
			all = append(all, ctl.Alarm{Code: "net.clock", Text: "the clock follows no source", Cure: "sanchar net diag says why", Since: u.since})
		}
	}
	slices.SortFunc(all, func(a, b ctl.Alarm) int { return strings.Compare(a.Code, b.Code) })
	return all
}

func (s *Services) reserved(mac string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doc == nil {
		return false
	}
	for _, srv := range s.doc.DHCP {
		for _, r := range srv.Reservations {
			if normalMAC(r.MAC) == mac {
				return true
			}
		}
	}
	return false
}

// Neighbours tells who is at the other ends of the cables.
func (s *Services) Neighbours() []ctl.LLDPNeighbour {
	out := []ctl.LLDPNeighbour{}
	s.mu.Lock()
	u := s.units["lldp"]
	s.mu.Unlock()
	if u == nil {
		return out
	}
	agent, _ := u.run.(*lldp.Agent)
	for _, n := range agent.Neighbours() {
		out = append(out, ctl.LLDPNeighbour{
			Port: n.Port, Chassis: n.Chassis, PortID: n.PortID, PortText: n.PortText, Name: n.Name, Text: n.Text, Management: n.Management,
			Capabilities: n.Capabilities, VLAN: n.VLAN, Phone: n.MED, Maker: n.Maker, Model: n.Model, Firmware: n.Firmware, Serial: n.Serial,
		})
	}
	return out
}

// Diagnosis returns what should be there, as the document says. Without one, it is what the kernel has.
func (s *Services) Diagnosis() diag.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doc == nil {
		return diag.Config{}
	}
	f := facts{doc: *s.doc, learned: s.learned}
	cfg := diag.Config{Servers: withPort(f.servers(), 53), Sources: s.doc.NTP.SourcesOr(), Clock: s.clock}
	for _, u := range s.doc.Uplinks {
		cfg.Uplinks = append(cfg.Uplinks, diag.Uplink{Name: u.Name, Link: u.Link})
	}
	return cfg
}

// AskPorts asks the other daemons where they listen; one that is away is taken to be where it is by default.
func AskPorts(switchd ctl.Switch, admin ctl.Admin) func(ctx context.Context) Ports {
	const patience, page, sip, phones = time.Second, 443, 5060, 8443
	return func(ctx context.Context) Ports {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		p := Ports{Page: page, SIP: sip, Phones: phones}
		if st, err := switchd.Status(ctx); err == nil {
			p.SIP = sipPort(st.Listeners)
		}
		if st, err := admin.Status(ctx); err == nil {
			p.Page, p.Phones, p.Plain = pagePort(st.Page, page), st.Provision, st.PlainProvision
		}
		return p
	}
}

func pagePort(address string, byDefault uint16) uint16 {
	u, err := url.Parse(address)
	if err != nil || u.Port() == "" {
		return byDefault
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return byDefault
	}
	return uint16(n)
}
