// Package netman keeps the network as it was confirmed: a change is applied as a candidate, and goes
// back by itself unless it is confirmed in time.
package netman

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/netapply"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// How long a change waits for its confirmation.
const (
	DefaultConfirm = 60 * time.Second
	LeastConfirm   = 10 * time.Second // less leaves no time to connect again
	MostConfirm    = 10 * time.Minute
)

const (
	settle  = 500 * time.Millisecond // one change of the network comes as many
	recheck = time.Minute            // what failed is tried again, what drifted is put right
)

// Applier is netapply's.
type Applier interface {
	Plan(doc netcfg.Document, facts netplan.Facts) (netapply.Plan, error)
	Apply(ctx context.Context, doc netcfg.Document, facts netplan.Facts) (done int, err error)
}

// Sources find out what the document leaves to the network: leases, which uplinks work.
type Sources interface {
	Want(doc netcfg.Document)
	// Facts returns what is known, and a channel that is closed when it has changed.
	Facts() (netplan.Facts, <-chan struct{})
}

// Config says what a manager works with.
type Config struct {
	File     *conf.File[netcfg.Document] // what was confirmed
	Dir      string                      // of the candidate's file
	Applier  Applier
	Sources  Sources
	Services func(doc netcfg.Document)                    // what else follows the document; does not block
	Links    func() (links []ctl.Link, c <-chan struct{}) // as netmon tells them
	Manage   bool                                         // else nothing is ever applied
	Log      *slog.Logger
}

// Manager is the only one who changes the network. Its methods may be called from any goroutine.
type Manager struct {
	cfg      Config
	commands chan func()
	ready    chan struct{} // closed when the confirmed state was first applied
	done     chan struct{} // closed when Run has returned

	// Only Run's goroutine has these.
	ctx   context.Context
	timer *time.Timer // of the countdown
	// What apply took into account is older than what closes these.
	facts, links <-chan struct{}

	mu        sync.Mutex // guards what others read
	candidate *candidate
	last      *ctl.NetOutcome
	fault     string
	faulty    time.Time // since when
}

// New returns a manager. It does nothing before Run.
func New(cfg Config) *Manager {
	return &Manager{cfg: cfg, commands: make(chan func()), ready: make(chan struct{}), done: make(chan struct{}), timer: stopped()}
}

func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// Ready is closed when the confirmed state was applied for the first time, as far as it could be.
func (m *Manager) Ready() <-chan struct{} { return m.ready }

// Run applies what was confirmed and follows changes until ctx ends. Then the network stays as it
// is: calls go on while netd is exchanged.
func (m *Manager) Run(ctx context.Context) error {
	defer close(m.done)
	if !m.cfg.Manage {
		close(m.ready)
		return m.planOnly(ctx)
	}
	m.ctx = ctx
	if err := m.begin(); err != nil {
		return err
	}
	close(m.ready)
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	defer m.timer.Stop()
	quiet := stopped() // runs from a change until it has settled
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case do := <-m.commands:
			do()
		case <-m.timer.C:
			m.revert("nobody confirmed it in time")
		case <-m.facts:
			_, m.facts = m.cfg.Sources.Facts()
			quiet.Reset(settle)
		case <-m.links:
			_, m.links = m.cfg.Links()
			quiet.Reset(settle)
		case <-quiet.C:
			m.follow()
		case <-tick.C:
			m.follow()
		}
	}
}

// planOnly serves those who ask and applies nothing.
func (m *Manager) planOnly(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case do := <-m.commands:
			do()
		}
	}
}

// begin brings back what was confirmed, whatever was under way when the program ended.
func (m *Manager) begin() error {
	if err := m.firstBoot(); err != nil {
		return err
	}
	left, err := m.loadCandidate()
	if err != nil {
		m.cfg.Log.Error("the candidate of before the restart cannot be read", "err", err)
	}
	m.follow()
	if left != nil {
		if _, rev := m.cfg.File.Load(); rev.Number == left.Base {
			m.ended(*left, false, "the box was restarted before it was confirmed")
		}
	}
	return m.dropCandidate()
}

// firstBoot gives a box that was never set up a network by which it can be.
func (m *Manager) firstBoot() error {
	if _, rev := m.cfg.File.Load(); rev.Number > 0 {
		return nil
	}
	links, _ := m.cfg.Links()
	var ports []string
	for _, l := range links {
		if l.Kind == "" && !l.Loopback {
			ports = append(ports, l.Name)
		}
	}
	if _, err := m.cfg.File.Save(netcfg.FirstBoot(ports), 0, "first boot"); err != nil {
		return fmt.Errorf("save the network of the first boot: %w", err)
	}
	return nil
}

// Active returns the document that the network follows now.
func (m *Manager) Active() netcfg.Document {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.candidate != nil {
		return m.candidate.doc
	}
	doc, _ := m.cfg.File.Load()
	return doc
}

// follow brings the kernel to the active document.
func (m *Manager) follow() {
	err := m.apply(m.Active())
	m.setFault(err)
	if err != nil && m.ctx.Err() == nil {
		m.cfg.Log.Error("the network is not as it should be", "err", err)
	}
}

func (m *Manager) apply(doc netcfg.Document) error {
	m.cfg.Sources.Want(doc)
	_, m.links = m.cfg.Links()
	var facts netplan.Facts
	facts, m.facts = m.cfg.Sources.Facts()
	done, err := m.cfg.Applier.Apply(m.ctx, doc, facts)
	if done > 0 {
		m.cfg.Log.Info("network changed", "steps", done)
	}
	m.cfg.Services(doc)
	return err
}

func (m *Manager) setFault(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.fault = ""
		return
	}
	if m.fault == "" {
		m.faulty = time.Now().UTC()
	}
	m.fault = err.Error()
}

// Fault returns why the network is not as it should be, "" if it is, and since when.
func (m *Manager) Fault() (text string, since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fault, m.faulty
}

// errStopped is for those who ask a manager that has ended.
func errStopped() error {
	return problem.New(problem.Unavailable, "net.stopped", "the network manager is stopping", "try again in a moment")
}

// run lets Run's goroutine do something and waits for it.
func run[T any](ctx context.Context, m *Manager, do func() (T, error)) (result T, err error) {
	answered := make(chan struct{})
	command := func() {
		defer close(answered)
		result, err = do()
	}
	select {
	case m.commands <- command:
		<-answered
		return result, err
	case <-m.done:
		return result, errStopped()
	case <-ctx.Done():
		return result, errors.Join(ctx.Err(), errStopped())
	}
}
