package netman

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// candidate is a change that is applied and not confirmed. It is on disk before anything is changed,
// so that a restart knows that there was one.
type candidate struct {
	ctl.NetCandidate
	doc netcfg.Document
}

func newCandidate(p ctl.NetProposal, doc netcfg.Document, changes []string, now time.Time) (*candidate, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	wait := DefaultConfirm
	if p.ConfirmSeconds != 0 {
		wait = time.Duration(p.ConfirmSeconds) * time.Second
	}
	return &candidate{ctl.NetCandidate{
		Document: text, Base: p.Revision, Who: p.Who, At: now.UTC(), Until: now.Add(wait).UTC(), Changes: changes,
	}, doc}, nil
}

func (m *Manager) candidateFile() string { return filepath.Join(m.cfg.Dir, "candidate.json") }

func (m *Manager) saveCandidate(c *candidate) error {
	data, err := json.Marshal(c.NetCandidate)
	if err != nil {
		return err
	}
	if err := fsx.WriteFile(m.candidateFile(), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("save the candidate: %w", err)
	}
	return nil
}

// loadCandidate returns what a program that ended in the middle left, nil when there is nothing.
func (m *Manager) loadCandidate() (*ctl.NetCandidate, error) {
	data, err := os.ReadFile(m.candidateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing was left
	}
	var c ctl.NetCandidate
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	return &c, err
}

// dropCandidate removes the file of the candidate for good.
func (m *Manager) dropCandidate() error {
	err := os.Remove(m.candidateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = fsx.SyncDir(m.cfg.Dir)
	}
	if err != nil {
		return fmt.Errorf("remove the candidate: %w", err)
	}
	return nil
}

func (m *Manager) setCandidate(c *candidate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.candidate = c
}

func (m *Manager) pending() *candidate {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.candidate
}

// ended remembers how a change ended.
func (m *Manager) ended(c ctl.NetCandidate, confirmed bool, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = &ctl.NetOutcome{Confirmed: confirmed, Why: why, Who: c.Who, At: time.Now().UTC()}
	m.cfg.Log.Info("network change ended", "confirmed", confirmed, "why", why, "who", c.Who)
}

// revert goes back to what was confirmed. The file goes last: whenever we die, the next start goes
// back too.
func (m *Manager) revert(why string) {
	c := m.pending()
	if c == nil {
		return
	}
	m.timer.Stop()
	m.setCandidate(nil)
	m.follow()
	m.ended(c.NetCandidate, false, why)
	if err := m.dropCandidate(); err != nil {
		m.cfg.Log.Error("the file of a candidate that went back stays until the next start", "err", err)
	}
}
