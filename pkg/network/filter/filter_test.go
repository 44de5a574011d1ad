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
		Page: 443, Provision: 8443, PlainProv: 8080,
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
	fields := Faults(doc, facts)
	if len(fields) != 1 || fields[0].Path != "nat.forwards[1].ports" || fields[0].Value != "7000-7003" || !strings.Contains(fields[0].Rule, "udp 7002") {
		t.Errorf("fields are %+v", fields)
	}
	faults := Conflicts(doc, facts)
	if len(faults) != 3 || !strings.Contains(faults[0], "games") || !strings.Contains(faults[1], "lan") || !strings.Contains(faults[2], "sites") {
		t.Errorf("faults are %q", faults)
	}
	facts, doc.Zones[2].Services = open(), []netcfg.Service{netcfg.ServePlainProv}
	facts.PlainProv = 0
	if faults := Conflicts(doc, facts); len(faults) != 1 || !strings.Contains(faults[0], "sites") {
		t.Errorf("without HTTP: %q", faults)
	}
	facts.PlainProv = 8080
	if faults := Conflicts(doc, facts); len(faults) != 0 {
		t.Errorf("with it: %q", faults)
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
