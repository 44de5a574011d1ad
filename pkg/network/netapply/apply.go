package netapply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
)

// rounds is how often the kernel is compared again: a step may take away what another made, as a
// link that is switched off loses its routes. Two are usual.
const rounds = 4

// System is the kernel, or what stands for it in a test.
type System interface {
	HasIPv6() bool
	Snapshot(want netplan.State) (netplan.State, error)
	Do(s netplan.Step, doc netcfg.Document) error
}

// Ruleset is the firewall.
type Ruleset interface {
	// Steps says in words what Apply would change; nothing when the kernel holds it already.
	Steps(doc netcfg.Document) ([]string, error)
	// Apply replaces the whole ruleset in one transaction.
	Apply(ctx context.Context, doc netcfg.Document) error
}

// Applier brings the kernel to what a document wants.
type Applier struct {
	system System
	rules  Ruleset // nil: none
	log    *slog.Logger

	mu    sync.Mutex // guards later
	later []string   // steps that the last Apply put off, in words
}

// New returns an applier. Without rules there is no firewall.
func New(system System, rules Ruleset, log *slog.Logger) *Applier {
	return &Applier{system: system, rules: rules, log: log}
}

// Plan is what applying a document would change.
type Plan struct {
	netplan.Plan
	Firewall []string      // in words
	Later    []string      // steps that wait for the outside, in words
	Have     netplan.State // the kernel before
}

// Plan compares the kernel with a document and changes nothing.
func (a *Applier) Plan(doc netcfg.Document, facts netplan.Facts) (p Plan, err error) {
	if p.Plan, p.Have, err = a.steps(doc, facts); err != nil {
		return p, err
	}
	p.Later = a.putOff(p.Steps)
	if a.rules != nil {
		p.Firewall, err = a.rules.Steps(doc)
	}
	return p, err
}

// putOff returns those of the steps that the last Apply put off.
func (a *Applier) putOff(steps []netplan.Step) (later []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range steps {
		if text := s.String(); slices.Contains(a.later, text) {
			later = append(later, text)
		}
	}
	return later
}

// errLater marks a step that needs something else first, as a peer's name needs an uplink. It is tried
// again at the next comparison, and is no reason to take a change back.
var errLater = errors.New("it is tried again")

// errUnsettled says that somebody else changes what we set.
var errUnsettled = errors.New("the network does not stay as it was set: another program changes it too")

// Apply brings the kernel to what a document wants, and goes on after a step that failed. It returns
// how many steps were done and what is still wrong at the end. The firewall comes first, so that
// nothing is open for a moment, and again when all links are there.
func (a *Applier) Apply(ctx context.Context, doc netcfg.Document, facts netplan.Facts) (done int, err error) {
	if err := a.filter(ctx, doc); err != nil {
		return 0, err
	}
	left := 1
	for try := 0; try < rounds && left > 0; try++ {
		var n int
		n, left, err = a.round(ctx, doc, facts)
		done += n
	}
	if left > 0 && err == nil {
		err = errUnsettled
	}
	if done > 0 {
		err = errors.Join(err, a.filter(ctx, doc))
	}
	return done, err
}

func (a *Applier) filter(ctx context.Context, doc netcfg.Document) error {
	if a.rules == nil {
		return nil
	}
	if err := a.rules.Apply(ctx, doc); err != nil {
		return fmt.Errorf("set the firewall: %w", err)
	}
	return nil
}

// round does what one comparison finds. Left is how much it found, without what must come later.
func (a *Applier) round(ctx context.Context, doc netcfg.Document, facts netplan.Facts) (done, left int, err error) {
	p, _, err := a.steps(doc, facts)
	if err != nil {
		return 0, 0, err
	}
	var errs []error
	var later []string
	for _, s := range p.Steps {
		if err := ctx.Err(); err != nil {
			return done, 0, err
		}
		if err := a.system.Do(s, doc); err != nil {
			a.log.Warn("network step failed", "err", err)
			if errors.Is(err, errLater) {
				later = append(later, s.String())
			} else {
				errs = append(errs, err)
			}
			continue
		}
		done++
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.later = later
	return done, len(p.Steps) - len(later), errors.Join(errs...)
}

func (a *Applier) steps(doc netcfg.Document, facts netplan.Facts) (p netplan.Plan, have netplan.State, err error) {
	facts.NoIPv6 = !a.system.HasIPv6()
	have, err = a.system.Snapshot(netplan.Desired(doc, facts))
	if err != nil {
		return p, have, err
	}
	facts.Gateways6 = netplan.Advertised(have)
	facts.Tracked, facts.Buckets = netplan.Tracking(have)
	return netplan.Make(netplan.Desired(doc, facts), have), have, nil
}
