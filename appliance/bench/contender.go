package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/peers"
	"github.com/coraltele/sanchar/appliance/bench/proc"
	"github.com/coraltele/sanchar/appliance/bench/sipload"
)

// Users of the load. Those of TCP have a connection each.
const (
	udpUsers = 1000
	tcpUsers = 200
)

// contender is one server with its phones.
type contender struct {
	server   *peers.Server
	udp, tcp *sipload.Load
	relayed  bool // media goes through it

	open   []*measurement // wait for their end
	rested time.Time      // when all media ports are free again
}

// newContender registers all phones with a server that runs.
func newContender(ctx context.Context, s *peers.Server, o options, relayed bool) (c *contender, err error) {
	c = &contender{server: s, relayed: relayed}
	cfg := sipload.Config{
		Server: s.SIP, Phones: peers.Phones(), Domain: peers.Domain, Users: udpUsers, Outstanding: o.outstanding, Relayed: relayed,
	}
	if c.udp, err = sipload.New(cfg); err != nil {
		return nil, err
	}
	cfg.TCP, cfg.First, cfg.Users = true, udpUsers, tcpUsers
	if c.tcp, err = sipload.New(cfg); err != nil {
		return nil, errors.Join(err, c.udp.Close())
	}
	err = c.udp.Run(ctx, sipload.Work{Op: sipload.Register, Limit: udpUsers})
	if err == nil {
		err = c.tcp.Run(ctx, sipload.Work{Op: sipload.Register, Limit: tcpUsers})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("register with %s: %w", s.Name, err), c.close())
	}
	return c, nil
}

func (c *contender) close() error { return errors.Join(c.udp.Close(), c.tcp.Close()) }

// relayedCalls is how many calls one measurement makes at most where media is relayed: mediad opens
// 8,000 pairs of ports, two for a call, and lets each rest for 5 s after it.
const relayedCalls = 3500

// portRest is how long all ports take to be free again.
const portRest = 5 * time.Second

// measurement is what one measurement found.
type measurement struct {
	cost      map[string]time.Duration // CPU of each part for one operation
	rate      float64                  // operations a second
	generator time.Duration            // CPU of the generator for one operation
	seen      sipload.Counts

	before map[string]time.Duration
}

// trial is one kind of load.
type trial struct {
	op   sipload.Op
	tcp  bool
	rate int // operations a second; 0 is as many as are answered
}

// measure loads the contender. What the server puts off, as Kamailio the end of its transactions and
// ours the collection of garbage, is counted too: the measurement ends with the contender's next,
// or with settle, while its rivals are loaded.
func (c *contender) measure(ctx context.Context, t trial, length time.Duration) (*measurement, error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	if c.relays(t) {
		time.Sleep(time.Until(c.rested))
	}
	l := c.udp
	if t.tcp {
		l = c.tcp
	}
	if t.op == sipload.Refresh { // nonces that are still good
		if err := l.Run(ctx, sipload.Work{Op: sipload.Register, Limit: udpUsers}); err != nil {
			return nil, fmt.Errorf("%s: %w", c.server.Name, err)
		}
	}
	m := &measurement{}
	var err error
	if m.before, err = c.cpu(); err != nil {
		return nil, err
	}
	own, err := proc.Own()
	if err != nil {
		return nil, err
	}
	seen, began := l.Counts(), time.Now()
	limited, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	w := sipload.Work{Op: t.op, Rate: t.rate}
	if c.relays(t) {
		w.Limit = relayedCalls
	}
	if err := l.Run(limited, w); err != nil {
		return nil, fmt.Errorf("%s: %w", c.server.Name, err)
	}
	took := time.Since(began)
	ownAfter, err := proc.Own()
	if c.relays(t) {
		c.rested = time.Now().Add(portRest)
	}
	m.seen = difference(l.Counts(), seen)
	if m.seen.Done == 0 {
		return nil, errors.Join(err, fmt.Errorf("%s: no %s was done", c.server.Name, t.op))
	}
	m.rate = float64(m.seen.Done) / took.Seconds()
	m.generator = (ownAfter - own) / time.Duration(m.seen.Done)
	c.open = append(c.open, m)
	return m, err
}

// relays reports whether a trial takes media ports.
func (c *contender) relays(t trial) bool { return c.relayed && t.op == sipload.Call }

func difference(a, b sipload.Counts) sipload.Counts {
	return sipload.Counts{Done: a.Done - b.Done, Retransmitted: a.Retransmitted - b.Retransmitted, Repeated: a.Repeated - b.Repeated, Stale: a.Stale - b.Stale}
}

// cpu returns the CPU time of each part.
func (c *contender) cpu() (map[string]time.Duration, error) {
	sum := map[string]time.Duration{}
	for _, name := range c.server.Parts() {
		t, err := c.server.CPU(name)
		if err != nil {
			return nil, err
		}
		sum[name] = t
	}
	return sum, nil
}

// settle ends the measurements that wait for it.
func (c *contender) settle() error {
	if len(c.open) == 0 {
		return nil
	}
	now, err := c.cpu()
	for _, m := range c.open {
		m.cost = map[string]time.Duration{}
		for name, t := range now {
			m.cost[name] = (t - m.before[name]) / time.Duration(m.seen.Done)
		}
	}
	c.open = nil
	return err
}

// sum is the cost of the parts that are named.
func (m *measurement) sum(parts []string) (sum time.Duration) {
	for _, name := range parts {
		sum += m.cost[name]
	}
	return sum
}

// lowest returns the cheapest of measurements, counting these parts.
func lowest(all []*measurement, parts []string) *measurement {
	var best *measurement
	for _, m := range all {
		if best == nil || m.sum(parts) < best.sum(parts) {
			best = m
		}
	}
	return best
}
