package guard

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/nft"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// BenchmarkReceivedMedia is what a datagram of 172 bytes costs from a host's socket to the box's: without
// a packet filter, behind ours, and behind ours if it tracked media. The wires are the same.
func BenchmarkReceivedMedia(b *testing.B) {
	for _, way := range []string{"open", "untracked", "tracked"} {
		b.Run(way, func(b *testing.B) {
			lab := netlab.New(b)
			phone := lab.Host(b, "phone")
			if way != "open" {
				protectMedia(b, lab.Box, way == "tracked")
			}
			to := netip.AddrPortFrom(phone.Box4, 20000)
			in, err := lab.Box.ListenUDP(to)
			if err != nil {
				b.Fatal(err)
			}
			defer in.Close()
			out, err := phone.ListenUDP(netip.AddrPortFrom(phone.V4, 30000))
			if err != nil {
				b.Fatal(err)
			}
			defer out.Close()
			packet, buf := make([]byte, 172), make([]byte, 2048)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := out.WriteToUDPAddrPort(packet, to); err != nil {
					b.Fatal(err)
				}
				if _, _, err := in.ReadFromUDPAddrPort(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func protectMedia(b *testing.B, box *netlab.Host, tracked bool) {
	b.Helper()
	var doc netcfg.Document
	if err := json.Unmarshal([]byte(strings.ReplaceAll(siteDocument, "lan0.100", "to1")), &doc); err != nil {
		b.Fatal(err)
	}
	r := filter.Build(doc, filter.Facts{SIPUDP: []uint16{5060}, SIPStream: []uint16{5061}, Media: ruleset.PortRange{First: 20000, Last: 29999}, Page: 443})
	for c := range r.Chains {
		for i, rule := range r.Chains[c].Rules {
			if at := len(rule.Do) - 1; tracked && rule.Do[at] == ruleset.Statement(ruleset.NoTrack{}) {
				r.Chains[c].Rules[i].Do[at] = ruleset.Accept{}
			}
		}
	}
	err := box.Do(func() error {
		ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(ns)
		_, err = nft.New(ns).Apply(r)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
