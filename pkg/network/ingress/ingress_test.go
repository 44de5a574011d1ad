package ingress

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// isolated makes the test's thread be in a network namespace of its own.
func isolated(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace here: %v: run as root", err)
	}
}

// program is one that lets all packets pass.
func program(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	if err != nil {
		t.Skipf("no programs for the kernel here: %v: run as root on a kernel with CONFIG_BPF_SYSCALL", err)
	}
	return p
}

// keeper is a supervisor that keeps copies of what it is given.
type keeper map[string][]int

func (k keeper) Store(name string, fds ...int) error {
	for _, fd := range fds {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		k[name] = append(k[name], n)
	}
	return nil
}

func (k keeper) Forget(name string) error {
	for _, fd := range k[name] {
		_ = unix.Close(fd)
	}
	delete(k, name)
	return nil
}

// wire makes a pair of interfaces and returns how netd sees one of them.
func wire(t *testing.T, name string) ctl.Link {
	t.Helper()
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}); err != nil {
		t.Fatal(err)
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return ctl.Link{Name: name, Index: l.Attrs().Index, MAC: l.Attrs().HardwareAddr.String()}
}

func TestInterfacesComeAndGo(t *testing.T) {
	for _, way := range []string{Auto, Clsact} {
		t.Run(way, func(t *testing.T) {
			isolated(t)
			k := keeper{}
			h, err := New(program(t), way, k, nil)
			if err != nil {
				t.Fatal(err)
			}
			lo := ctl.Link{Name: "lo", Index: 1, MAC: "00:00:00:00:00:00", Loopback: true}
			tunnel := ctl.Link{Name: "wg0", Index: 77}
			a := wire(t, "a")
			b := wire(t, "b")
			follow := func(links []ctl.Link, want ...string) {
				t.Helper()
				if names, err := h.Follow(links); err != nil || !slices.Equal(names, want) {
					t.Errorf("on %v, %v: want %v", names, err, want)
				}
			}
			follow([]ctl.Link{lo, tunnel, a}, "a")
			follow([]ctl.Link{lo, tunnel, a, b}, "a", "b")
			if want := map[string]int{TCX: 2}[h.Way()]; len(k) != want {
				t.Errorf("by %s the supervisor has %d links, not %d", h.Way(), len(k), want)
			}
			wire, err := netlink.LinkByName("a")
			if err != nil {
				t.Fatal(err)
			}
			if err := netlink.LinkDel(wire); err != nil {
				t.Fatal(err)
			}
			follow([]ctl.Link{lo, b}, "b")
			if names, err := h.Follow([]ctl.Link{a, b}); err == nil || !slices.Equal(names, []string{"b"}) || !strings.Contains(err.Error(), "a: attach by") {
				t.Errorf("an interface that is gone: on %v, %v", names, err)
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A process after us takes the links back, and a filter's place.
func TestAnotherProcessTakesOver(t *testing.T) {
	for _, way := range []string{Auto, Clsact} {
		t.Run(way, func(t *testing.T) {
			isolated(t)
			k := keeper{}
			first, err := New(program(t), way, k, nil)
			if err != nil {
				t.Fatal(err)
			}
			a := wire(t, "a")
			if _, err := first.Follow([]ctl.Link{a}); err != nil {
				t.Fatal(err)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			handed := map[string][]int{}
			for name, fds := range k {
				fd, err := unix.FcntlInt(uintptr(fds[0]), unix.F_DUPFD_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				handed[name] = []int{fd}
			}
			second, err := New(program(t), way, k, handed)
			if err != nil {
				t.Fatal(err)
			}
			if names, err := second.Follow([]ctl.Link{a}); err != nil || len(names) != 1 {
				t.Errorf("on %v, %v", names, err)
			}
			if n := attached(t, a); n != 1 {
				t.Errorf("%d programs are attached", n)
			}
			if err := second.Close(); err != nil {
				t.Error(err)
			}
			if n := attached(t, a); n != 1 {
				t.Errorf("%d programs are attached after the end", n)
			}
			for name, fds := range k { // the last descriptors of the links
				_ = unix.Close(fds[0])
				delete(k, name)
			}
			if err := Remove([]ctl.Link{a}); err != nil {
				t.Error(err)
			}
			if n := attached(t, a); n != 0 {
				t.Errorf("%d programs are attached though all were taken off", n)
			}
		})
	}
}

// attached counts the programs at an interface's ingress.
func attached(t *testing.T, l ctl.Link) int {
	t.Helper()
	wire, err := netlink.LinkByIndex(l.Index)
	if err != nil {
		t.Fatal(err)
	}
	filters, err := netlink.FilterList(wire, netlink.HANDLE_MIN_INGRESS)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Name == filterName {
			n++
		}
	}
	return n + linked(t, l.Index)
}

func linked(t *testing.T, ifindex int) int {
	t.Helper()
	got, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: ebpf.AttachTCXIngress})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(got.Programs)
}
