package network

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// office has phones in VLAN 100, behind the box's address to the Internet. The wire is only called as
// the VLAN would be: not every kernel that runs tests has 802.1Q, and nothing above looks at tags.
const office = `{
  "ports": [{"name": "wan0"}, {"name": "lan0.100"}],
  "interfaces": [
    {"link": "wan0", "zone": "internet", "addresses": ["198.18.1.1/24"]},
    {"link": "lan0.100", "zone": "phones", "addresses": ["198.18.2.1/24"]}
  ],
  "zones": [{"name": "internet", "kind": "uplink"}, {"name": "phones", "kind": "voice", "reaches": ["internet"]}],
  "uplinks": [{"name": "Fibre", "link": "wan0", "gateway4": "198.18.1.2", "check": {"method": "link"}}],
  "nat": {"masquerade": [{"zone": "internet"}]}
}`

// newOffice is the box with its wires, outside first.
func newOffice(t *testing.T) (lab *netlab.Lab, outside, inside *netlab.Host) {
	t.Helper()
	lab = netlab.New(t)
	outside, inside = lab.Host(t, "outside"), lab.Host(t, "inside")
	lab.Box.Rename(t, "to1", "wan0")
	lab.Box.Rename(t, "to2", "lan0.100")
	return lab, outside, inside
}

// A phone of the VLAN calls one that is outside, both being the box's.
func TestAPhoneInTheVLANCallsOneOutside(t *testing.T) {
	t.Parallel()
	lab, outside, inside := newOffice(t)
	g := startGateway(t, lab.Box, office, "alice", "bob")
	taking := strings.Replace(office, `"nat": {`, `"nat": {"forwards": [{"name": "other", "zone": "internet", "protocol": "udp", "ports": "5060", "to": "198.18.2.2"}], `, 1)
	_, err := g.netd.Propose(t.Context(), ctl.NetProposal{Document: json.RawMessage(taking)})
	if faults := problem.Of(err).Faults; len(faults) != 1 || faults[0].Path != "nat.forwards[0].ports" {
		t.Errorf("a forward of the box's SIP port: %v", err)
	}
	alice, bob := g.phone(t, inside, "alice", 440), g.phone(t, outside, "bob", 880)
	out, in := connect(alice, bob)
	talk(alice, bob)
	alice.HangUp(out)
	bob.Over(in)
	out, in = connect(bob, alice)
	talk(alice, bob)
	bob.HangUp(out)
	alice.Over(in)
}

// A phone of the VLAN is a customer of somebody else's exchange outside: it registers there through the
// box's NAT, and calls and is called by another customer of it. Its ports are the box's own ones, and
// SIP and media of the box are not tracked by the kernel; its must be.
func TestAPhoneBehindTheNATIsACustomerOfAnExchangeOutside(t *testing.T) {
	t.Parallel()
	lab, provider, inside := newOffice(t)
	far := lab.HostAt(t, provider, "far")
	startGateway(t, lab.Box, office)
	x := startExchange(t, provider, "provider.test", "alice", "bob")
	alice := x.phone(t, inside, "alice", 440, func(c *linphone.Config) { c.Server = netip.AddrPortFrom(provider.V4, boxtest.SIP) })
	all, err := x.sw.Registrations(t.Context())
	if err != nil || len(all) != 1 || all[0].Source.Addr() != provider.Box4 || all[0].Source.Port() == boxtest.SIP {
		t.Errorf("the exchange outside sees alice at %+v, not at another port of the box's address (%v)", all, err)
	}
	bob := x.phone(t, far, "bob", 880)
	out, in := connect(alice, bob)
	talk(alice, bob)
	alice.HangUp(out)
	bob.Over(in)
	out, in = connect(bob, alice)
	talk(alice, bob)
	alice.HangUp(in)
	bob.Over(out)
}
