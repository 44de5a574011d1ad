package netmon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// insideKey tells the test binary that it runs in a network namespace of its own.
const insideKey = "NETMON_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(insideKey) == "" {
		err := runInside()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			os.Exit(exit.ExitCode())
		}
		if err == nil {
			os.Exit(0)
		}
		_ = os.Setenv(insideKey, "no: "+err.Error())
	}
	goleak.VerifyTestMain(m)
}

// runInside runs this binary again in its own user and network namespace, where it is root and can
// hurt no link of the machine.
func runInside() error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideKey+"=yes")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	own := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: own(os.Getuid()), GidMappings: own(os.Getgid()),
		Pdeathsig: syscall.SIGKILL,
	}
	return cmd.Run()
}

// watch runs a monitor in the namespace of the test.
func watch(t *testing.T) *Monitor {
	t.Helper()
	if why, no := strings.CutPrefix(os.Getenv(insideKey), "no: "); no {
		t.Skipf("no own network namespace: %s (neither root nor user namespaces)", why)
	}
	m := New(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	await(t, m, "the first look", func(links []ctl.Link) bool { return links != nil })
	return m
}

// await waits for a state of the links and returns it with the number of states seen.
func await(t *testing.T, m *Monitor, what string, ok func([]ctl.Link) bool) (links []ctl.Link, states int) {
	t.Helper()
	patience := time.After(20 * time.Second)
	for {
		links, changed := m.Links()
		if states++; ok(links) {
			return links, states
		}
		select {
		case <-changed:
		case <-patience:
			t.Fatalf("waiting for %s: links are %+v", what, links)
		}
	}
}

func find(links []ctl.Link, name string) *ctl.Link {
	at := slices.IndexFunc(links, func(l ctl.Link) bool { return l.Name == name })
	if at < 0 {
		return nil
	}
	return &links[at]
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func addr(t *testing.T, text string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(text)
	do(t, err)
	return a
}

func TestLinksAndAddressesAreFollowed(t *testing.T) {
	m := watch(t)
	links, _ := m.Links()
	if lo := find(links, "lo"); lo == nil || !lo.Loopback || lo.Up || lo.Kind != "" || lo.MTU != 65536 {
		t.Fatalf("lo is %+v", lo)
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "su-a", MTU: 1400, TxQLen: -1}, PeerName: "su-b"}
	do(t, netlink.LinkAdd(veth))
	links, _ = await(t, m, "two ends", func(links []ctl.Link) bool { return find(links, "su-a") != nil && find(links, "su-b") != nil })
	if a := find(links, "su-a"); a.Kind != "veth" || a.MTU != 1400 || len(a.MAC) != 17 || a.Up || a.Carrier {
		t.Errorf("su-a is %+v", a)
	}
	peer, err := netlink.LinkByName("su-b")
	do(t, err, netlink.LinkSetUp(veth))
	links, _ = await(t, m, "one end up", func(links []ctl.Link) bool { return find(links, "su-a").Up })
	if a := find(links, "su-a"); a.Carrier {
		t.Errorf("a carrier without a peer: %+v", a)
	}
	do(t, netlink.LinkSetUp(peer))
	await(t, m, "a carrier", func(links []ctl.Link) bool { return find(links, "su-a").Carrier })

	do(t, netlink.AddrAdd(veth, addr(t, "192.0.2.1/24")), netlink.AddrAdd(veth, addr(t, "2001:db8::1/64")))
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}
	links, _ = await(t, m, "addresses that are checked", func(links []ctl.Link) bool {
		return len(find(links, "su-a").Addresses) == 3 // and the link-local one
	})
	if got := find(links, "su-a").Addresses; !slices.Equal(got[:2], want) || !got[2].Addr().IsLinkLocalUnicast() {
		t.Errorf("addresses %v", got)
	}
	do(t, netlink.AddrDel(veth, addr(t, "192.0.2.1/24")))
	await(t, m, "an address gone", func(links []ctl.Link) bool { return len(find(links, "su-a").Addresses) == 2 })

	do(t, netlink.LinkSetDown(peer))
	await(t, m, "the cable pulled", func(links []ctl.Link) bool { return !find(links, "su-a").Carrier })
	do(t, netlink.LinkDel(veth))
	links, _ = await(t, m, "the link gone", func(links []ctl.Link) bool { return find(links, "su-a") == nil })
	if !slices.IsSortedFunc(links, func(a, b ctl.Link) int { return a.Index - b.Index }) {
		t.Errorf("not in order: %+v", links)
	}
}

func TestAnAddressUnderCheckIsNotReported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags int
		want  bool
	}{
		"checked":           {unix.IFA_F_PERMANENT, true},
		"under check":       {unix.IFA_F_PERMANENT | unix.IFA_F_TENTATIVE, false},
		"usable in advance": {unix.IFA_F_TENTATIVE | unix.IFA_F_OPTIMISTIC, true}, // RFC 4429 §3.1
		"found to be taken": {unix.IFA_F_DADFAILED, false},
	} {
		a := addr(t, "2001:db8::2/64")
		a.Flags = c.flags
		if p, ok := prefix(*a); ok != c.want || ok && p != netip.MustParsePrefix("2001:db8::2/64") {
			t.Errorf("%s: got %v, %v", name, p, ok)
		}
	}
}

func TestABurstOfChangesIsOneState(t *testing.T) {
	m := watch(t)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "su-burst", TxQLen: -1}, PeerName: "su-peer"}
	do(t, netlink.LinkAdd(veth))
	await(t, m, "the link", func(links []ctl.Link) bool { return find(links, "su-burst") != nil })
	const many = 200
	start := time.Now()
	added := make(chan error, 1)
	go func() {
		var err error
		for i := range many {
			err = errors.Join(err, netlink.AddrAdd(veth, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 0, byte(i), 1), Mask: net.CIDRMask(24, 32)}}))
		}
		added <- err
	}()
	_, states := await(t, m, "all addresses", func(links []ctl.Link) bool { return len(find(links, "su-burst").Addresses) == many })
	do(t, <-added)
	// The state before, the one that was settling, and one for each time that the rest took to settle.
	if most := 3 + int(time.Since(start)/settle); states > most {
		t.Errorf("%d addresses came as %d states, not %d", many, states, most)
	}
	do(t, netlink.LinkDel(veth))
	await(t, m, "the link gone", func(links []ctl.Link) bool { return find(links, "su-burst") == nil })
}

func TestNothingNewIsNoState(t *testing.T) {
	m := watch(t)
	_, before := m.Links()
	if err := m.refresh(); err != nil {
		t.Fatal(err)
	}
	if _, after := m.Links(); after != before {
		t.Error("a look that found nothing new is a new state")
	}
}
