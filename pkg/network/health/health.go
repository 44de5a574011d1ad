// Package health finds out which uplinks work, so that the next can take over.
package health

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/workers"
)

// State is how an uplink is.
type State struct {
	Up    bool      `json:"up"`
	Since time.Time `json:"since"`
	Why   string    `json:"why,omitempty"` // what the last check that failed found
}

// Probe checks an uplink once: nil when it works. It ends with ctx.
type Probe func(ctx context.Context, link string, method netcfg.CheckMethod, target netip.AddrPort) error

// Checker checks all uplinks. Its methods may be called from any goroutine.
type Checker struct {
	log     *slog.Logger
	probe   Probe
	workers *workers.Set[task]

	mu      sync.Mutex
	states  map[string]State
	changed chan struct{} // closed when states is replaced
}

// task is the check of one uplink.
type task struct {
	link    string
	check   netcfg.Check
	gateway netip.Addr
}

// New returns a checker that checks by probe.
func New(probe Probe, log *slog.Logger) *Checker {
	c := &Checker{log: log, probe: probe, changed: make(chan struct{})}
	c.workers = workers.New(c.work)
	return c
}

// Want says which uplinks to check, and the gateways of their links as they are known now.
func (c *Checker) Want(doc netcfg.Document, gateways map[string]netip.Addr) {
	want := map[string]task{}
	for _, u := range doc.Uplinks {
		gateway := u.Gateway4.Addr
		if !gateway.IsValid() {
			gateway = gateways[u.Link]
		}
		if !gateway.IsValid() {
			gateway = u.Gateway6.Addr
		}
		want[u.Name] = task{u.Link, u.Check, gateway}
	}
	c.workers.Want(want)
}

// Run checks until ctx ends.
func (c *Checker) Run(ctx context.Context) error { return c.workers.Run(ctx) }

// States returns the states of uplinks by their names, and a channel that is closed when one of them
// has come up or gone down. One that was not checked yet counts as up.
func (c *Checker) States() (states map[string]State, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.states, c.changed
}

func (c *Checker) tell(name string, s *State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := maps.Clone(c.states)
	if next == nil {
		next = map[string]State{}
	}
	delete(next, name)
	if s != nil {
		next[name] = *s
	}
	c.states = next
	close(c.changed)
	c.changed = make(chan struct{})
}

// work checks one uplink until ctx ends.
func (c *Checker) work(ctx context.Context, name string, t task) {
	state := State{Up: true, Since: time.Now().UTC()}
	c.tell(name, &state)
	defer c.tell(name, nil)
	ticker := time.NewTicker(time.Duration(t.check.IntervalOr()) * time.Second)
	defer ticker.Stop()
	first, against := true, 0 // checks in a row that say otherwise than the state
	for {
		err := c.once(ctx, t)
		if ctx.Err() != nil {
			return
		}
		if against++; (err == nil) == state.Up {
			against = 0
		}
		if err != nil {
			state.Why = err.Error()
		}
		limit := t.check.FailAfterOr()
		switch {
		case first: // nothing is known yet, so it decides alone
			limit = 1
		case !state.Up:
			limit = t.check.RecoverAfterOr()
		}
		first = false
		if against >= limit {
			state.Up, state.Since, against = !state.Up, time.Now().UTC(), 0
			c.log.Warn("uplink changed", "uplink", name, "iface", t.link, "up", state.Up, "why", state.Why)
			c.tell(name, &state)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// once asks all targets at the same time: one answer is enough.
func (c *Checker) once(ctx context.Context, t task) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(t.check.TimeoutOr())*time.Second)
	defer cancel()
	targets := t.targets()
	var wg sync.WaitGroup
	errs := make([]error, len(targets))
	for i, target := range targets {
		wg.Go(func() {
			if errs[i] = c.probe(ctx, t.link, t.check.MethodOr(), target); errs[i] == nil {
				cancel()
			}
		})
	}
	wg.Wait()
	if slices.Contains(errs, nil) {
		return nil
	}
	return errs[0]
}

// targets returns who is asked: without any it is the gateway, and without one the link itself.
func (t task) targets() (all []netip.AddrPort) {
	for _, text := range t.check.Targets {
		if ap, err := netip.ParseAddrPort(text); err == nil {
			all = append(all, ap)
		} else if a, err := netip.ParseAddr(text); err == nil {
			all = append(all, netip.AddrPortFrom(a, 0))
		}
	}
	if len(all) == 0 {
		all = append(all, netip.AddrPortFrom(t.gateway, 0))
	}
	return all
}
