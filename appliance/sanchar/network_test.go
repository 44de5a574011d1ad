package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// The first address of a box whose network is as at its first boot.
func TestSetAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args    []string // link, address, gateway
		want    []string // differences
		problem string
	}{
		"static":      {[]string{"eth0", "10.0.0.1/24", "10.0.0.254"}, []string{"interfaces eth0.addresses: 10.0.0.1/24", "interfaces eth0.dhcp4: no longer with defaults", "uplinks Office.gateway4: 10.0.0.254"}, ""},
		"no gateway":  {[]string{"eth0", "10.0.0.1/24", ""}, []string{"interfaces eth0.addresses: 10.0.0.1/24", "interfaces eth0.dhcp4: no longer with defaults", "uplinks Office: removed (name Office, link eth0, check method link)"}, ""},
		"by IPv6":     {[]string{"eth0", "2001:db8::9/64", "2001:db8::1"}, []string{"interfaces eth0.addresses: 2001:db8::9/64", "interfaces eth0.dhcp4: no longer with defaults", "uplinks Office.gateway6: 2001:db8::1"}, ""},
		"dhcp":        {[]string{"eth0", "dhcp", ""}, nil, ""},
		"other port":  {[]string{"eth1", "10.1.0.1/24", ""}, []string{"interfaces eth1: added (link eth1, zone Office, addresses 10.1.0.1/24)"}, ""},
		"new port":    {[]string{"eth9", "dhcp", ""}, []string{"ports eth9: added (name eth9)", "interfaces eth9: added (link eth9, zone Office, dhcp4 with defaults)"}, ""},
		"bad address": {[]string{"eth0", "10.0.0.1", ""}, nil, "no address with a prefix length"},
		"bad gateway": {[]string{"eth0", "10.0.0.1/24", "router"}, nil, "router is no address"},
	} {
		before, doc := netcfg.FirstBoot([]string{"eth0", "eth1"}), netcfg.FirstBoot([]string{"eth0", "eth1"})
		err := setAddress(&doc, c.args[0], c.args[1], c.args[2])
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got := netcfg.Diff(before, doc); err != nil || strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s (%v):\n%s\nwant\n%s", name, err, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
		if faults := netcfg.Validate(doc); len(faults) > 0 {
			t.Errorf("%s: %+v", name, faults)
		}
	}
}

func TestTheNetworkIsShown(t *testing.T) {
	t.Parallel()
	text, err := netcfg.Format(netcfg.FirstBoot([]string{"eth0"}))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = showNetwork(&out, ctl.NetDocument{
		Revision: conf.Revision{Number: 3, Who: "ann"}, Document: text, Candidate: &ctl.NetCandidate{Who: "bob", Until: time.Now()},
	}, ctl.NetState{
		Mode: ctl.NetManages, Left: []string{"eth0 will be switched on"}, Foreign: []string{"link docker0 (bridge)"}, Fault: "no room",
		Uplinks: []ctl.NetUplink{{Name: "Office", Link: "eth0", Why: "no answer"}},
	})
	for _, want := range []string{"revision       3, by ann", "by bob, goes back at", "eth0, DOWN: no answer", "eth0 will be switched on", "link docker0", "no room", "eth0  Office  DHCP SLAAC"} {
		if err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in (%v)\n%s", want, err, out.String())
		}
	}
}
