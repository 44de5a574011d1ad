package network

import (
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// twoUplinks has two providers, of whom the first carries what leaves while its gateway answers.
const twoUplinks = `{
  "ports": [{"name": "wan0"}, {"name": "wan1"}, {"name": "lan0.100"}],
  "interfaces": [
    {"link": "wan0", "zone": "internet", "addresses": ["198.18.1.1/24"]},
    {"link": "wan1", "zone": "internet", "addresses": ["198.18.9.1/24"]},
    {"link": "lan0.100", "zone": "phones", "addresses": ["198.18.2.1/24"]}
  ],
  "zones": [{"name": "internet", "kind": "uplink"}, {"name": "phones", "kind": "voice", "reaches": ["internet"]}],
  "uplinks": [
    {"name": "Fibre", "link": "wan0", "gateway4": "198.18.1.2", "check": {"intervalSeconds": 1, "timeoutSeconds": 1, "failAfter": 2, "recoverAfter": 2}},
    {"name": "Radio", "link": "wan1", "gateway4": "198.18.9.2", "check": {"intervalSeconds": 1, "timeoutSeconds": 1, "failAfter": 2, "recoverAfter": 2}}
  ],
  "nat": {"masquerade": [{"zone": "internet"}]}
}`

// remote is where the phone outside is, whichever provider is asked.
const remote = "203.0.113.5"

// newProviders makes the office with the Internet as one host that both gateways belong to.
func newProviders(t *testing.T) (lab *netlab.Lab, internet, inside *netlab.Host) {
	t.Helper()
	lab, internet, inside = newOffice(t)
	lab.Wire(t, lab.Box, "wan1", internet, "eth1")
	ip(t, internet, "addr add 198.18.9.2/24 dev eth1", "addr add "+remote+"/32 dev lo",
		"route replace 198.18.1.0/24 dev eth0 src "+remote, "route replace 198.18.9.0/24 dev eth1 src "+remote,
		"route replace default via 198.18.9.1 src "+remote)
	return lab, internet, inside
}

func ip(t *testing.T, h *netlab.Host, lines ...string) {
	t.Helper()
	for _, line := range lines {
		h.Output(t, "ip", strings.Fields(line)...)
	}
}

// The first provider's gateway falls silent in the middle of a call with a phone outside; cable and
// address stay. The phone is told of the box's address at the second provider, and the call goes on.
func TestACallGoesOnByTheSecondUplink(t *testing.T) {
	t.Parallel()
	lab, internet, inside := newProviders(t)
	g := startGateway(t, lab.Box, twoUplinks, "alice", "bob")
	until(t, "both uplinks work", func() bool { return g.active(t) == "Fibre" && g.works(t, "Radio") })
	alice, bob := g.phone(t, inside, "alice", 440), g.phone(t, internet, "bob", 880, sdes)
	out, in := connect(alice, bob)
	talk(alice, bob)

	before := len(bob.Log())
	ip(t, internet, "addr del 198.18.1.2/24 dev eth0", "route add blackhole 198.18.1.1/32")
	until(t, "the second uplink carries", func() bool { return g.active(t) == "Radio" })
	bob.AwaitLog(before, `c=IN IP4 198\.18\.9\.1`)
	talk(alice, bob)
	alice.HangUp(out)
	bob.Over(in)
}

// sdes gives a phone keys that go with the offer. By DTLS it would keep those that it agreed on with the port
// that is gone.
func sdes(c *linphone.Config) { c.Encryption = "srtp" }

// active returns the uplink that carries what leaves.
func (g *gateway) active(t *testing.T) string {
	t.Helper()
	st, err := g.netd.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range st.Uplinks {
		if u.Active {
			return u.Name
		}
	}
	return ""
}

func (g *gateway) works(t *testing.T, uplink string) bool {
	t.Helper()
	st, err := g.netd.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range st.Uplinks {
		if u.Name == uplink {
			return u.Up
		}
	}
	return false
}
