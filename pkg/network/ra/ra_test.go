package ra

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

func voice(iface string) Link {
	return Link{
		Iface: iface, Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:20::/64")}, Lifetime: 1800 * time.Second, Interval: 600 * time.Second,
		Other: true, DNS: []netip.Addr{netip.MustParseAddr("2001:db8:20::1")}, Search: []string{"office.example"}, MTU: 1480,
	}
}

func TestSolicitations(t *testing.T) {
	t.Parallel()
	host, good := netip.MustParseAddr("fe80::1"), []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}
	withLink := append(append([]byte{}, good...), optSourceLink, 1, 2, 0, 0, 0, 0, 1)
	for name, c := range map[string]struct {
		b    []byte
		hops int
		from netip.Addr
		want bool
	}{
		"a host":                     {good, 255, host, true},
		"with its link address":      {withLink, 255, host, true},
		"without an address yet":     {good, 255, netip.IPv6Unspecified(), true},
		"no address, yet a link":     {withLink, 255, netip.IPv6Unspecified(), false},
		"through a router":           {good, 254, host, false},
		"from far away":              {good, 255, netip.MustParseAddr("2001:db8::9"), false},
		"too short":                  {good[:7], 255, host, false},
		"an advertisement":           {[]byte{typeAdvertisement, 0, 0, 0, 0, 0, 0, 0}, 255, host, false},
		"an option of no length":     {append(append([]byte{}, good...), 1, 0, 0, 0, 0, 0, 0, 0), 255, host, false},
		"an option longer than that": {append(append([]byte{}, good...), 1, 2, 0, 0, 0, 0, 0, 0), 255, host, false},
	} {
		if got := solicits(c.b, c.hops, c.from); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNamesAreFilledUp(t *testing.T) {
	t.Parallel()
	if b := labels([]string{"office.example."}); string(b) != "\x06office\x07example\x00" {
		t.Errorf("%q", b)
	}
	if b := labels([]string{"a", strings.Repeat("x", 64) + ".b", "c"}); string(b) != "\x01a\x00\x01c\x00\x00\x00" {
		t.Errorf("%q", b)
	}
}

// The second time the link has the same name and another index, as one that was made anew.
func TestAHostConfiguresItself(t *testing.T) {
	t.Parallel()
	for range 2 {
		t.Run("", configures)
	}
}

// configures lets a host of its own, whose kernel does the rest, get an address and a route.
func configures(t *testing.T) {
	lab := netlab.New(t)
	if !lab.V6 {
		t.Skip("no IPv6 here")
	}
	host := lab.Cable(t, "host", "ra-a")
	netlab.Need(t, "ip", "iproute2")
	for _, args := range []string{"addr add 2001:db8:20::1/64 dev ra-a nodad", "addr add fe80::1/64 dev ra-a nodad"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %s %v", args, out, err)
		}
	}
	a := New([]Link{voice("ra-a")}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	await := func(pattern string, args ...string) {
		t.Helper()
		for end := time.Now().Add(netlab.Patience); ; time.Sleep(50 * time.Millisecond) {
			out := host.Output(t, "ip", args...)
			if regexp.MustCompile(pattern).MatchString(out) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("no %s in\n%s", pattern, out)
			}
		}
	}
	await(`2001:db8:20:\S+/64 scope global.*dynamic`, "-6", "addr", "show", "dev", "eth0")
	await(`default via fe80::1 .*mtu 1480|default via fe80::1`, "-6", "route")
	if mtu := strings.TrimSpace(host.Output(t, "cat", "/proc/sys/net/ipv6/conf/eth0/mtu")); mtu != "1480" {
		t.Errorf("MTU %s", mtu)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(netlab.Patience); strings.Contains(host.Output(t, "ip", "-6", "route"), "default via fe80::1"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("after the farewell we are a router still")
		}
	}
}

func TestAMessageIsWholeUnits(t *testing.T) {
	t.Parallel()
	b := voice("x").message(net.HardwareAddr{2, 0, 0, 0, 0, 1}, false)
	if len(b)%8 != 0 || b[5] != other || b[6] != 1800>>8 || b[7] != 1800&0xff {
		t.Errorf("%d bytes: %x", len(b), b)
	}
	seen := map[byte]bool{}
	for opts := b[16:]; len(opts) > 0; opts = opts[int(opts[1])*8:] {
		seen[opts[0]] = true
	}
	for _, opt := range []byte{optSourceLink, optMTU, optPrefix, optRDNSS, optDNSSL} {
		if !seen[opt] {
			t.Errorf("option %d is missing", opt)
		}
	}
	if last := voice("x").message(nil, true); last[6] != 0 || last[7] != 0 {
		t.Error("a farewell promises a router")
	}
}

func FuzzSolicits(f *testing.F) {
	f.Add([]byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1})
	f.Fuzz(func(_ *testing.T, b []byte) { solicits(b, 255, netip.MustParseAddr("fe80::1")) })
}
