package netplan

import "slices"

func (p *planner) wantsAddr(a Addr) bool {
	return slices.ContainsFunc(p.want.Addrs, func(w Addr) bool { return w.Link == a.Link && w.Prefix == a.Prefix })
}

// moveAddrs takes addresses from links where another one is to have them.
func (p *planner) moveAddrs() {
	for _, h := range p.have.Addrs {
		moves := slices.ContainsFunc(p.want.Addrs, func(w Addr) bool {
			return w.Prefix.Addr() == h.Prefix.Addr() && (w.Link != h.Link || w.Prefix != h.Prefix)
		})
		if h.Ours && !p.gone[h.Link] && moves && !p.wantsAddr(h) {
			p.step(Step{Act: RemoveAddr, Addr: h})
		}
	}
}

// addresses adds before it removes, so that a link is never without one.
func (p *planner) addresses() {
	for _, w := range p.want.Addrs {
		has := slices.ContainsFunc(p.have.Addrs, func(h Addr) bool { return h.Ours && h.Link == w.Link && h.Prefix == w.Prefix })
		if !p.absent[w.Link] && (!has || p.gone[w.Link]) {
			p.step(Step{Act: AddAddr, Addr: w})
		}
	}
	for _, h := range p.have.Addrs {
		moved := slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Act == RemoveAddr && s.Addr == h })
		if h.Ours && !p.gone[h.Link] && !p.wantsAddr(h) && !moved {
			p.step(Step{Act: RemoveAddr, Addr: h})
		}
	}
}

// routes adds before it removes. What went with its link or its address need not be removed.
func (p *planner) routes() {
	for _, w := range p.want.Routes {
		has := slices.ContainsFunc(p.have.Routes, func(h Route) bool { return h.Ours && h.key() == w.key() })
		if !p.absent[w.Link] && (!has || p.gone[w.Link]) {
			p.step(Step{Act: AddRoute, Route: w})
		}
	}
	for _, h := range p.have.Routes {
		wanted := slices.ContainsFunc(p.want.Routes, func(w Route) bool { return h.key() == w.key() })
		if h.Ours && !wanted && !p.gone[h.Link] {
			p.step(Step{Act: RemoveRoute, Route: h})
		}
	}
}
