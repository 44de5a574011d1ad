// Package ingress attaches a program to where packets come in: at every Ethernet interface there is, and
// at those that come later. A program stays attached while its daemon is started again.
package ingress

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Ways to attach a program.
const (
	Auto   = "auto"   // TCX where the kernel has it, else Clsact
	TCX    = "tcx"    // a link for each interface, Linux 6.6 and later
	Clsact = "clsact" // a filter of traffic control
)

// NamePrefix starts the names that links are left with the supervisor under.
const NamePrefix = "tcx-"

// Keeper holds descriptors over a restart. It is notify.Notifier.
type Keeper interface {
	Store(name string, fds ...int) error
	Forget(name string) error
}

// Hooks are where the program is attached. It is used by one goroutine.
type Hooks struct {
	program *ebpf.Program
	way     string
	keeper  Keeper
	links   map[int]link.Link // with TCX, by ifindex
	filters map[int]bool      // with Clsact
}

// New returns hooks of program, which they own. It takes back links that a process before us left with the supervisor:
// from now on they run program. It owns their descriptors.
func New(program *ebpf.Program, way string, keeper Keeper, handed map[string][]int) (*Hooks, error) {
	h := &Hooks{program: program, way: way, keeper: keeper, links: map[int]link.Link{}, filters: map[int]bool{}}
	var errs []error
	for name, fds := range handed {
		errs = append(errs, h.adopt(name, fds))
	}
	return h, errors.Join(errs...)
}

// adopt takes a link back.
func (h *Hooks) adopt(name string, fds []int) error {
	ifindex, err := strconv.Atoi(strings.TrimPrefix(name, NamePrefix))
	if err != nil || len(fds) != 1 {
		for _, fd := range fds {
			err = errors.Join(err, unix.Close(fd))
		}
		return errors.Join(fmt.Errorf("link %s of %d descriptors", name, len(fds)), err, h.keeper.Forget(name))
	}
	l, err := link.NewFromFD(fds[0])
	if err != nil {
		return errors.Join(fmt.Errorf("link %s: %w", name, err), unix.Close(fds[0]), h.keeper.Forget(name))
	}
	if err := l.Update(h.program); err != nil { // the interface is gone
		return errors.Join(l.Close(), h.keeper.Forget(name))
	}
	h.links[ifindex] = l
	return nil
}

// Way tells how the program is attached, once it is.
func (h *Hooks) Way() string { return h.way }

// Follow attaches the program to the interfaces that have come, and lets go of those that have left. It
// returns the names of all that have the program, and why others have not.
func (h *Hooks) Follow(links []ctl.Link) (names []string, err error) {
	there := map[int]bool{}
	var errs []error
	for _, l := range links {
		if !Ethernet(l) {
			continue
		}
		there[l.Index] = true
		if err := h.attach(l.Index); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Name, err))
			continue
		}
		names = append(names, l.Name)
	}
	for _, ifindex := range slices.Collect(maps.Keys(h.links)) {
		if !there[ifindex] {
			errs = append(errs, h.links[ifindex].Close(), h.keeper.Forget(nameOf(ifindex)))
			delete(h.links, ifindex)
		}
	}
	maps.DeleteFunc(h.filters, func(ifindex int, _ bool) bool { return !there[ifindex] }) // gone with the interface
	return names, errors.Join(errs...)
}

// Ethernet reports whether packets come in by l with an Ethernet header.
func Ethernet(l ctl.Link) bool { return !l.Loopback && len(l.MAC) == len("00:00:5e:00:53:00") }

func nameOf(ifindex int) string { return NamePrefix + strconv.Itoa(ifindex) }

func (h *Hooks) attach(ifindex int) (err error) {
	if h.links[ifindex] != nil || h.filters[ifindex] {
		return nil
	}
	if h.way == TCX || h.way == Auto {
		err = h.attachTCX(ifindex)
		if err == nil || h.way == TCX || !errors.Is(err, ebpf.ErrNotSupported) {
			return err
		}
	}
	return h.attachClsact(ifindex)
}

func (h *Hooks) attachTCX(ifindex int) error {
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: h.program, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		return fmt.Errorf("attach by tcx: %w", err)
	}
	fd, ok := l.(interface{ FD() int })
	if !ok {
		return errors.Join(fmt.Errorf("attach by tcx: %T has no descriptor", l), l.Close())
	}
	if err := h.keeper.Store(nameOf(ifindex), fd.FD()); err != nil { // then it does not outlive us
		return errors.Join(err, l.Close())
	}
	h.links[ifindex], h.way = l, TCX
	return nil
}

// Place of our filter among those of an interface: others may stand before it.
const (
	filterName     = "sanchar_media"
	filterHandle   = 1
	filterPriority = 50000
)

// attachClsact attaches by a classifier that decides itself. It stays until it is replaced: a process
// after us finds it at the same place.
func (h *Hooks) attachClsact(ifindex int) error {
	if err := netlink.QdiscAdd(place(ifindex)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("attach by clsact: %w", err)
	}
	if err := netlink.FilterReplace(filter(h.program, ifindex)); err != nil {
		return fmt.Errorf("attach by clsact: %w", err)
	}
	h.filters[ifindex], h.way = true, Clsact
	return nil
}

// place is where an interface has its filters.
func place(ifindex int) netlink.Qdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  "clsact",
	}
}

func filter(program *ebpf.Program, ifindex int) netlink.Filter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: netlink.HANDLE_MIN_INGRESS, Handle: filterHandle, Priority: filterPriority, Protocol: unix.ETH_P_ALL,
		},
		Fd: program.FD(), Name: filterName, DirectAction: true,
	}
}

// loopback is the index of the interface that each network namespace has.
const loopback = 1

// Probe tries whether a program can be attached at all, for a moment, where no media comes in.
func Probe(program *ebpf.Program) error {
	l, err := link.AttachTCX(link.TCXOptions{Interface: loopback, Program: program, Attach: ebpf.AttachTCXIngress})
	if err == nil {
		return l.Close()
	}
	if !errors.Is(err, ebpf.ErrNotSupported) {
		return fmt.Errorf("attach by tcx: %w", err)
	}
	added := netlink.QdiscAdd(place(loopback))
	if added != nil && !errors.Is(added, unix.EEXIST) {
		return fmt.Errorf("attach by clsact: %w", added)
	}
	f := filter(program, loopback)
	if err = netlink.FilterReplace(f); err == nil {
		err = netlink.FilterDel(f)
	}
	if added == nil {
		err = errors.Join(err, netlink.QdiscDel(place(loopback)))
	}
	if err != nil {
		return fmt.Errorf("attach by clsact: %w", err)
	}
	return nil
}

// Remove takes the filters off that a process before us left.
func Remove(links []ctl.Link) error {
	var errs []error
	for _, l := range links {
		if !Ethernet(l) {
			continue
		}
		filters, err := netlink.FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: l.Index}}, netlink.HANDLE_MIN_INGRESS)
		if err != nil {
			continue // it has no place for filters, or is gone
		}
		for _, f := range filters {
			if ours, ok := f.(*netlink.BpfFilter); ok && ours.Name == filterName {
				errs = append(errs, netlink.FilterDel(f))
			}
		}
	}
	return errors.Join(errs...)
}

// Close lets go of the links. The supervisor holds its own.
func (h *Hooks) Close() error {
	var errs []error
	for _, l := range h.links {
		errs = append(errs, l.Close())
	}
	clear(h.links)
	return errors.Join(append(errs, h.program.Close())...)
}
