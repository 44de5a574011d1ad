package offload

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Maps are what program and mediad share.
type Maps struct{ Flows, Slots *ebpf.Map }

// Names of the maps, by which those of another layout are told.
const (
	flowsName = "sanchar_flows" + Generation
	slotsName = "sanchar_slots" + Generation
)

// NewMaps makes empty maps. It takes privilege (CAP_BPF).
func NewMaps() (m Maps, err error) {
	m.Flows, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: flowsName, Type: ebpf.Hash, KeySize: keySize, ValueSize: flowSize, MaxEntries: MaxFlows,
		Flags: unix.BPF_F_NO_PREALLOC, // an idle box has none
	})
	if err != nil {
		return Maps{}, fmt.Errorf("map of media flows: %w", err)
	}
	m.Slots, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: slotsName, Type: ebpf.Array, KeySize: 4, ValueSize: slotSize, MaxEntries: MaxFlows,
		Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return Maps{}, errors.Join(fmt.Errorf("map of media counters: %w", err), m.Flows.Close())
	}
	return m, nil
}

// OpenMaps takes maps over by their descriptors, first that of the flows, then that of the slots. It
// owns these, also when it fails: it refuses what is of another layout.
func OpenMaps(fds []int) (m Maps, err error) {
	if len(fds) != 2 {
		for _, fd := range fds {
			err = errors.Join(err, unix.Close(fd))
		}
		return Maps{}, errors.Join(fmt.Errorf("%d maps of media flows: not 2", len(fds)), err)
	}
	if m.Flows, err = openMap(fds[0], flowsName, flowSize); err != nil {
		return Maps{}, errors.Join(err, unix.Close(fds[1]))
	}
	if m.Slots, err = openMap(fds[1], slotsName, slotSize); err != nil {
		return Maps{}, errors.Join(err, m.Flows.Close())
	}
	return m, nil
}

func openMap(fd int, name string, value uint32) (*ebpf.Map, error) {
	m, err := ebpf.NewMapFromFD(fd)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", name, err)
	}
	info, err := m.Info()
	if err == nil && (!strings.HasPrefix(name, info.Name) || info.ValueSize != value || info.MaxEntries != MaxFlows) {
		err = fmt.Errorf("is %s with %d values of %d bytes", info.Name, info.MaxEntries, info.ValueSize)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map %s: %w", name, err), m.Close())
	}
	return m, nil
}

// FDs returns the descriptors as OpenMaps takes them. They stay the maps'.
func (m Maps) FDs() []int { return []int{m.Flows.FD(), m.Slots.FD()} }

// Same reports whether both are the same maps of the kernel.
func (m Maps) Same(o Maps) bool {
	a, errA := m.Flows.Info()
	b, errB := o.Flows.Info()
	if errA != nil || errB != nil {
		return false
	}
	idA, okA := a.ID()
	idB, okB := b.ID()
	return okA && okB && idA == idB
}

// Close closes our descriptors. The program keeps the maps as long as it is attached.
func (m Maps) Close() error { return errors.Join(m.Flows.Close(), m.Slots.Close()) }

// Load makes the program that serves the maps. It takes privilege (CAP_BPF and CAP_NET_ADMIN).
func Load(m Maps) (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "sanchar_media", Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: instructions(m.Flows, m.Slots),
	})
	if err != nil {
		return nil, fmt.Errorf("program of media flows: %w", err)
	}
	return p, nil
}
