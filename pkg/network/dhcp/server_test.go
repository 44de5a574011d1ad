package dhcp

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

func address(t *testing.T, iface, prefix string) {
	t.Helper()
	l, err := netlink.LinkByName(iface)
	if err != nil {
		t.Fatal(err)
	}
	a, err := netlink.ParseAddr(prefix)
	if err == nil {
		err = netlink.AddrReplace(l, a)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs a server on a link of the test's own namespace.
func serve(t *testing.T, sub *Subnet, path string) (*Table, func()) {
	t.Helper()
	tab, err := OpenTable(path)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Subnets: []Subnet{*sub}}, tab, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return tab, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := tab.Close(); err != nil {
			t.Error(err)
		}
	}
}

const script = `#!/bin/sh
case "$1" in bound) env | sort; ip addr replace "$ip/$mask" dev "$interface"; echo done;; esac
`

// ask runs a real client once and returns what it got.
func ask(t *testing.T, h *netlab.Host, args ...string) string {
	t.Helper()
	netlab.Need(t, "udhcpc", "udhcpc")
	file := filepath.Join(h.Dir, "script")
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	p := h.Run(t, h.Command("udhcpc", append([]string{"-i", "eth0", "-f", "-q", "-n", "-t", "8", "-T", "1", "-s", file}, args...)...))
	mark := 0
	if _, err := p.Await(mark, regexp.MustCompile(`^done$`), netlab.Patience); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(netlab.Patience); err != nil {
		t.Fatal(err)
	}
	return strings.Join(p.After(mark), "\n")
}

func TestARealClientGetsWhatItShould(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	phone := lab.Cable(t, "phone", "dh-a")
	address(t, "dh-a", "10.20.0.1/24")
	sub := voice()
	sub.Iface = "dh-a"
	path := filepath.Join(t.TempDir(), "leases")
	tab, stop := serve(t, sub, path)
	got := ask(t, phone, "-V", "yealink", "-x", "hostname:desk-7", "-O", "66")
	for _, want := range []string{
		"router=10.20.0.1", "dns=10.20.0.1", "domain=pbx.example", "ntpsrv=10.20.0.1", "opt150=0a140001",
		"subnet=255.255.255.0", "lease=3600", "serverid=10.20.0.1", "opt160=" + hex.EncodeToString([]byte(sub.Provision)),
	} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(want) + `\b`).MatchString(got) {
			t.Errorf("the client has no %s:\n%s", want, got)
		}
	}
	all := tab.Leases(time.Now())
	if len(all) != 1 || !strings.Contains(got, "ip="+all[0].Addr.String()) || all[0].Name != "desk-7" || all[0].Vendor != "Yealink" {
		t.Errorf("leases %+v", all)
	}
	stop()

	_, stop = serve(t, sub, path) // after a restart the same host gets the same address
	defer stop()
	if again := ask(t, phone); !strings.Contains(again, "ip="+all[0].Addr.String()) {
		t.Errorf("after a restart:\n%s", again)
	}
}

// A phone names its maker and reads options 66 and 132 as text.
func TestAPhoneFindsItsSettingsAndItsVLAN(t *testing.T) {
	t.Parallel()
	phone := netlab.New(t).Cable(t, "phone", "dh-c")
	address(t, "dh-c", "10.20.0.1/24")
	sub := voice()
	sub.Iface = "dh-c"
	_, stop := serve(t, sub, filepath.Join(t.TempDir(), "leases"))
	defer stop()
	var client *nclient4.Client
	err := phone.Do(func() (err error) {
		client, err = nclient4.New("eth0", nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(5))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	lease, err := client.Request(t.Context(), dhcpv4.WithOption(dhcpv4.OptClassIdentifier("yealink")))
	if err != nil {
		t.Fatal(err)
	}
	if lease.ACK.TFTPServerName() != sub.Provision || string(lease.ACK.GetOneOption(dhcpv4.GenericOptionCode(132))) != "20" {
		t.Errorf("got %s", lease.ACK.Summary())
	}
}

func TestAnAddressThatAnswersIsNotGivenAway(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	squatter := lab.Cable(t, "squatter", "dh-b")
	address(t, "dh-b", "10.21.0.1/24")
	if err := squatter.Do(func() error { address(t, "eth0", "10.21.0.100/24"); return nil }); err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr
	sub := &Subnet{
		Zone: "b", Iface: "dh-b", Server: a("10.21.0.1"), Prefix: netip.MustParsePrefix("10.21.0.0/24"),
		Ranges: []Range{{a("10.21.0.100"), a("10.21.0.101")}},
	}
	if !arpProbe(t.Context(), "dh-b", a("10.21.0.100")) || arpProbe(t.Context(), "dh-b", a("10.21.0.101")) {
		t.Error("the probe does not tell who is there")
	}
	tab, stop := serve(t, sub, filepath.Join(t.TempDir(), "leases"))
	defer stop()
	if got := ask(t, squatter, "-r", "10.21.0.100"); !strings.Contains(got, "ip=10.21.0.101") {
		t.Errorf("got\n%s", got)
	}
	if c := tab.Conflicts(time.Now()); len(c) != 1 || c[0] != a("10.21.0.100") {
		t.Errorf("conflicts %v", c)
	}
}
