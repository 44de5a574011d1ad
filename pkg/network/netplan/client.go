package netplan

import (
	"net/netip"
	"slices"
)

// Mark marks the steps that change what a client is connected through. Client is its address and
// local the box's own address that it reached; either may be missing.
func (p *Plan) Mark(client, local netip.Addr, have State) {
	link, own := connection(client, local, have)
	if link == "" {
		return
	}
	chain := under(link, have)
	for i := range p.Steps {
		s := &p.Steps[i]
		switch s.Act { //nolint:exhaustive // the others cut nobody off
		case RemoveLink, Release:
			s.Cuts = chain[s.Was.Name]
		case SetDown, SetMaster:
			s.Cuts = chain[s.Link.Name]
		case RemoveAddr:
			s.Cuts = s.Addr.Link == link && s.Addr.Prefix.Addr() == own
		case RemoveRoute:
			s.Cuts = client.IsValid() && s.Route.Table == mainTable && s.Route.Link == link && s.Route.To.Contains(client) && !replaced(p.Steps, s.Route)
		}
	}
}

// replaced reports whether another route of the same network comes.
func replaced(steps []Step, r Route) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Act == AddRoute && s.Route.To == r.To && s.Route.Table == r.Table })
}

// connection returns the link that a client is reached by, and the box's address there.
func connection(client, local netip.Addr, have State) (link string, own netip.Addr) {
	best := -1
	for _, a := range have.Addrs {
		switch {
		case local.IsValid() && a.Prefix.Addr() == local && !local.IsLoopback():
			return a.Link, local
		case client.IsValid() && !client.IsLoopback() && a.Prefix.Contains(client) && a.Prefix.Bits() > best:
			link, own, best = a.Link, a.Prefix.Addr(), a.Prefix.Bits()
		}
	}
	if link != "" || !client.IsValid() || client.IsLoopback() {
		return link, own
	}
	lowest := -1
	for _, r := range have.Routes {
		if r.Table == mainTable && r.To.Contains(client) && (r.To.Bits() > best || r.To.Bits() == best && r.Metric < lowest) {
			link, best, lowest = r.Link, r.To.Bits(), r.Metric
		}
	}
	return link, own
}

// under returns a link with all that it stands on: parent, members, and theirs.
func under(link string, have State) map[string]bool {
	chain := map[string]bool{link: true}
	for again := true; again; {
		again = false
		for _, l := range have.Links {
			carries := chain[l.Master] && l.Master != "" || slices.ContainsFunc(have.Links, func(c Link) bool { return chain[c.Name] && c.Parent == l.Name })
			if carries && !chain[l.Name] {
				chain[l.Name], again = true, true
			}
		}
	}
	return chain
}
