package network

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// Two networks that have nothing in common but their ports: each step of a change from one to the other
// is a mix of both.
const (
	branchOne = `{"hostname":"one","ports":[{"name":"lan0"},{"name":"lan1"}],"zones":[{"name":"Desk","kind":"voice"}],"bridges":[{"name":"br1","members":["lan1"]}],
		"interfaces":[{"link":"lan0","zone":"Desk","addresses":["10.9.0.1/24","10.9.1.1/24"]},{"link":"br1","zone":"Desk","addresses":["10.10.0.1/24"]}],
		"routes":[{"to":"10.99.0.0/16","via":"10.9.0.254"}]}`
	branchTwo = `{"hostname":"two","ports":[{"name":"lan0","mtu":1400},{"name":"lan1"}],"zones":[{"name":"Hall","kind":"guest"}],"bridges":[{"name":"br2","members":["lan0"],"mtu":1400}],
		"interfaces":[{"link":"lan1","zone":"Hall","addresses":["10.9.0.1/24"]},{"link":"br2","zone":"Hall","addresses":["10.10.0.1/24","2001:db8:a::1/64"]}],
		"routes":[{"to":"10.99.0.0/16","via":"10.10.0.254"},{"to":"10.98.0.0/16","kind":"unreachable"}]}`
)

// killing is a netd that is killed again and again on the same data.
type killing struct {
	t         *testing.T
	box       *netlab.Host
	run, data string
	prog      *netlab.Program
}

// start runs netd and returns a client of it. It need not answer yet.
func (k *killing) start() ctl.Net {
	k.prog = k.box.Run(k.t, k.box.Command(filepath.Join(os.Getenv(boxtest.BinKey), "netd"), "-run", k.run, "-data", k.data, "-manage", "-offload", "off"))
	return ctl.NewNet(filepath.Join(k.run, "net.sock"))
}

// settled waits until netd has made the confirmed network, and returns that.
func (k *killing) settled(c ctl.Net) (doc ctl.NetDocument) {
	k.t.Helper()
	until(k.t, "netd has a network", func() (is bool) {
		var err error
		doc, err = c.Document(k.t.Context())
		return err == nil && doc.Number > 0
	})
	return doc
}

// whole checks that the kernel has one of the two networks, with nothing of the other, and returns which.
func (k *killing) whole(c ctl.Net, doc ctl.NetDocument) (hostname string) {
	k.t.Helper()
	var said struct {
		Hostname string `json:"hostname"`
	}
	if err := json.Unmarshal(doc.Document, &said); err != nil {
		k.t.Fatal(err)
	}
	var st ctl.NetState
	until(k.t, "nothing is left to be done", func() bool {
		var err error
		st, err = c.State(k.t.Context())
		return err == nil && len(st.Left) == 0 && st.Fault == ""
	})
	if doc.Candidate != nil {
		k.t.Errorf("a candidate is there after a restart: %+v", doc.Candidate)
	}
	want := map[string][]string{
		"one": {"lan0 10.9.0.1/24", "lan0 10.9.1.1/24", "br1 10.10.0.1/24"},
		"two": {"lan1 10.9.0.1/24", "br2 10.10.0.1/24"},
	}[said.Hostname]
	slices.Sort(want)
	if got := k.addresses(); !slices.Equal(got, want) {
		k.t.Fatalf("network %s has %q, not %q", said.Hostname, got, want)
	}
	f, err := c.Firewall(k.t.Context())
	zone := map[string]string{"one": "Desk", "two": "Hall"}[said.Hostname]
	if err != nil || !f.Enforced || !slices.ContainsFunc(f.Rules, func(r ctl.FirewallRule) bool { return strings.HasPrefix(r.Name, "box."+zone+".") }) {
		k.t.Fatalf("the filter is not that of network %s: enforced %t, %v", said.Hostname, f.Enforced, err)
	}
	return said.Hostname
}

// addresses are those of IPv4 that the kernel has on the links of the box's own network.
func (k *killing) addresses() (all []string) {
	var links []struct {
		Name  string `json:"ifname"`
		Addrs []struct {
			Local  string `json:"local"`
			Length int    `json:"prefixlen"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(k.box.Output(k.t, "ip", "-j", "-4", "addr")), &links); err != nil {
		k.t.Fatal(err)
	}
	for _, l := range links {
		for _, a := range l.Addrs {
			if l.Name != "lo" && a.Length == 24 {
				all = append(all, l.Name+" "+a.Local+"/24")
			}
		}
	}
	slices.Sort(all)
	return all
}

// The netd of the box is killed at random moments of a change, of its confirmation and of its own start.
// The next start always finds one network whole: the one that was confirmed last.
func TestNetdIsKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	const kills = 100
	lab := netlab.New(t)
	lab.Host(t, "first")
	lab.Host(t, "second")
	lab.Box.Rename(t, "to1", "lan0")
	lab.Box.Rename(t, "to2", "lan1")
	ip(t, lab.Box, "addr flush dev lan0", "addr flush dev lan1")
	k := &killing{t: t, box: lab.Box, run: filepath.Join(lab.Box.Dir, "run"), data: filepath.Join(lab.Box.Dir, "data")}
	c := k.start()
	now := k.settled(c)
	began := time.Now()
	if err := k.change(c, now.Number, branchOne); err != nil {
		t.Fatal(err)
	}
	takes := time.Since(began) // a change with its confirmation
	was, number, seen := k.whole(c, k.settled(c)), k.settled(c).Number, map[string]int{}
	for i := range kills {
		wanted, takes := map[string]string{"one": branchTwo, "two": branchOne}[was], takes
		done := make(chan error, 1)
		switch i % 4 {
		case 0: // right behind the confirmation
			done <- k.change(c, number, wanted)
			takes /= 8
		case 1: // while it starts
			k.prog.Kill()
			_ = c.Close() // idle connections only
			c = k.start()
			done <- os.ErrProcessDone
		default: // somewhere in the change
			go func() { done <- k.change(c, number, wanted) }()
		}
		<-time.After(rand.N(takes * 3))
		k.prog.Kill()
		confirmed := <-done == nil
		_ = c.Close() // idle connections only
		c = k.start()
		doc := k.settled(c)
		is := k.whole(c, doc)
		switch {
		case is == was && confirmed:
			t.Fatalf("kill %d: network %s was confirmed, and %s is back", i, wanted[:20], is)
		case is == was && doc.Number != number, is != was && doc.Number != number+1:
			t.Fatalf("kill %d: network %s is revision %d, after %s of revision %d", i, is, doc.Number, was, number)
		case is == was:
			seen["went back"]++
		case confirmed:
			seen["was confirmed"]++
		default:
			seen["was confirmed, but nobody heard"]++
		}
		was, number = is, doc.Number
	}
	_ = c.Close() // idle connections only
	t.Logf("%d kills, a change takes %v: %v", kills, takes.Round(time.Millisecond), seen)
	if seen["went back"] == 0 || seen["was confirmed"] == 0 {
		t.Errorf("the kills saw one side only: %v", seen)
	}
}

// change applies and confirms a document.
func (k *killing) change(c ctl.Net, number uint64, document string) error {
	if _, err := c.Apply(k.t.Context(), ctl.NetProposal{Document: json.RawMessage(document), Revision: number, Who: "test"}); err != nil {
		return err
	}
	_, err := c.Confirm(k.t.Context(), "test")
	return err
}
