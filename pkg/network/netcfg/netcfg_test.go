package netcfg

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

var update = flag.Bool("update", false, "write the golden files anew")

func read(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func office(t testing.TB) Document {
	t.Helper()
	d, err := Parse(read(t, "office.json"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// golden compares text with a file.
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

func told(faults []problem.Fault) string {
	var b strings.Builder
	for _, f := range faults {
		fmt.Fprintf(&b, "%s %q: %s. To do: %s\n", f.Path, f.Value, f.Rule, f.Cure)
	}
	return b.String()
}

// Documents of every version that was ever written are read.
func TestDocumentsOfEveryVersionAreRead(t *testing.T) {
	t.Parallel()
	for v := 1; v <= Version(); v++ {
		d, err := Parse(read(t, fmt.Sprintf("v%d.json", v)))
		if err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		if len(d.Ports) != 5 || d.VLANs[1].NameOr() != "bond0.20" || !d.Interfaces[0].SLAAC || d.Uplinks[1].Gateway4.String() != "198.51.100.1" {
			t.Errorf("version %d was read as %+v", v, d)
		}
	}
	if _, err := Parse([]byte(fmt.Sprintf(`{"version":%d}`, Version()+1))); problem.Of(err).Faults == nil {
		t.Errorf("a later version: %v", err)
	}
}

func TestADocumentIsWrittenAsItWasRead(t *testing.T) {
	t.Parallel()
	d := office(t)
	text, err := Format(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text)
	if err != nil || !reflect.DeepEqual(d, again) {
		t.Errorf("got %+v, %v", again, err)
	}
	golden(t, "written.json.golden", string(text))
}

// Every fault is told at once, with its path, value, rule and cure.
func TestFaultsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"shape", "values", "links", "addresses", "policy", "services"} {
		_, err := Parse(read(t, "faults-"+name+".json"))
		faults := problem.Of(err).Faults
		if len(faults) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		for _, f := range faults {
			if f.Rule == "" || f.Cure == "" {
				t.Errorf("%s: %+v has no rule or cure", name, f)
			}
		}
		golden(t, "faults-"+name+".txt", told(faults))
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	var d Document
	if d.HostnameOr() != "sanchar" || d.DomainOr() != "lan" || len(d.NTP.SourcesOr()) != 4 || d.QoS.VoiceOr() != 46 {
		t.Errorf("defaults of an empty document: %q %q", d.HostnameOr(), d.DomainOr())
	}
	none := Zone{Kind: Voice, Services: []Service{}}
	if len(none.ServicesOr()) != 0 || !(Zone{Kind: Voice}).Offers(ServeSIP) || (Zone{Kind: Voice}).Offers(ServePage) || (Zone{}).Offers(ServePing) {
		t.Error("services of zones")
	}
	text, err := json.Marshal(none)
	var back Zone
	if err := json.Unmarshal(text, &back); err != nil || back.Services == nil {
		t.Errorf("a zone without services came back as %+v (%v): it would get those of its kind", back, err)
	}
	if err != nil {
		t.Error(err)
	}
	of := office(t)
	if got := of.Serving(ServeDHCP); !reflect.DeepEqual(got, []string{"bond0.10", "bond0.20", "br0"}) {
		t.Errorf("links that DHCP is offered on: %v", got)
	}
	if got := of.InZone("Internet"); !reflect.DeepEqual(got, []string{"eth0", "eth1"}) {
		t.Errorf("links of the Internet: %v", got)
	}
	if UplinkMark(0) != 0x100 || UplinkMark(maxUplinks-1)&^MarkUplinkMask != 0 {
		t.Error("marks of uplinks")
	}
}

func TestFirstBootIsValid(t *testing.T) {
	t.Parallel()
	for _, ports := range [][]string{nil, {"eth0"}, {"eth0", "eth1", "enp3s0"}} {
		if faults := Validate(FirstBoot(ports)); len(faults) > 0 {
			t.Errorf("%v: %s", ports, told(faults))
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	before, after := office(t), office(t)
	if lines := Diff(before, after); len(lines) != 0 {
		t.Errorf("the same document differs: %q", lines)
	}
	after.Hostname = ""
	after.Ports[2].MTU = 1500
	after.VLANs = append(after.VLANs[:1:1], VLAN{Parent: "bond0", ID: 30})
	after.Interfaces[1].Addresses = nil
	after.Interfaces[1].DHCP4 = &DHCPClient{}
	after.Zones[1].Services = []Service{}
	after.Zones[1].TrustDSCP = false
	after.Uplinks[0], after.Uplinks[1] = after.Uplinks[1], after.Uplinks[0]
	after.Uplinks[1].Shaping.UpKbit = 40000
	after.WireGuard[0].Peers[0].Allowed = nil
	voice := uint8(40)
	after.QoS.VoiceDSCP = &voice
	after.NAT.Masquerade = append(after.NAT.Masquerade, Masquerade{Zone: "Branch"})
	golden(t, "diff.txt", strings.Join(Diff(before, after), "\n")+"\n")
}

// FuzzParse: what is accepted is valid, is written so that it is read again as the same, and has no
// difference to itself.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"office", "faults-shape", "faults-values", "faults-links", "faults-addresses", "faults-policy", "faults-services"} {
		f.Add(read(f, name+".json"))
	}
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"ports":null,"zones":[{"name":"a","services":[]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse(text)
		if err != nil {
			if p := problem.Of(err); p.Kind == problem.Internal {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		written, err := Format(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(written)
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%s", err, written)
		}
		if lines := Diff(d, again); len(lines) > 0 {
			t.Fatalf("changed by writing: %q", lines)
		}
		twice, err := Format(again)
		if err != nil || !bytes.Equal(written, twice) {
			t.Fatalf("written in two ways:\n%s\n%s", written, twice)
		}
	})
}
