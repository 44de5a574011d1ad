package nft

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func facts() filter.Facts {
	return filter.Facts{
		SIPUDP: []uint16{5060}, SIPStream: []uint16{5060, 5061}, Media: ruleset.PortRange{First: 20000, Last: 29999}, Page: 443, Provision: 8443,
		Addresses: map[string][]netip.Prefix{"wan1": {netip.MustParsePrefix("198.51.100.7/24")}},
	}
}

func document(t testing.TB, name string) (doc netcfg.Document) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "filter", "testdata", name+".json"))
	if err == nil {
		err = json.Unmarshal(data, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// listed is what `nft -j list` says of our table, without what differs from time to time.
func listed(t *testing.T, h *netlab.Host) (out []any) {
	t.Helper()
	var all struct{ Nftables []map[string]any }
	if err := json.Unmarshal([]byte(h.Output(t, "nft", "-j", "list", "table", "inet", ruleset.Table)), &all); err != nil {
		t.Fatal(err)
	}
	for _, entry := range all.Nftables {
		chain, _ := entry["chain"].(map[string]any)
		name, _ := chain["name"].(string)
		if entry["metainfo"] == nil && !strings.HasPrefix(name, ruleset.GenerationPrefix) {
			out = append(out, cleaned(entry))
		}
	}
	return out
}

func cleaned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "handle")
		for key, value := range v {
			v[key] = cleaned(value)
		}
	case []any:
		for i, value := range v {
			v[i] = cleaned(value)
		}
	}
	return v
}

func TestKernelHoldsWhatTheTextSays(t *testing.T) {
	t.Parallel()
	netlab.Need(t, "nft", "nftables")
	for _, name := range []string{"office", "branch"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := netlab.New(t)
			ours, theirs := lab.Box, lab.Host(t, "theirs")
			r := filter.Build(document(t, name), facts())
			file := filepath.Join(lab.Dir, "text.nft")
			if err := os.WriteFile(file, []byte(r.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			theirs.Output(t, "nft", "-f", file)
			apply(t, ours, r, true)
			got, want := listed(t, ours), listed(t, theirs)
			for i := range min(len(got), len(want)) {
				if !same(got[i], want[i]) {
					g, _ := json.Marshal(got[i])
					w, _ := json.Marshal(want[i])
					t.Fatalf("entry %d:\n got %s\nwant %s", i, g, w)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d entries, want %d", len(got), len(want))
			}
		})
	}
}

// same compares, but for the names in sets of interfaces: nft(8) shows them as "" when it has not made
// the set itself.
func same(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		for key := range want {
			ok = ok && same(got[key], want[key])
		}
		return ok && len(got) == len(want)
	case []any:
		got, ok := got.([]any)
		return ok && slices.EqualFunc(got, want, same)
	}
	return got == "" || got == want
}

func apply(t *testing.T, h *netlab.Host, r *ruleset.Ruleset, change bool) {
	t.Helper()
	k := New(0)
	err := h.Do(func() error {
		changed, err := k.Apply(r)
		if changed != change && err == nil {
			t.Errorf("changed is %v, want %v", changed, change)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestApplyTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	office, branch := filter.Build(document(t, "office"), facts()), filter.Build(document(t, "branch"), facts())
	apply(t, lab.Box, office, true)
	apply(t, lab.Box, office, false)
	apply(t, lab.Box, branch, true)
	apply(t, lab.Box, branch, false)
	apply(t, lab.Box, office, true)
	apply(t, lab.Box, office, false)
}

func TestWhatIsChangedByHandIsRepaired(t *testing.T) {
	t.Parallel()
	netlab.Need(t, "nft", "nftables")
	lab := netlab.New(t)
	office := filter.Build(document(t, "office"), facts())
	for _, by := range []string{
		"flush chain inet sanchar to-box", "add rule inet sanchar to-box accept", "add chain inet sanchar more",
		"add chain inet sanchar to-box { policy accept ; }", "delete table inet sanchar",
		"add rule inet sanchar through meta l4proto tcp ct original proto-dst 80 accept", "add set inet sanchar odd { typeof ip saddr . meta cgroup; }",
	} {
		apply(t, lab.Box, office, by == "flush chain inet sanchar to-box")
		lab.Box.Output(t, "nft", by)
		apply(t, lab.Box, office, true)
	}
}

func TestForeignTablesStay(t *testing.T) {
	t.Parallel()
	netlab.Need(t, "nft", "nftables")
	lab := netlab.New(t)
	lab.Box.Output(t, "nft", "add table ip docker; add table inet other; add chain inet other sanchar")
	apply(t, lab.Box, filter.Build(document(t, "office"), facts()), true)
	err := lab.Box.Do(func() error {
		k := New(0)
		names, err := k.Foreign()
		if got := strings.Join(names, ","); got != "inet other,ip docker" {
			t.Errorf("foreign tables are %q", got)
		}
		if err == nil {
			err = k.Remove()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := lab.Box.Output(t, "nft", "list", "tables"); got != "table ip docker\ntable inet other\n" {
		t.Errorf("left after removal: %q", got)
	}
}

func TestSetsAndCountersOutliveAChange(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	office, branch := filter.Build(document(t, "office"), facts()), filter.Build(document(t, "branch"), facts())
	apply(t, lab.Box, office, true)
	known := set(t, filter.Known4)
	k := New(0)
	a, b := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.1.0.3")
	err := lab.Box.Do(func() error { return k.Update(known, []Element{{Addr: a, Timeout: time.Hour}, {Addr: b}}, nil) })
	if err != nil {
		t.Fatal(err)
	}
	apply(t, lab.Box, branch, true)
	err = lab.Box.Do(func() error {
		if err := k.Update(known, []Element{{Addr: a, Timeout: 2 * time.Hour}}, []netip.Addr{b, netip.MustParseAddr("10.9.9.9")}); err != nil {
			return err
		}
		elements, err := k.Elements(known)
		if err != nil {
			return err
		}
		if len(elements) != 1 || elements[0].Addr != a || elements[0].Expires <= time.Hour {
			t.Errorf("the set holds %v", elements)
		}
		counts, err := k.Counts()
		if _, ok := counts["box.denied"]; !ok {
			t.Errorf("counters are %v", counts)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func set(t testing.TB, name string) ruleset.Set {
	t.Helper()
	for _, s := range filter.Sets() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no set %s", name)
	return ruleset.Set{}
}
