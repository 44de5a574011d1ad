// Package guard keeps the kernel's packet filter in step: with the network document, with what the
// daemons listen on, and with whom switchd knows and bans.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/nft"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Config says whom the guard asks and what it writes to.
type Config struct {
	Kernel   *nft.Kernel
	Switch   ctl.Switch
	Media    ctl.Media
	Admin    ctl.Admin
	Links    func() (links []ctl.Link, changed <-chan struct{})
	StateDir string // where the facts of before are kept: at start nobody listens yet
	PlanOnly bool   // the kernel is left alone
	Log      *slog.Logger
}

// Guard is the packet filter of the box. Its methods may be called from any goroutine.
type Guard struct {
	cfg  Config
	log  *slog.Logger
	feed *feed

	mu    sync.Mutex // one apply after the other; guards what follows
	doc   *netcfg.Document
	facts filter.Facts
	fault error // of the last try to apply
}

// New returns a guard that has applied nothing. It begins with the facts that the last one kept.
func New(cfg Config) (*Guard, error) {
	g := &Guard{cfg: cfg, log: slogx.Part(cfg.Log, "guard")}
	facts, err := readFacts(g.factsFile())
	if err != nil {
		g.log.Warn("what the daemons listened on before is not known", "err", err)
	}
	g.facts = facts
	g.feed = newFeed(cfg.Kernel, g.log)
	return g, nil
}

func (g *Guard) factsFile() string { return filepath.Join(g.cfg.StateDir, "firewall-facts.json") }

// Run follows the daemons and the links until ctx ends, and applies the document anew when they change.
func (g *Guard) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { g.followFacts(ctx) })
	if !g.cfg.PlanOnly {
		wg.Go(func() { g.followSwitch(ctx) })
		wg.Go(func() { g.feed.run(ctx) })
	}
	wg.Wait()
	return errors.Join(g.cfg.Switch.Close(), g.cfg.Media.Close(), g.cfg.Admin.Close())
}

// Apply makes the kernel hold the ruleset of a document that is valid, in one transaction. What holds
// already is left as it is.
func (g *Guard) Apply(ctx context.Context, doc netcfg.Document) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cfg.PlanOnly {
		return errors.New("the packet filter is planned only: netd does not manage this machine")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	before := g.doc
	g.doc = &doc
	err := g.applyLocked()
	if err != nil {
		g.doc = before // what was right goes on being kept right
	}
	return err
}

func (g *Guard) applyLocked() error {
	r := filter.Build(*g.doc, g.facts)
	changed, err := g.cfg.Kernel.Apply(r)
	g.fault = err
	if err != nil {
		return fmt.Errorf("apply the packet filter: %w", err)
	}
	if changed {
		g.log.Info("packet filter applied", "generation", r.Generation(), "rules", len(r.Counters()))
		g.feed.resync()
	}
	return nil
}

// Remove takes our rules out of the kernel: everything passes again.
func (g *Guard) Remove() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.doc = nil
	return g.cfg.Kernel.Remove()
}

// Steps says in words what Apply would change; nothing when the kernel holds the document's rules already.
func (g *Guard) Steps(doc netcfg.Document) (steps []string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	want := filter.Build(doc, g.facts)
	if !g.cfg.PlanOnly {
		holds, err := g.cfg.Kernel.Holds(want)
		if err != nil || holds {
			return nil, err
		}
	}
	var have *ruleset.Ruleset
	if g.doc != nil {
		have = filter.Build(*g.doc, g.facts)
	}
	return difference(have, want), nil
}

// difference lists the rules that come and go, in words.
func difference(have, want *ruleset.Ruleset) (steps []string) {
	before, after := sayings(have), sayings(want)
	for _, says := range before {
		if !slices.Contains(after, says) {
			steps = append(steps, "no more: "+says)
		}
	}
	for _, says := range after {
		if !slices.Contains(before, says) {
			steps = append(steps, "new: "+says)
		}
	}
	if len(steps) == 0 {
		steps = append(steps, "the packet filter's rules are written anew")
	}
	return steps
}

func sayings(r *ruleset.Ruleset) (all []string) {
	if r == nil {
		return nil
	}
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			if rule.Says != "" && !slices.Contains(all, rule.Says) {
				all = append(all, rule.Says)
			}
		}
	}
	return all
}

// Pauses between looks at what the daemons listen on, and between tries to reach one that is away.
const (
	lookEvery  = 5 * time.Second
	lookSoon   = 500 * time.Millisecond // while somebody has not told yet
	retryFirst = 100 * time.Millisecond
	retryLast  = 2 * time.Second
)

// followFacts looks at links and daemons, and applies the document anew when something changed.
func (g *Guard) followFacts(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		links, changed := g.cfg.Links()
		if complete := g.take(ctx, links); complete {
			timer.Reset(lookEvery)
		} else {
			timer.Reset(lookSoon)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		case <-g.feed.connected:
		}
	}
}

// take asks what there is now and reports whether all have told. A daemon that does not answer keeps
// the ports that it had.
func (g *Guard) take(ctx context.Context, links []ctl.Link) bool {
	g.mu.Lock()
	old := g.facts
	g.mu.Unlock()
	facts, complete := g.ask(ctx, old, links)
	if same(old, facts) {
		g.retry()
		return complete
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.facts = facts
	if err := writeFacts(g.factsFile(), facts); err != nil {
		g.log.Warn("what the daemons listen on is not kept", "err", err)
	}
	if g.doc == nil {
		return complete
	}
	if err := g.applyLocked(); err != nil {
		g.log.Error("the packet filter does not follow what the box listens on", "err", err)
	}
	return complete
}

// retry tries once more what failed when the facts changed.
func (g *Guard) retry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fault == nil || g.doc == nil {
		return
	}
	if err := g.applyLocked(); err == nil {
		g.log.Info("the packet filter is applied after all")
	}
}
