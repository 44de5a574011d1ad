package filter

import (
	"fmt"
	"slices"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// Conflicts says in words what of a document cannot work beside what the box itself listens on.
func Conflicts(doc netcfg.Document, facts Facts) (faults []string) {
	for _, t := range taken(doc, facts) {
		faults = append(faults, fmt.Sprintf("forward %s takes udp %s, where the box itself serves SIP or media (%s): choose other ports outside", t.forward.Name, t.forward.Ports, t.own))
	}
	if facts.Page != 0 { // admind was asked
		faults = append(faults, silentProvision(doc, facts)...)
	}
	return faults
}

// Faults are the conflicts that a new document must not have, by its fields.
func Faults(doc netcfg.Document, facts Facts) (faults []problem.Fault) {
	for _, t := range taken(doc, facts) {
		faults = append(faults, problem.Fault{
			Path: fmt.Sprintf("nat.forwards[%d].ports", t.at), Value: t.forward.Ports.String(), Rule: fmt.Sprintf("leaves udp %s to the box's own SIP and media", t.own),
			Cure: "choose other ports outside; the ports inside may stay as they are, with toPort",
		})
	}
	return faults
}

// takenPorts is a forward of UDP ports that the box itself serves.
type takenPorts struct {
	at      int // in the document
	forward netcfg.Forward
	own     ruleset.PortRange
}

// taken lists each forward once, with the first of the box's ports that it covers.
func taken(doc netcfg.Document, facts Facts) (all []takenPorts) {
	own := append(portRanges(facts.SIPUDP), portRanges(facts.STUN)...)
	if facts.Media.Last > 0 {
		own = append(own, facts.Media)
	}
	for i, f := range doc.NAT.Forwards {
		at := slices.IndexFunc(own, func(r ruleset.PortRange) bool { return f.Ports.First <= r.Last && r.First <= f.Ports.Last })
		if at >= 0 && !f.Disabled && f.Protocol == netcfg.UDP {
			all = append(all, takenPorts{i, f, own[at]})
		}
	}
	return all
}

// silentProvision names the zones that may fetch settings of phones where the box serves none.
func silentProvision(doc netcfg.Document, facts Facts) (faults []string) {
	for _, z := range doc.Zones {
		silent := z.Offers(netcfg.ServeProvision) && facts.Provision == 0 || z.Offers(netcfg.ServePlainProv) && facts.PlainProv == 0
		if silent {
			faults = append(faults, fmt.Sprintf("zone %s cannot fetch settings of phones: the box does not serve them now, see its alarms", z.Name))
		}
	}
	return faults
}
