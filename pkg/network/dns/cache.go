package dns

import (
	"container/list"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// question is what answers are kept by.
type question struct {
	name  string // canonical
	qtype uint16
	do    bool // with DNSSEC records
}

type entry struct {
	q      question
	msg    *dns.Msg // never changed
	stored time.Time
	ttl    time.Duration
}

// cache keeps the answers that were used last.
type cache struct {
	most int

	mu    sync.Mutex
	byKey map[question]*list.Element
	order *list.List // of *entry, the one used last in front
}

func newCache(most int) *cache {
	return &cache{most: most, byKey: map[question]*list.Element{}, order: list.New()}
}

// get returns an answer with what is left of its time, or, if stale ones will do, one whose time is over.
func (c *cache) get(q question, now time.Time, stale bool) *dns.Msg {
	c.mu.Lock()
	el, ok := c.byKey[q]
	if !ok {
		c.mu.Unlock()
		return nil
	}
	c.order.MoveToFront(el)
	e := el.Value.(*entry)
	c.mu.Unlock()
	age := now.Sub(e.stored)
	switch {
	case age >= 0 && age < e.ttl:
		return aged(e.msg, func(ttl uint32) uint32 { return ttl - min(ttl, uint32(age/time.Second)) })
	case stale && age < e.ttl+maxStale:
		return aged(e.msg, func(uint32) uint32 { return staleTTL })
	}
	return nil
}

// aged copies a message and changes its times.
func aged(m *dns.Msg, ttl func(uint32) uint32) *dns.Msg {
	m = m.Copy()
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT { // its TTL field is none
				h.Ttl = ttl(h.Ttl)
			}
		}
	}
	return m
}

// put keeps an answer as long as its records hold.
func (c *cache) put(q question, m *dns.Msg, now time.Time) {
	ttl, ok := holds(m)
	if !ok || ttl <= 0 || m.Len() > maxCached {
		return
	}
	e := &entry{q: q, msg: m.Copy(), stored: now, ttl: ttl}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.byKey[q]; ok {
		el.Value = e
		c.order.MoveToFront(el)
		return
	}
	c.byKey[q] = c.order.PushFront(e)
	for c.order.Len() > c.most {
		oldest := c.order.Remove(c.order.Back()).(*entry)
		delete(c.byKey, oldest.q)
	}
}

func (c *cache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}

// holds returns how long an answer may be used, and false for one that may not be kept.
func holds(m *dns.Msg) (time.Duration, bool) {
	if m.Truncated || (m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError) {
		return 0, false
	}
	if m.Rcode == dns.RcodeNameError || len(m.Answer) == 0 {
		return holdsNegative(m)
	}
	ttl := maxTTL
	for _, rr := range m.Answer {
		ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
	}
	return ttl, true
}

// holdsNegative is RFC 2308 §5: the lesser of the SOA's own time and its minimum; without a SOA an
// answer is not kept.
func holdsNegative(m *dns.Msg) (time.Duration, bool) {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(maxNegativeTTL, time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second), true
		}
	}
	return 0, false
}
