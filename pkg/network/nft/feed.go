package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// Element is an address in a set.
type Element struct {
	Addr    netip.Addr
	Timeout time.Duration // 0 is the set's own
	Expires time.Duration // left of it, as the kernel last said
}

// Count is what a counter has counted.
type Count struct{ Packets, Bytes uint64 }

// ErrNoTable says that our table is not there: no ruleset is applied.
var ErrNoTable = errors.New("no ruleset is applied")

// Update makes the set hold what is put, each for its time from now, and not what is taken. One that
// is there already gets its new time: it is taken and put again within the transaction, since kernels
// before 6.12 keep the old time of an element that is added once more.
func (k *Kernel) Update(set ruleset.Set, put []Element, take []netip.Addr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, err := k.conn()
	if err != nil {
		return fmt.Errorf("open the packet filter: %w", err)
	}
	s := namedSet(table(), set)
	for _, e := range put {
		take = append(take, e.Addr)
	}
	gone := make([]Element, len(take))
	for i, addr := range take {
		gone[i].Addr = addr
	}
	err = errors.Join(
		inParts(gone, func(part []nftables.SetElement) error { return c.SetAddElements(s, part) }),
		inParts(gone, func(part []nftables.SetElement) error { return c.SetDeleteElements(s, part) }),
		inParts(put, func(part []nftables.SetElement) error { return c.SetAddElements(s, part) }),
	)
	if err == nil {
		err = c.Flush()
	}
	if err != nil {
		return fmt.Errorf("update set %s: %w", set.Name, err)
	}
	return nil
}

func inParts(elements []Element, do func([]nftables.SetElement) error) error {
	for len(elements) > 0 {
		n := min(len(elements), elementsPerMessage)
		part := make([]nftables.SetElement, n)
		for i, e := range elements[:n] {
			part[i] = nftables.SetElement{Key: e.Addr.AsSlice(), Timeout: e.Timeout}
		}
		if err := do(part); err != nil {
			return err
		}
		elements = elements[n:]
	}
	return nil
}

// Elements returns what a set holds.
func (k *Kernel) Elements(set ruleset.Set) (all []Element, err error) {
	c, err := k.conn()
	if err != nil {
		return nil, fmt.Errorf("open the packet filter: %w", err)
	}
	elements, err := c.GetSetElements(namedSet(table(), set))
	if err != nil {
		return nil, fmt.Errorf("list set %s: %w", set.Name, err)
	}
	for _, e := range elements {
		if addr, ok := netip.AddrFromSlice(e.Key); ok {
			all = append(all, Element{Addr: addr, Timeout: e.Timeout, Expires: e.Expires})
		}
	}
	return all, nil
}

// Counts returns what each counter of our table has counted since it was made.
func (k *Kernel) Counts() (map[string]Count, error) {
	c, err := k.conn()
	if err != nil {
		return nil, fmt.Errorf("open the packet filter: %w", err)
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	for _, t := range tables {
		if ours(t) {
			return counts(c)
		}
	}
	return nil, ErrNoTable
}

func counts(c *nftables.Conn) (map[string]Count, error) {
	objects, err := c.GetNamedObjects(table())
	if err != nil {
		return nil, fmt.Errorf("list counters: %w", err)
	}
	all := make(map[string]Count, len(objects))
	for _, o := range objects {
		named, ok := o.(*nftables.NamedObj)
		if !ok {
			continue
		}
		if counter, ok := named.Obj.(*expr.Counter); ok {
			all[named.Name] = Count{Packets: counter.Packets, Bytes: counter.Bytes}
		}
	}
	return all, nil
}
