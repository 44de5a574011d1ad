package netplan

import "strconv"

// settings are the kernel's switches that differ from what every kernel starts with.
func (w *wanted) settings() {
	set := func(path string, value int) { w.Settings[path] = strconv.Itoa(value) }
	set("ipv4/ip_forward", 1)                   // the firewall decides what passes
	set("ipv4/conf/all/rp_filter", 0)           // what counts is the larger of this and the link's
	set("ipv4/conf/all/promote_secondaries", 1) // removing one address takes no other with it
	set("ipv4/conf/all/accept_redirects", 0)    // a neighbour does not choose our routes
	set("ipv4/conf/all/send_redirects", 0)      // hosts of one link keep coming through the firewall
	set("ipv4/icmp_echo_ignore_broadcasts", 1)  // RFC 1122 §3.2.2.6
	set("ipv4/tcp_syncookies", 1)               // RFC 4987 §3.6
	set("ipv4/conf/all/accept_source_route", 0) // RFC 6274 §3.13.2.3
	set("ipv4/conf/all/arp_announce", 2)        // ARP speaks with an address of the link's network
	if !w.facts.NoIPv6 {
		set("ipv6/conf/all/forwarding", 1)
		set("ipv6/conf/all/accept_redirects", 0)
		set("ipv6/conf/all/accept_source_route", 0)
	}
	for _, l := range w.Links {
		if l.Kind != KindIFB {
			w.linkSettings(l, set)
		}
	}
}

func (w *wanted) linkSettings(l Link, set func(path string, value int)) {
	v4, v6 := "ipv4/conf/"+l.Name+"/", "ipv6/conf/"+l.Name+"/"
	set(v4+"rp_filter", 2) // loose, RFC 3704 §2.4: with two uplinks packets come by another way than they go
	set(v4+"accept_redirects", 0)
	set(v4+"send_redirects", 0)
	if w.facts.NoIPv6 {
		return
	}
	f, used := w.doc.Interface(l.Name)
	set(v6+"disable_ipv6", onOff(!used)) // a member or an unused link is not to be spoken to
	set(v6+"accept_redirects", 0)
	set(v6+"use_tempaddr", 0)             // a server's address stays
	set(v6+"accept_ra", 2*onOff(f.SLAAC)) // 2: although we forward
	set(v6+"autoconf", onOff(f.SLAAC))
	set(v6+"accept_ra_defrtr", onOff(f.SLAAC))
	if f.SLAAC {
		set(v6+"ra_defrtr_metric", kernelMetric)
	}
}

// kernelMetric is that of the kernel's own default routes from advertisements: ours, which know of
// checks and preference, come first.
const kernelMetric = 5000

func onOff(on bool) int {
	if on {
		return 1
	}
	return 0
}
