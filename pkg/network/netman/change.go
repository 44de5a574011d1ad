package netman

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/netapply"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Propose tells what a change would do. It changes nothing.
func (m *Manager) Propose(_ context.Context, p ctl.NetProposal) (plan ctl.NetPlan, err error) {
	doc, err := m.read(p)
	if err != nil {
		return plan, err
	}
	kernel, err := m.plan(doc, p)
	if err != nil {
		return plan, err
	}
	before, _ := m.cfg.File.Load()
	return words(netcfg.Diff(before, doc), kernel), nil
}

// read returns the document that is proposed.
func (m *Manager) read(p ctl.NetProposal) (doc netcfg.Document, err error) {
	if wait := time.Duration(p.ConfirmSeconds) * time.Second; p.ConfirmSeconds != 0 && (wait < LeastConfirm || wait > MostConfirm) {
		return doc, problem.Fields("net.confirm", []problem.Fault{{
			Path: "confirm_seconds", Value: fmt.Sprint(p.ConfirmSeconds), Rule: fmt.Sprintf("is from %d to %d", LeastConfirm/time.Second, MostConfirm/time.Second),
			Cure: "choose how long the change waits for its confirmation, or leave it out for 60",
		}})
	}
	if p.Restore > 0 {
		doc, _, err = m.cfg.File.At(p.Restore)
		return doc, err
	}
	return netcfg.Parse(p.Document)
}

func (m *Manager) plan(doc netcfg.Document, p ctl.NetProposal) (netapply.Plan, error) {
	facts, _ := m.cfg.Sources.Facts()
	kernel, err := m.cfg.Applier.Plan(doc, facts)
	if err == nil {
		kernel.Mark(p.Client.Unmap(), p.Local.Unmap(), kernel.Have)
	}
	return kernel, err
}

func words(changes []string, kernel netapply.Plan) ctl.NetPlan {
	plan := ctl.NetPlan{Changes: changes, Steps: []ctl.NetStep{}, Firewall: kernel.Firewall, Waiting: kernel.Waiting, Blocked: kernel.Blocked, Foreign: kernel.Foreign}
	if plan.Changes == nil {
		plan.Changes = []string{}
	}
	for _, s := range kernel.Steps {
		plan.Steps = append(plan.Steps, ctl.NetStep{Text: s.String(), Cuts: s.Cuts})
	}
	return plan
}

// Apply applies a change and starts the countdown. If it cannot be applied whole, it goes back at once.
func (m *Manager) Apply(ctx context.Context, p ctl.NetProposal) (ctl.NetCandidate, error) {
	doc, err := m.read(p)
	if err != nil {
		return ctl.NetCandidate{}, err
	}
	return run(ctx, m, func() (ctl.NetCandidate, error) { return m.begun(p, doc) })
}

// begun runs in Run's goroutine.
func (m *Manager) begun(p ctl.NetProposal, doc netcfg.Document) (none ctl.NetCandidate, err error) {
	before, rev := m.cfg.File.Load()
	if err := m.mayBegin(p, rev); err != nil {
		return none, err
	}
	kernel, err := m.plan(doc, p)
	if err != nil {
		return none, err
	}
	if len(kernel.Blocked) > 0 {
		return none, problem.New(problem.Conflict, "net.blocked", "the change cannot be made: "+strings.Join(kernel.Blocked, "; "), "choose other names, or remove what is in the way")
	}
	c, err := newCandidate(p, doc, netcfg.Diff(before, doc), time.Now())
	if err != nil {
		return none, err
	}
	if err := m.saveCandidate(c); err != nil {
		return none, err
	}
	m.setCandidate(c)
	m.timer.Reset(time.Until(c.Until))
	m.cfg.Log.Info("network change applied until it is confirmed", "who", c.Who, "until", c.Until)
	if err := m.apply(doc); err != nil {
		m.revert("it could not be applied: " + err.Error())
		return none, problem.Wrap(err, problem.Conflict, "net.apply", "the change could not be applied and was taken back: "+err.Error(),
			"look at what the kernel refused; the network is as it was")
	}
	m.setFault(nil)
	return c.NetCandidate, nil
}

// mayBegin refuses a change where there must be none.
func (m *Manager) mayBegin(p ctl.NetProposal, rev conf.Revision) error {
	switch c := m.pending(); {
	case !m.cfg.Manage:
		return problem.New(problem.Unavailable, "net.plan-only", "netd manages no network here: it only tells what it would do", "start it with --manage on a box of its own")
	case c != nil:
		return problem.New(problem.Conflict, "net.pending", fmt.Sprintf("a change by %s waits for its confirmation", c.Who), "confirm or revert it first")
	case rev.Number != p.Revision:
		return problem.New(problem.Conflict, "net.changed", fmt.Sprintf("%s changed the network meanwhile", rev.Who), "look at it as it is now and change it again")
	}
	return nil
}

// Confirm makes the candidate last.
func (m *Manager) Confirm(ctx context.Context, who string) (conf.Revision, error) {
	return run(ctx, m, func() (conf.Revision, error) {
		c := m.pending()
		if c == nil {
			return conf.Revision{}, errNoCandidate()
		}
		author := c.Who
		if who != author {
			author += ", confirmed by " + who
		}
		rev, err := m.cfg.File.Save(c.doc, c.Base, author)
		if err != nil {
			return rev, err
		}
		m.timer.Stop()
		m.setCandidate(nil)
		m.ended(c.NetCandidate, true, who+" confirmed it")
		if err := m.dropCandidate(); err != nil { // the next start sees that it is older than what was confirmed
			m.cfg.Log.Warn("the file of a confirmed candidate stays until the next start", "err", err)
		}
		return rev, nil
	})
}

// Revert takes the candidate back at once.
func (m *Manager) Revert(ctx context.Context, who string) error {
	_, err := run(ctx, m, func() (struct{}, error) {
		if m.pending() == nil {
			return struct{}{}, errNoCandidate()
		}
		m.revert(who + " took it back")
		return struct{}{}, nil
	})
	return err
}

func errNoCandidate() error {
	return problem.New(problem.Missing, "net.no-candidate", "no change waits for a confirmation", "it was confirmed, or went back because nobody confirmed it in time")
}
