package netman

import (
	"encoding/json"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Document returns what was confirmed, and what waits to be.
func (m *Manager) Document() (ctl.NetDocument, error) {
	doc, rev := m.cfg.File.Load()
	d, err := document(doc, rev)
	if c := m.pending(); c != nil {
		d.Candidate = &c.NetCandidate
	}
	return d, err
}

func document(doc netcfg.Document, rev conf.Revision) (ctl.NetDocument, error) {
	text, err := json.Marshal(doc)
	return ctl.NetDocument{Revision: rev, Document: text}, err
}

// Revision returns the document of an earlier revision.
func (m *Manager) Revision(number uint64) (ctl.NetDocument, error) {
	doc, rev, err := m.cfg.File.At(number)
	if err != nil {
		return ctl.NetDocument{}, err
	}
	return document(doc, rev)
}

// Revisions returns the last revisions with what each changed, newest first.
func (m *Manager) Revisions() (revs []ctl.NetRevision, err error) {
	history, err := m.cfg.File.History()
	if err != nil {
		return nil, err
	}
	revs = []ctl.NetRevision{}
	for i, rev := range history {
		doc, _, err := m.cfg.File.At(rev.Number)
		if err != nil {
			return nil, err
		}
		var before netcfg.Document
		if i+1 < len(history) {
			if before, _, err = m.cfg.File.At(history[i+1].Number); err != nil {
				return nil, err
			}
		}
		changes := netcfg.Diff(before, doc)
		if i+1 == len(history) && rev.Number > 1 {
			changes = []string{"what was before is no longer kept"}
		}
		revs = append(revs, ctl.NetRevision{Revision: rev, Changes: changes})
	}
	return revs, nil
}

// State tells how the network is beside what it should be.
func (m *Manager) State() (ctl.NetState, error) {
	m.mu.Lock()
	st := ctl.NetState{Mode: ctl.NetPlanOnly, Fault: m.fault, Last: m.last}
	m.mu.Unlock()
	if !m.cfg.Manage {
		return st, nil
	}
	st.Mode = ctl.NetManages
	facts, _ := m.cfg.Sources.Facts()
	kernel, err := m.cfg.Applier.Plan(m.Active(), facts)
	if err != nil {
		return st, err
	}
	for _, s := range kernel.Steps {
		st.Left = append(st.Left, s.String())
	}
	st.Left = append(st.Left, kernel.Firewall...)
	st.Later, st.Waiting, st.Foreign = kernel.Later, kernel.Waiting, kernel.Foreign
	return st, nil
}
