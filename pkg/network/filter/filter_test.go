package filter

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

var update = flag.Bool("update", false, "write the golden files anew")

func load(t testing.TB, file string) (doc netcfg.Document) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// open are the daemons as they listen on a box.
func open() Facts {
	return Facts{
		SIPUDP: []uint16{5060}, SIPStream: []uint16{5060, 5061}, STUN: []uint16{3478}, Media: ruleset.PortRange{First: 20000, Last: 29999},
		Page: 443, Provision: 8443,
		Addresses: map[string][]netip.Prefix{"wan1": {netip.MustParsePrefix("198.51.100.7/24"), netip.MustParsePrefix("fe80::7/64")}},
	}
}

func TestGoldenRulesets(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no documents", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			r := Build(load(t, file), open())
			compare(t, strings.TrimSuffix(file, ".json")+".nft", r.String())
			var words strings.Builder
			for _, name := range r.Counters() {
				rule, chain, _ := r.Rule(name)
				words.WriteString(chain + ": " + rule.Says + "\n")
			}
			compare(t, strings.TrimSuffix(file, ".json")+".txt", words.String())
		})
	}
}

func TestABoxThatNobodyHasSetUp(t *testing.T) {
	t.Parallel()
	doc := netcfg.FirstBoot([]string{"eth0", "eth1"})
	compare(t, "testdata/firstboot.nft", Build(doc, open()).String())
	if faults := Conflicts(doc, open()); len(faults) > 0 {
		t.Error(faults)
	}
}

func TestConflictsWithWhatTheBoxListensOn(t *testing.T) {
	t.Parallel()
	doc, facts := load(t, "testdata/branch.json"), open()
	facts.SIPUDP, facts.Provision = []uint16{7002}, 0
	doc.Zones[2].Services = []netcfg.Service{netcfg.ServeProvision}
	faults := Conflicts(doc, facts)
	if len(faults) != 2 || !strings.Contains(faults[0], "games") || !strings.Contains(faults[1], "sites") {
		t.Errorf("faults are %q", faults)
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update and look at the difference):\n%s", file, got)
	}
}
