package nft

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// TestALargeRulesetAndFullSets: more than a site will have is still one transaction.
func TestALargeRulesetAndFullSets(t *testing.T) {
	t.Parallel()
	doc := document(t, "office")
	for i := range 100 { // in a user namespace a message to the kernel has 400 KB
		var sources []netcfg.Prefix
		for j := range 10 {
			sources = append(sources, netcfg.Prefix{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(j), byte(i), 0}), 25)})
		}
		doc.Firewall.Rules = append(doc.Firewall.Rules, netcfg.Rule{Name: fmt.Sprint("rule", i), From: "phones", Sources: sources})
		doc.NAT.Forwards = append(doc.NAT.Forwards, netcfg.Forward{
			Name: fmt.Sprint("forward", i), Zone: "internet", Protocol: netcfg.UDP, Ports: netcfg.PortRange{First: uint16(30000 + i*10), Last: uint16(30000 + i*10 + 9)},
			To: netcfg.Addr{Addr: netip.MustParseAddr("10.1.0.9")}, ToPort: 4000, Hairpin: true,
		})
	}
	lab := netlab.New(t)
	r := filter.Build(doc, facts())
	began := time.Now()
	apply(t, lab.Box, r, true)
	t.Logf("%d rules and %d bytes of text applied in %s", len(r.Counters()), len(r.String()), time.Since(began))
	apply(t, lab.Box, r, false)
	fill(t, lab.Box, filter.Known4)
}

func fill(t *testing.T, h *netlab.Host, name string) {
	t.Helper()
	known := set(t, name)
	elements := make([]Element, known.Size)
	for i := range elements {
		elements[i] = Element{Addr: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), Timeout: time.Hour}
	}
	err := h.Do(func() error {
		k := New(0)
		began := time.Now()
		if err := k.Update(known, elements, nil); err != nil {
			return err
		}
		t.Logf("%d elements in %s", len(elements), time.Since(began))
		if err := k.Update(known, elements[:1000], nil); err != nil {
			t.Errorf("elements of a full set are not told anew: %v", err)
		}
		if err := k.Update(known, []Element{{Addr: netip.MustParseAddr("192.0.2.1")}}, nil); err == nil {
			t.Error("a full set takes one more")
		}
		all, err := k.Elements(known)
		if len(all) != len(elements) {
			t.Errorf("the set holds %d", len(all))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
