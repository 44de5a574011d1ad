package netapply

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
)

// table is a system with a routing table and nothing else.
type table struct {
	routes []netplan.Route
	fail   func(netplan.Step) error
	did    int
	forget bool // what is set does not stay
}

func (s *table) HasIPv6() bool { return false }

func (s *table) Snapshot(want netplan.State) (netplan.State, error) {
	return netplan.State{Routes: s.routes, Settings: want.Settings}, nil
}

func (s *table) Do(step netplan.Step, _ netcfg.Document) error {
	s.did++
	if err := s.fail(step); err != nil {
		return err
	}
	if !s.forget {
		s.routes = append(s.routes, step.Route)
	}
	return nil
}

func unreachable(n int) (doc netcfg.Document) {
	for i := range n {
		to := netcfg.Prefix{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)}
		doc.Routes = append(doc.Routes, netcfg.Route{To: to, Kind: netcfg.Unreachable})
	}
	return doc
}

func TestRounds(t *testing.T) {
	t.Parallel()
	refused, once := errors.New("refused"), true
	for name, c := range map[string]struct {
		system *table
		want   error
		did    int
	}{
		"all is done": {&table{fail: func(netplan.Step) error { return nil }}, nil, 3},
		"another comparison cures it": {&table{fail: func(netplan.Step) error {
			if once {
				once = false
				return refused
			}
			return nil
		}}, nil, 4},
		"one is never done": {&table{fail: func(s netplan.Step) error {
			if s.Route.To.Addr().As4()[1] == 1 {
				return refused
			}
			return nil
		}}, refused, 3 + rounds - 1},
		"one comes later": {&table{fail: func(s netplan.Step) error {
			if s.Route.To.Addr().As4()[1] == 1 {
				return fmt.Errorf("no name: %w", errLater)
			}
			return nil
		}}, nil, 4},
		"nothing stays": {&table{fail: func(netplan.Step) error { return nil }, forget: true}, errUnsettled, 3 * rounds},
	} {
		_, err := New(c.system, nil, slog.New(slog.DiscardHandler)).Apply(t.Context(), unreachable(3), netplan.Facts{})
		if !errors.Is(err, c.want) || c.system.did != c.did {
			t.Errorf("%s: %v after %d steps, want %v after %d", name, err, c.system.did, c.want, c.did)
		}
	}
}

func TestWhatWaitsForTheOutsideIsTold(t *testing.T) {
	t.Parallel()
	resolved := false
	system := &table{fail: func(s netplan.Step) error {
		if !resolved && s.Route.To.Addr().As4()[1] == 1 {
			return fmt.Errorf("no name: %w", errLater)
		}
		return nil
	}}
	a := New(system, nil, slog.New(slog.DiscardHandler))
	doc := unreachable(3)
	if p, err := a.Plan(doc, netplan.Facts{}); err != nil || len(p.Steps) != 3 || p.Later != nil {
		t.Errorf("before anything was tried: %v, %v", p.Later, err)
	}
	if _, err := a.Apply(t.Context(), doc, netplan.Facts{}); err != nil {
		t.Fatal(err)
	}
	if p, err := a.Plan(doc, netplan.Facts{}); err != nil || len(p.Steps) != 1 || len(p.Later) != 1 || p.Later[0] != p.Steps[0].String() {
		t.Errorf("%v of %v, %v", p.Later, p.Steps, err)
	}
	resolved = true
	if _, err := a.Apply(t.Context(), doc, netplan.Facts{}); err != nil {
		t.Fatal(err)
	}
	if p, err := a.Plan(doc, netplan.Facts{}); err != nil || len(p.Steps) != 0 || p.Later != nil {
		t.Errorf("%v of %v, %v", p.Later, p.Steps, err)
	}
}
