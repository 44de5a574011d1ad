package mediapath

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// maxTypes is how many payload types a flow has.
const maxTypes = ctl.MaxMediaTypes

// elementsPerMessage keeps a message below 64 KiB, which is what the length of its attribute can say.
const elementsPerMessage = 300

// Count is what an element has counted since it was last looked at.
type Count struct {
	Slot    uint32
	At      int    // of the payload type in the flow's Types
	Packets uint64 // passed on
	Bytes   uint64 // of RTP
}

// Change puts flows and takes others in one transaction. A flow that is there already gets what is put;
// one that is not need not be taken. It returns what was counted of those that were taken: after the
// transaction no packet takes them any more.
func (t *Table) Change(put []ctl.MediaFlow, take []uint32) ([]Count, error) {
	out := map[uint32]bool{}
	for _, slot := range take {
		out[slot] = true
	}
	for i := range put {
		out[put[i].Slot] = true
		for _, payloadType := range put[i].Types { // one that mediad has forgotten
			if e := t.elements[keyOf(&put[i], payloadType)]; e != nil {
				out[e.slot] = true
			}
		}
	}
	var b batch
	t.take(&b, out)
	added := t.put(&b, put)
	t.counted = nil
	if err := t.commit(&b); err != nil {
		return nil, fmt.Errorf("change media flows: %w", err)
	}
	for slot := range out {
		t.forget(slot)
	}
	for _, f := range put {
		t.flows[f.Slot] = f
	}
	for key, e := range added {
		t.elements[key] = e
	}
	return t.counted, nil
}

// Clear takes all flows.
func (t *Table) Clear() ([]Count, error) {
	all := make([]uint32, 0, len(t.flows))
	for slot := range t.flows {
		all = append(all, slot)
	}
	return t.Change(nil, all)
}

// Len returns how many flows there are.
func (t *Table) Len() int { return len(t.flows) }

func (t *Table) forget(slot uint32) {
	f := t.flows[slot]
	for _, payloadType := range f.Types {
		delete(t.elements, keyOf(&f, payloadType))
	}
	delete(t.flows, slot)
}

func (t *Table) take(b *batch, slots map[uint32]bool) {
	var of [2][]mapped
	for slot := range slots {
		f := t.flows[slot]
		for _, payloadType := range f.Types {
			of[version(&f)] = append(of[version(&f)], mapped{key: keyOf(&f, payloadType)})
		}
	}
	b.inParts(unix.NFT_MSG_DELSETELEM, netlink.Echo, of)
}

func (t *Table) put(b *batch, flows []ctl.MediaFlow) (added map[string]*element) {
	added = map[string]*element{}
	var of [2][]mapped
	for i := range flows {
		f := &flows[i]
		for at, payloadType := range f.Types {
			key := keyOf(f, payloadType)
			of[version(f)] = append(of[version(f)], mapped{key, valueOf(f)})
			added[key] = &element{slot: f.Slot, at: at, six: six(f)}
		}
	}
	b.inParts(unix.NFT_MSG_NEWSETELEM, netlink.Create, of)
	return added
}

func version(f *ctl.MediaFlow) int {
	if six(f) {
		return 1
	}
	return 0
}

func (b *batch) inParts(kind int, flags netlink.HeaderFlags, of [2][]mapped) {
	for i, name := range [...]string{flows4, flows6} {
		for rest := of[i]; len(rest) > 0; {
			n := min(len(rest), elementsPerMessage)
			b.elements(kind, flags, name, rest[:n])
			rest = rest[n:]
		}
	}
}

// Counts returns what was counted since they were last asked for.
func (t *Table) Counts() ([]Count, error) {
	t.counted = nil
	if len(t.flows) == 0 {
		return nil, nil
	}
	if err := t.begin(); err != nil {
		return nil, err
	}
	for _, name := range [...]string{flows4, flows6} {
		data, err := encode(func(a *netlink.AttributeEncoder) {
			a.String(unix.NFTA_SET_ELEM_LIST_TABLE, TableName)
			a.String(unix.NFTA_SET_ELEM_LIST_SET, name)
		})
		if err != nil {
			return nil, err
		}
		messages, err := t.conn.Execute(netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM), Flags: netlink.Request | netlink.Dump},
			Data:   append([]byte{unix.NFPROTO_NETDEV, unix.NFNETLINK_V0, 0, 0}, data...),
		})
		if err != nil {
			return nil, fmt.Errorf("count media flows: %w", err)
		}
		for _, m := range messages {
			err = errors.Join(err, t.hear(m))
		}
		if err != nil {
			return nil, fmt.Errorf("count media flows: %w", err)
		}
	}
	return t.counted, nil
}

// hear reads what the kernel tells of elements.
func (t *Table) hear(m netlink.Message) error {
	const header = 4
	kind := int(m.Header.Type & 0xff)
	if kind != unix.NFT_MSG_NEWSETELEM && kind != unix.NFT_MSG_DELSETELEM || len(m.Data) < header {
		return nil
	}
	return within(m.Data[header:], unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(list []byte) error {
		return within(list, unix.NFTA_LIST_ELEM, t.counts)
	})
}

// counts reads one element.
func (t *Table) counts(b []byte) error {
	var key string
	var packets, bytes uint64
	err := errors.Join(
		within(b, unix.NFTA_SET_ELEM_KEY, func(b []byte) error {
			return within(b, unix.NFTA_DATA_VALUE, func(b []byte) error { key = string(b); return nil })
		}),
		within(b, unix.NFTA_SET_ELEM_EXPR, func(b []byte) error {
			return within(b, unix.NFTA_EXPR_DATA, func(b []byte) error {
				return errors.Join(number(b, unix.NFTA_COUNTER_PACKETS, &packets), number(b, unix.NFTA_COUNTER_BYTES, &bytes))
			})
		}))
	e := t.elements[key]
	if err != nil || e == nil {
		return err
	}
	c := Count{Slot: e.slot, At: e.at, Packets: packets - e.packets, Bytes: bytes - e.bytes}
	below := uint64(below4)
	if e.six {
		below = below6
	}
	c.Bytes -= c.Packets * below
	e.packets, e.bytes = packets, bytes
	if c.Packets > 0 {
		t.counted = append(t.counted, c)
	}
	return nil
}

// within calls do with each attribute of a kind.
func within(b []byte, kind uint16, do func([]byte) error) error {
	const head, kinds = 4, 1<<14 - 1
	for len(b) >= head {
		size := int(binary.NativeEndian.Uint16(b))
		if size < head || size > len(b) {
			return fmt.Errorf("an attribute of %d bytes in %d", size, len(b))
		}
		if binary.NativeEndian.Uint16(b[2:])&kinds == kind {
			if err := do(b[head:size]); err != nil {
				return err
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}

// number reads an attribute of eight bytes.
func number(b []byte, kind uint16, to *uint64) error {
	return within(b, kind, func(b []byte) error {
		if len(b) != 8 {
			return fmt.Errorf("a count of %d bytes", len(b))
		}
		*to = binary.BigEndian.Uint64(b)
		return nil
	})
}
