package netplan

import "net/netip"

// Advertised returns, by link, the default routers that the kernel learned from advertisements.
func Advertised(have State) map[string]netip.Addr {
	found, lowest := map[string]netip.Addr{}, map[string]int{}
	for _, r := range have.Routes {
		if !r.Kernel || r.To.Bits() != 0 || !r.Via.Is6() || r.Table != mainTable {
			continue
		}
		if metric, seen := lowest[r.Link]; !seen || r.Metric < metric {
			found[r.Link], lowest[r.Link] = r.Via, r.Metric
		}
	}
	return found
}
