package health

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

func doc(check netcfg.Check) netcfg.Document {
	return netcfg.Document{Uplinks: []netcfg.Uplink{{Name: "One", Link: "p0", Check: check}}}
}

// An uplink goes down after three failures in a row and comes up after five successes.
func TestAnUplinkChangesAfterEnoughChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var works atomic.Bool
		works.Store(true)
		c := New(func(_ context.Context, link string, method netcfg.CheckMethod, target netip.AddrPort) error {
			if link != "p0" || method != netcfg.CheckPing || target.Addr().String() != "192.0.2.1" {
				t.Errorf("asked %s by %s of %s", target, method, link)
			}
			if works.Load() {
				return nil
			}
			return errors.New("silence")
		}, slog.New(slog.DiscardHandler))
		c.Want(doc(netcfg.Check{}), map[string]netip.Addr{"p0": netip.MustParseAddr("192.0.2.1")})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		after := func(d time.Duration, up bool) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if states, _ := c.States(); states["One"].Up != up {
				t.Errorf("after %s more it is %+v", d, states["One"])
			}
		}
		after(time.Minute+time.Second, true)
		works.Store(false)
		after(13*time.Second, true) // failures at 65 and 70 s
		after(2*time.Second, false) // and at 75 s
		if states, _ := c.States(); states["One"].Why != "silence" {
			t.Errorf("why: %+v", states["One"])
		}
		works.Store(true)
		after(22*time.Second, false)
		after(3*time.Second, true)
		_, changed := c.States()
		c.Want(netcfg.Document{}, nil)
		<-changed
		if states, _ := c.States(); len(states) != 0 {
			t.Errorf("states of nothing: %v", states)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestOneTargetThatAnswersIsEnough(t *testing.T) {
	t.Parallel()
	c := New(func(ctx context.Context, _ string, _ netcfg.CheckMethod, target netip.AddrPort) error {
		if target.Port() == 2 {
			return nil
		}
		<-ctx.Done() // until the other has answered
		return ctx.Err()
	}, slog.New(slog.DiscardHandler))
	check := netcfg.Check{Method: netcfg.CheckTCP, Targets: []string{"192.0.2.1:1", "192.0.2.2:2", "[2001:db8::1]:3"}, TimeoutSeconds: 60}
	if err := c.once(t.Context(), task{link: "p0", check: check}); err != nil {
		t.Error(err)
	}
}

// Every method asks a real host on a real link, and hears when there is none.
func TestMethods(t *testing.T) {
	lab := netlab.New(t)
	host := lab.Host(t, "gateway")
	var ln net.Listener
	err := host.Do(func() (err error) {
		ln, err = net.Listen("tcp", netip.AddrPortFrom(host.V4, 0).String()) //nolint:noctx // a wire of the lab
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	open := netip.MustParseAddrPort(ln.Addr().String())
	nobody := netip.MustParseAddr("198.18.1.99")
	for name, c := range map[string]struct {
		method netcfg.CheckMethod
		target netip.AddrPort
		works  bool
	}{
		"ping":            {netcfg.CheckPing, netip.AddrPortFrom(host.V4, 0), true},
		"ping6":           {netcfg.CheckPing, netip.AddrPortFrom(host.V6, 0), true},
		"ping of nobody":  {netcfg.CheckPing, netip.AddrPortFrom(nobody, 0), false},
		"arp":             {netcfg.CheckARP, netip.AddrPortFrom(host.V4, 0), true},
		"neighbour6":      {netcfg.CheckARP, netip.AddrPortFrom(host.V6, 0), true},
		"arp of nobody":   {netcfg.CheckARP, netip.AddrPortFrom(nobody, 0), false},
		"tcp":             {netcfg.CheckTCP, open, true},
		"tcp refused":     {netcfg.CheckTCP, netip.AddrPortFrom(host.V4, 9), true},
		"tcp of nobody":   {netcfg.CheckTCP, netip.AddrPortFrom(nobody, 9), false},
		"link":            {netcfg.CheckLink, netip.AddrPort{}, true},
		"without gateway": {netcfg.CheckPing, netip.AddrPort{}, false},
	} {
		patience := time.Second
		if c.works {
			patience = 10 * time.Second // a new link's own IPv6 address is checked first, RFC 4862 §5.4
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := lab.Box.Do(func() error { return Check(ctx, "to1", c.method, c.target) })
		if cancel(); (err == nil) != c.works {
			t.Errorf("%s: %v", name, err)
		}
	}
	err = lab.Box.Do(func() error {
		link, err := netlink.LinkByName("to1")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(link)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Box.Do(func() error { return Check(t.Context(), "to1", netcfg.CheckLink, netip.AddrPort{}) }); !errors.Is(err, errNoCarrier) {
		t.Errorf("a link that is down: %v", err)
	}
}
