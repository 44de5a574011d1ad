package netcfg

// FirstBoot returns the document of a box that nobody has set up: its first port asks for an address
// and reaches the page and the telephone; the others wait. Nothing comes in from elsewhere.
func FirstBoot(ports []string) Document {
	var d Document
	for _, name := range ports {
		d.Ports = append(d.Ports, Port{Name: name})
	}
	d.Zones = []Zone{{
		Name: "Office", Kind: Management,
		Services: []Service{ServePage, ServeSIP, ServeMedia, ServeProvision, ServeMDNS, ServePing},
	}}
	if len(ports) > 0 {
		d.Interfaces = []Interface{{Link: ports[0], Zone: "Office", DHCP4: &DHCPClient{}, SLAAC: true}}
		d.Uplinks = []Uplink{{Name: "Office", Link: ports[0], Check: Check{Method: CheckLink}}}
	}
	return d
}
