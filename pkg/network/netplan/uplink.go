package netplan

import (
	"net/netip"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

// uplinks makes a default route for each: the metric is the order of preference, and an uplink that
// failed its check stays as the last resort. Where there are several, each has a table of its own,
// so that answers leave by the uplink that the question came by: its provider would drop them elsewhere.
func (w *wanted) uplinks() {
	several := len(w.doc.Uplinks) > 1
	if several {
		w.rule(Rule{Priority: localRule, Table: mainTable, NoDefaultOf: true})
	}
	for i, u := range w.doc.Uplinks {
		metric := uplinkMetric + 10*i
		if w.facts.Failed[u.Name] {
			metric += failedPenalty
		}
		for _, v6 := range []bool{false, true} {
			via, ok := w.gateway(u, v6)
			if !ok || v6 && w.facts.NoIPv6 {
				continue
			}
			r := Route{To: everything(v6), Via: via, Link: u.Link, Metric: metric, Table: mainTable, Kind: netcfg.Unicast, Ours: true}
			w.Routes = append(w.Routes, r)
			if several {
				r.Table, r.Metric = firstTable+i, uplinkMetric
				w.Routes = append(w.Routes, r)
			}
		}
		if several {
			w.uplinkRules(i, u.Link)
		}
	}
}

// gateway returns who an uplink sends to. A tunnel sends to nobody in particular.
func (w *wanted) gateway(u netcfg.Uplink, v6 bool) (via netip.Addr, ok bool) {
	f, _ := w.doc.Interface(u.Link)
	switch {
	case v6 && u.Gateway6.IsValid():
		return u.Gateway6.Addr, true
	case v6 && f.SLAAC:
		via = w.facts.Gateways6[u.Link]
	case v6:
	case u.Gateway4.IsValid():
		return u.Gateway4.Addr, true
	case f.DHCP4 != nil && !f.DHCP4.IgnoreRouter:
		via = w.facts.Leases[u.Link].Router
	}
	return via, via.IsValid() || w.isTunnel(u.Link)
}

func (w *wanted) isTunnel(link string) bool {
	for _, t := range w.doc.WireGuard {
		if t.Name == link {
			return true
		}
	}
	return false
}

func (w *wanted) uplinkRules(i int, link string) {
	for _, a := range w.Addrs {
		if a.Link == link && !a.Prefix.Addr().IsLinkLocalUnicast() {
			w.Rules = append(w.Rules, Rule{Priority: addressRules + i, V6: a.Prefix.Addr().Is6(), From: a.Prefix.Addr(), Table: firstTable + i})
		}
	}
	w.rule(Rule{Priority: markRules + i, Mark: netcfg.UplinkMark(i), Table: firstTable + i})
}

// rule adds a rule for both IP versions.
func (w *wanted) rule(r Rule) {
	w.Rules = append(w.Rules, r)
	if r.V6 = true; !w.facts.NoIPv6 {
		w.Rules = append(w.Rules, r)
	}
}
