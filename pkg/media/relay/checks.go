package relay

import (
	"time"

	"github.com/coraltele/sanchar/pkg/media/ice"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// maxChecked is how many addresses of a party are remembered that its checks came from: Wi-Fi and mobile,
// in both IP versions.
const maxChecked = 4

// checkTime is how long an address is the party's after its last check. A party checks every five seconds
// while it wants to hear (RFC 7675 §5.1), and its consent lasts for thirty.
const checkTime = 30 * time.Second

// Checks are the addresses that the authenticated checks of a party came from.
type Checks struct {
	From      [maxChecked]udpio.Sockaddr
	At        [maxChecked]int64 // of the last check; 0 for a place that is free
	Priority  uint32            // of the one that is sent to
	Nominated bool              // the party has chosen it
}

// has returns the place of an address, or -1.
func (c *Checks) has(from *udpio.Sockaddr) int {
	for i := range c.From {
		if c.At[i] != 0 && c.From[i].Equal(from) {
			return i
		}
	}
	return -1
}

// add remembers an address in place of the one that was heard of least recently.
func (c *Checks) add(from *udpio.Sockaddr, now int64) {
	i := c.has(from)
	if i < 0 {
		i = 0
		for j := range c.At {
			if c.At[j] < c.At[i] {
				i = j
			}
		}
	}
	c.From[i], c.At[i] = *from, max(now, 1)
}

// fresh reports whether an address was checked from lately.
func (c *Checks) fresh(from *udpio.Sockaddr, now int64) bool {
	i := c.has(from)
	return i >= 0 && now-c.At[i] < int64(checkTime)
}

// check says whether only checks prove the peer from now on.
func (p *peer) check(checking bool) {
	if p.checking == checking {
		return
	}
	p.checking, p.checks = checking, Checks{}
	p.proven, p.addr = false, p.said
}

// prove takes a check of the party. The first one shows where it can be sent to; later the party's
// nomination does, of several the one of the highest priority (RFC 8445 §8.1.1 has one only; peers that
// follow RFC 5245 §8.1.1.2 nominate all). One that is not checked any more has lost its right.
func (p *peer) prove(from *udpio.Sockaddr, c ice.Check, now int64) {
	p.checks.add(from, now)
	current := from.Equal(&p.addr)
	lost := !p.checks.fresh(&p.addr, now)
	switch {
	case !p.proven, c.Nominated && (current || !p.checks.Nominated || lost || c.Priority >= p.checks.Priority):
		p.addr, p.proven, p.last, p.until = *from, true, now, now
		p.checks.Priority, p.checks.Nominated = max(c.Priority, p.checks.Priority), c.Nominated || (current && p.checks.Nominated)
		if !current {
			p.checks.Priority = c.Priority
		}
	case current:
		p.last = max(p.last, now)
	}
}
