package netplan

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s differs (%v); got:\n%s", file, err, got)
	}
}

func office(t testing.TB) netcfg.Document {
	t.Helper()
	text, err := os.ReadFile("../netcfg/testdata/office.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := netcfg.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// facts are those of the office: its fibre has a lease and an advertised router.
func facts() Facts {
	return Facts{
		Leases:    map[string]Lease{"eth0": {Address: netip.MustParsePrefix("203.0.113.77/24"), Router: netip.MustParseAddr("203.0.113.1")}},
		Leases6:   map[string]Lease6{"eth0": {Prefix: netip.MustParsePrefix("2001:db8:100::/56")}},
		Gateways6: map[string]netip.Addr{"eth0": netip.MustParseAddr("fe80::1")},
	}
}

// bare is a kernel with ports and nothing else of ours.
func bare() State {
	s := State{Settings: map[string]string{}, Links: []Link{{Name: "lo", Kind: "device", Up: true, MTU: 65536}}}
	for _, name := range []string{"eth0", "eth1", "eth2", "eth3"} { // and no eth4
		s.Links = append(s.Links, Link{Name: name, Kind: "device", MTU: 1500})
	}
	s.Links = append(s.Links, Link{Name: "docker0", Kind: KindBridge, MTU: 1500})
	s.Addrs = []Addr{{Link: "docker0", Prefix: netip.MustParsePrefix("172.17.0.1/16")}, {Link: "eth0", Prefix: netip.MustParsePrefix("fe80::5/64"), Kernel: true}}
	s.Routes = []Route{{To: netip.MustParsePrefix("172.17.0.0/16"), Link: "docker0", Table: mainTable, Kernel: true}, {To: netip.MustParsePrefix("10.77.0.0/16"), Link: "docker0", Table: mainTable}}
	return s
}

func text(p Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		b.WriteString(s.String() + "\n")
	}
	for _, group := range []struct {
		name  string
		lines []string
	}{{"waits", p.Waiting}, {"blocked", p.Blocked}, {"foreign", p.Foreign}} {
		for _, line := range group.lines {
			b.WriteString(group.name + ": " + line + "\n")
		}
	}
	return b.String()
}

func TestStepsFromABareKernel(t *testing.T) {
	t.Parallel()
	golden(t, "office.txt", text(Make(Desired(office(t), facts()), bare())))
}

// kernel returns a state that has become what is wanted.
func kernel(t testing.TB, doc netcfg.Document, facts Facts) *model {
	t.Helper()
	m := &model{bare()}
	m.become(t, Desired(doc, facts))
	return m
}

func TestStepsOfAChange(t *testing.T) {
	t.Parallel()
	m := kernel(t, office(t), facts())
	doc := office(t)
	doc.VLANs = slices.Delete(doc.VLANs, 0, 1) // the admins' own
	doc.Interfaces = slices.Delete(doc.Interfaces, 2, 3)
	doc.Routes = nil
	doc.Bonds[0].Members = []string{"eth2"}
	doc.Uplinks[0], doc.Uplinks[1] = doc.Uplinks[1], doc.Uplinks[0]
	doc.Interfaces[2].Addresses[0].Prefix = netip.MustParsePrefix("10.0.20.2/24")
	plan := Make(Desired(doc, facts()), m.State)
	plan.Mark(netip.MustParseAddr("10.0.10.50"), netip.MustParseAddr("10.0.10.1"), m.State)
	golden(t, "change.txt", text(plan))
}

func TestStepsOfAFailedUplink(t *testing.T) {
	t.Parallel()
	m := kernel(t, office(t), facts())
	f := facts()
	f.Failed = map[string]bool{"Fibre": true}
	golden(t, "failover.txt", text(Make(Desired(office(t), f), m.State)))
}

func TestStepsOfAnEmptyDocument(t *testing.T) {
	t.Parallel()
	m := kernel(t, office(t), facts())
	golden(t, "empty.txt", text(Make(Desired(netcfg.Document{}, Facts{}), m.State)))
	m.become(t, Desired(netcfg.Document{}, Facts{}))
	for _, l := range m.Links {
		if l.ours() {
			t.Errorf("%s is still ours", l.Name)
		}
	}
}

// Who is connected through what a step changes is told so.
func TestWhoIsCutOff(t *testing.T) {
	t.Parallel()
	m := kernel(t, office(t), facts())
	empty := Desired(netcfg.Document{}, Facts{})
	for name, c := range map[string]struct {
		client, local string
		cuts          []string
	}{
		"through a VLAN of a bond": {"10.0.10.9", "10.0.10.1", []string{
			"bond0.10 will be removed", "bond0 will be removed", "eth2 will be switched off and given back: the document does not name it", "eth3 will be switched off and given back: the document does not name it",
		}},
		"from far away":   {"198.18.0.1", "", []string{"eth0 will no longer have the address", "eth0 will be switched off", "there will no longer be a route to everywhere (IPv4) by 203.0.113.1 on eth0, metric 100"}},
		"at the console":  {"127.0.0.1", "127.0.0.1", nil},
		"over the socket": {"", "", nil},
	} {
		plan := Make(empty, m.State)
		parse := func(s string) netip.Addr { a, _ := netip.ParseAddr(s); return a }
		plan.Mark(parse(c.client), parse(c.local), m.State)
		var cuts []string
		for _, s := range plan.Steps {
			if s.Cuts {
				cuts = append(cuts, s.String())
			}
		}
		if name == "from far away" {
			cuts = slices.DeleteFunc(cuts, func(s string) bool { return strings.HasPrefix(s, "eth0 will no longer have") })
			c.cuts = c.cuts[1:]
		}
		if len(cuts) != len(c.cuts) {
			t.Errorf("%s: %q", name, cuts)
			continue
		}
		for i, want := range c.cuts {
			if !strings.HasPrefix(cuts[i], want) || !strings.HasSuffix(cuts[i], "; you are connected through it") {
				t.Errorf("%s: %q, want %q", name, cuts[i], want)
			}
		}
	}
}
