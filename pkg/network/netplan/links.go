package netplan

import (
	"fmt"
	"slices"
)

// findAbsent finds the links that cannot be there, with all that stands on them.
func (p *planner) findAbsent() {
	for _, w := range p.want.Links {
		have, exists := byName(p.have.Links, w.Name)
		switch {
		case w.Kind == KindPort && !exists:
			p.Waiting = append(p.Waiting, w.Name+" is not there: what it is to be waits for it")
			p.absent[w.Name] = true
		case p.absent[w.Parent]:
			p.absent[w.Name] = true
		case exists && w.Kind == KindPort && made(have.Kind):
			p.blocked("%s is a %s and no port", w.Name, have.Kind)
			p.absent[w.Name] = true
		case exists && w.Kind != KindPort && !have.ours() && !alike(w, have):
			p.blocked("%s exists already, was not made by the box and is not what is wanted: remove or rename it, or choose another name", w.Name)
			p.absent[w.Name] = true
		}
	}
}

// made reports whether links of this kind are made by software, in ways that the document knows.
func made(kind string) bool {
	return slices.Contains([]string{KindBond, KindBridge, KindVLAN, KindWireGuard, KindIFB}, kind)
}

// alike reports whether a link is already what it should be, but for what can be changed in place.
func alike(want, have Link) bool {
	if want.Kind == KindPort {
		return !made(have.Kind)
	}
	return want.Kind == have.Kind && want.Parent == have.Parent && want.VLAN == have.VLAN && want.Bond == have.Bond
}

// findGone finds links of ours that are to go, with the VLANs on them, which go with them.
func (p *planner) findGone() {
	for _, h := range p.have.Links {
		w, wanted := byName(p.want.Links, h.Name)
		if h.ours() && made(h.Kind) && (!wanted || p.absent[h.Name] || !alike(w, h)) {
			p.gone[h.Name] = true
		}
	}
	for again := true; again; {
		again = false
		for _, h := range p.have.Links {
			if h.Parent != "" && p.gone[h.Parent] && !p.gone[h.Name] {
				p.gone[h.Name], again = true, true
			}
		}
	}
}

// removeLinks removes first what stands on others.
func (p *planner) removeLinks() {
	for _, kind := range []string{KindWireGuard, KindIFB, KindVLAN, KindBridge, KindBond} {
		for _, h := range p.have.Links {
			if h.Kind == kind && p.gone[h.Name] {
				p.step(Step{Act: RemoveLink, Was: h})
			}
		}
	}
}

// makeLinks makes and changes links: what carries others comes first, and a link gets its settings
// before it is switched on.
func (p *planner) makeLinks() {
	for _, w := range p.want.Links {
		if w.Kind == KindPort {
			p.sizeLink(w) // before it joins a bond, which takes no other size
		}
	}
	p.addLinks(KindBond, KindBridge)
	p.masters(KindPort, KindBond)
	p.addLinks(KindVLAN, KindWireGuard, KindIFB)
	p.masters(KindVLAN)
	for _, w := range p.want.Links {
		if !p.absent[w.Name] {
			p.finishLink(w)
		}
	}
}

func (p *planner) addLinks(kinds ...string) {
	for _, w := range p.want.Links {
		if _, stays := p.kept(w.Name); !stays && !p.absent[w.Name] && slices.Contains(kinds, w.Kind) {
			p.step(Step{Act: AddLink, Link: w})
		}
	}
}

// sizeLink changes the size of packets that a link carries.
func (p *planner) sizeLink(w Link) {
	if h, stays := p.kept(w.Name); stays && !p.absent[w.Name] && h.MTU != w.MTU {
		p.step(Step{Act: SetMTU, Link: w, Was: h})
	}
}

// masters lets links join and leave bonds and bridges. A member of something foreign leaves it only
// to join something of ours.
func (p *planner) masters(kinds ...string) {
	for _, w := range p.want.Links {
		if p.absent[w.Name] || p.absent[w.Master] || !slices.Contains(kinds, w.Kind) {
			continue
		}
		h, _ := p.kept(w.Name)
		now := h.Master
		if p.gone[now] {
			now = ""
		}
		if m, ok := byName(p.have.Links, now); now != w.Master && (w.Master != "" || !ok || m.ours()) {
			p.step(Step{Act: SetMaster, Link: w, Was: h})
		}
	}
}

func (p *planner) finishLink(w Link) {
	h, stays := p.kept(w.Name)
	if w.Kind != KindPort {
		p.sizeLink(w)
	}
	if stays && h.Alias != w.Alias && w.Kind != KindWireGuard { // a tunnel's is set with its peers
		p.step(Step{Act: TakeLink, Link: w, Was: h})
	}
	if s := p.settings(w.Name); len(s) > 0 {
		p.step(Step{Act: Set, Link: w, Settings: s})
	}
	if w.Kind == KindBridge && w.STP != (stays && h.STP) {
		p.step(Step{Act: SetSTP, Link: w})
	}
	switch up := stays && h.Up; {
	case w.Up && !up:
		p.step(Step{Act: SetUp, Link: w})
	case !w.Up && up:
		p.step(Step{Act: SetDown, Link: w})
	}
}

// releasePorts gives back ports that the document no longer names.
func (p *planner) releasePorts() {
	for _, h := range p.have.Links {
		if _, wanted := byName(p.want.Links, h.Name); h.ours() && !made(h.Kind) && !wanted {
			p.step(Step{Act: Release, Was: h})
		}
	}
}

// listForeign names what others made.
func (p *planner) listForeign() {
	say := func(format string, args ...any) { p.Foreign = append(p.Foreign, fmt.Sprintf(format, args...)) }
	for _, h := range p.have.Links {
		if _, wanted := byName(p.want.Links, h.Name); !h.ours() && !wanted && h.Name != "lo" {
			say("link %s (%s)", h.Name, h.Kind)
		}
	}
	for _, a := range p.have.Addrs {
		if !a.Ours && !a.Kernel && a.Link != "lo" && !p.wantsAddr(a) {
			say("address %s on %s", a.Prefix, a.Link)
		}
	}
	for _, r := range p.have.Routes {
		if !r.Ours && !r.Kernel && r.Table == mainTable {
			say("route to %s", r.words())
		}
	}
	for _, r := range p.have.Rules {
		if !r.ours() {
			say("rule %d to table %d", r.Priority, r.Table)
		}
	}
}
