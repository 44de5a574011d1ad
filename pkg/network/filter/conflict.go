package filter

import (
	"fmt"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

// Conflicts says in words what of a document cannot work beside what the box itself listens on.
func Conflicts(doc netcfg.Document, facts Facts) (faults []string) {
	own := append(portRanges(facts.SIPUDP), portRanges(facts.STUN)...)
	if facts.Media.Last > 0 {
		own = append(own, facts.Media)
	}
	for _, f := range doc.NAT.Forwards {
		if f.Disabled || f.Protocol != netcfg.UDP {
			continue
		}
		for _, r := range own {
			if f.Ports.First <= r.Last && r.First <= f.Ports.Last {
				faults = append(faults, fmt.Sprintf("forward %s takes udp %s, where the box itself serves SIP or media (%s): choose other ports outside", f.Name, f.Ports, r))
			}
		}
	}
	if facts.Page != 0 && facts.Provision == 0 {
		faults = append(faults, silentProvision(doc)...)
	}
	return faults
}

// silentProvision names the zones that may fetch settings of phones but not open the page, which is
// where the box serves them.
func silentProvision(doc netcfg.Document) (faults []string) {
	for _, z := range doc.Zones {
		if z.Offers(netcfg.ServeProvision) && !z.Offers(netcfg.ServePage) {
			faults = append(faults, fmt.Sprintf("zone %s cannot fetch settings of phones: the box serves them on the page's port, which the zone may not reach", z.Name))
		}
	}
	return faults
}
