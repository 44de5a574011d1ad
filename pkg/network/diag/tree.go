// Package diag finds out what is wrong with the network, from the cable upwards: what fails explains
// what needs it, and each fault has its cure.
package diag

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	checkTime = 8 * time.Second  // of one check
	wholeTime = 20 * time.Second // of all
)

// finding is what a check has seen.
type finding struct {
	state          ctl.DiagState
	evidence, cure string
}

func well(evidence string) finding         { return finding{ctl.DiagOK, evidence, ""} }
func warn(evidence, cure string) finding   { return finding{ctl.DiagWarn, evidence, cure} }
func failed(evidence, cure string) finding { return finding{ctl.DiagFailed, evidence, cure} }

// check looks at one thing. It is done when at least one of those that it needs is well, and its
// parent is the first of them that is.
type check struct {
	id, name string
	needs    []string
	run      func(ctx context.Context) finding
}

// done is a check that has run; ended is closed then.
type done struct {
	check
	node  ctl.DiagNode
	ended chan struct{}
}

// run does all checks, each as soon as it can be done. Those that a check needs stand before it.
func run(ctx context.Context, checks []check) ctl.Diagnosis {
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	start := time.Now()
	all, byID := make([]*done, len(checks)), map[string]*done{}
	var wg sync.WaitGroup
	for i, c := range checks {
		d := &done{check: c, ended: make(chan struct{})}
		all[i], byID[c.id] = d, d
		var needs []*done
		for _, id := range c.needs {
			needs = append(needs, byID[id])
		}
		wg.Go(func() {
			defer close(d.ended)
			d.look(ctx, needs)
		})
	}
	wg.Wait()
	out := ctl.Diagnosis{At: start.UTC(), Took: time.Since(start)}
	for _, d := range all {
		out.Nodes = append(out.Nodes, d.node)
	}
	return out
}

// look waits for what the check needs, then runs it.
func (d *done) look(ctx context.Context, needs []*done) {
	d.node = ctl.DiagNode{ID: d.id, Name: d.name}
	var broken []string
	ready := len(needs) == 0
	for _, n := range needs {
		<-n.ended // each ends within its time
		switch {
		case n.node.State != ctl.DiagOK && n.node.State != ctl.DiagWarn:
			broken = append(broken, n.name)
		case !ready:
			d.node.Parent, ready = n.id, true
		}
	}
	if !ready {
		d.node.Parent = needs[0].id
		d.node.State, d.node.Evidence = ctl.DiagSkipped, "not looked at: "+strings.Join(broken, " and ")+" must be well first"
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	start := time.Now()
	f := d.run(ctx)
	d.node.State, d.node.Evidence, d.node.Cure, d.node.Took = f.state, f.evidence, f.cure, time.Since(start)
}
