package dhcp

import (
	"hash/fnv"
	"net/netip"
	"time"
)

// choose returns the address that client is offered (RFC 2131 §4.3.1): the one reserved for it, the
// one it has or had, the one it asks for, else one that nobody ever had, else the free one of the
// ranges that comes first. The choice depends on the client and the table only, so an offer need not
// be remembered, and a stranger that sends a million DISCOVERs takes no memory and no address.
func (s *Subnet) choose(t *Table, client, mac string, asked netip.Addr, now time.Time) (netip.Addr, bool) {
	if r, ok := s.reservedFor(mac); ok {
		return r.Addr, t.free(r.Addr, client, now)
	}
	if l, ok := t.of(s.Zone, client); ok && s.grants(t, l.Addr, client, now) {
		return l.Addr, true
	}
	if s.grants(t, asked, client, now) {
		return asked, true
	}
	start := startOf(client)
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.full[s.Zone]) {
		return netip.Addr{}, false
	}
	if a, ok := s.search(start, func(a netip.Addr) bool { return t.freshLocked(a, now) }); ok {
		return a, true
	}
	a, ok := s.search(start, func(a netip.Addr) bool { return t.freeLocked(a, client, now) })
	if !ok {
		t.full[s.Zone] = now.Add(fullTime)
	}
	return a, ok
}

// fullTime is how long ranges that were found full are not searched again: a look at 65,536 addresses
// takes milliseconds, and strangers can ask for it a hundred times a second.
const fullTime = time.Second

// grants reports whether a client without a reservation may have this address.
func (s *Subnet) grants(t *Table, a netip.Addr, client string, now time.Time) bool {
	return a.Is4() && s.inRange(a) && s.usable(a) && t.free(a, client, now)
}

// search goes once round all ranges, from a place of the client's own.
func (s *Subnet) search(start uint64, ok func(netip.Addr) bool) (netip.Addr, bool) {
	total := 0
	for _, r := range s.Ranges {
		total += r.size()
	}
	for i := range min(total, maxRange) {
		a := s.nth(int((start + uint64(i)) % uint64(total)))
		if ok(a) && s.usable(a) { // the first is the cheaper question
			return a, true
		}
	}
	return netip.Addr{}, false
}

func (s *Subnet) nth(i int) netip.Addr {
	for _, r := range s.Ranges {
		if i < r.size() {
			return r.at(i)
		}
		i -= r.size()
	}
	return netip.Addr{}
}

func startOf(client string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(client)) // it cannot fail
	return h.Sum64()
}

// Usage is how much of a subnet's ranges is given away.
type Usage struct {
	Zone, Iface string
	Used, Size  int
}

// Usage counts the leases that hold, for each subnet. Conflicts count as used.
func (c Config) Usage(t *Table, now time.Time) (all []Usage) {
	for i := range c.Subnets {
		s := &c.Subnets[i]
		u := Usage{Zone: s.Zone, Iface: s.Iface}
		for _, r := range s.Ranges {
			u.Size += r.size()
		}
		t.mu.Lock()
		for a, l := range t.byAddr {
			if now.Before(l.Expires) && s.inRange(a) && s.usable(a) {
				u.Used++
			}
		}
		for a, until := range t.taken {
			if _, leased := t.byAddr[a]; !leased && now.Before(until) && s.inRange(a) {
				u.Used++
			}
		}
		t.mu.Unlock()
		all = append(all, u)
	}
	return all
}
