package netd

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const twoProviders = `{"interfaces":[{"link":"a","zone":"o","dhcp4":{}},{"link":"b","zone":"o","dhcp4":{"ignoreDNS":true},"dhcp6":{}},{"link":"c","zone":"o","dhcp4":{}}],
	"uplinks":[{"name":"C","link":"c"},{"name":"A","link":"a"}]%s}`

func addresses(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

func TestWhichNameServersAreAsked(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParsePrefix("192.0.2.9/24"), netip.MustParsePrefix("2001:db8::9/128")
	leases := []ctl.NetLease{
		{Link: "a", Address: v4, DNS: addresses("192.0.2.1", "192.0.2.2")},
		{Link: "b", Address: v4, DNS: addresses("192.0.2.66")},
		{Link: "b", Address: v6, DNS: addresses("fe80::5", "192.0.2.1")},
		{Link: "c", Address: v4, DNS: addresses("192.0.2.3")},
		{Link: "d", Address: v4, DNS: addresses("192.0.2.67")}, // of another document
	}
	up := func(c bool) []ctl.NetUplink { return []ctl.NetUplink{{Link: "c", Up: c}, {Link: "a", Up: true}} }
	for name, c := range map[string]struct {
		more    string
		uplinks []ctl.NetUplink
		want    []netip.Addr
	}{
		"learnt, the preferred uplink's first":  {"", up(true), addresses("192.0.2.3", "192.0.2.1", "192.0.2.2", "fe80::5%b")},
		"of an uplink that does not work, last": {"", up(false), addresses("192.0.2.1", "192.0.2.2", "fe80::5%b", "192.0.2.3")},
		"the document's alone":                  {`,"dns":{"servers":["198.51.100.1"]}`, up(true), addresses("198.51.100.1")},
	} {
		var doc netcfg.Document
		if err := json.Unmarshal(fmt.Appendf(nil, twoProviders, c.more), &doc); err != nil {
			t.Fatal(err)
		}
		if got := nameServers(doc, leases, c.uplinks); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	want := "# Written by netd, which writes it again.\nnameserver 192.0.2.1\nnameserver fe80::1%b\nnameserver 192.0.2.2\n"
	if got := string(resolvConf(addresses("192.0.2.1", "fe80::1%b", "192.0.2.2", "192.0.2.3"))); got != want {
		t.Errorf("%q", got)
	}
}
