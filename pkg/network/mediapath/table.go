// Package mediapath makes the packet filter of the kernel pass media on: its own table looks up what comes
// in by an interface, rewrites it and hands it to the neighbour of the next hop. It tracks no connections.
package mediapath

import (
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/ingress"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Bounds of the socket to the kernel. A transaction is one message to it, and what is taken is told back.
const (
	socketBuffer = 32 << 20
	answerLimit  = 5 * time.Second // others' transactions go first: one of a large ruleset takes seconds
)

// Table is what the kernel passes on. It lives as long as its socket: if this process ends, however it
// ends, the kernel removes the table, and media comes to the sockets. It is used by one goroutine at a
// time; after an error of its own it is of no more use.
type Table struct {
	conn     *netlink.Conn
	hooks    map[int]string // device by ifindex
	flows    map[uint32]ctl.MediaFlow
	elements map[string]*element // by key; the sizes of keys tell IPv4 from IPv6
	counted  []Count             // by elements that are being taken
}

// Open makes the table, without flows, in the namespace of the calling thread.
func Open(maxFlows uint32) (*Table, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open the packet filter: %w", err)
	}
	t := &Table{conn: c, hooks: map[int]string{}, flows: map[uint32]ctl.MediaFlow{}, elements: map[string]*element{}}
	if err := errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer), t.lay(maxFlows)); err != nil {
		return nil, errors.Join(fmt.Errorf("make table %s: %w", TableName, err), c.Close())
	}
	return t, nil
}

// lay makes all but the hooks.
func (t *Table) lay(maxFlows uint32) error {
	var b batch
	b.addTable()
	elements := maxFlows * maxTypes
	b.addMap(flows4, 1, key4Size, value4Size, elements)
	b.addMap(flows6, 2, key6Size, value6Size, elements)
	b.addChain(chain4)
	b.addChain(chain6)
	b.addRules(chain4, pass4())
	b.addRules(chain6, pass6())
	return t.commit(&b)
}

func (t *Table) commit(b *batch) error {
	if err := t.begin(); err != nil {
		return err
	}
	return b.commit(t.conn, t.hear)
}

// begin gives the kernel time to answer a question.
func (t *Table) begin() error { return t.conn.SetDeadline(time.Now().Add(answerLimit)) }

// Follow makes the table see the packets of the interfaces that have come, and lets go of those that
// have left. It returns the names of all that it sees, and why it does not see others.
func (t *Table) Follow(links []ctl.Link) (names []string, err error) {
	there := map[int]bool{}
	var errs []error
	for _, l := range links {
		if !ingress.Ethernet(l) {
			continue
		}
		there[l.Index] = true
		if err := t.hook(l.Index, l.Name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Name, err))
			continue
		}
		names = append(names, l.Name)
	}
	for index := range t.hooks {
		if !there[index] {
			errs = append(errs, t.unhook(index))
		}
	}
	return names, errors.Join(errs...)
}

// hook makes the chain of a device. One that was renamed gets it anew: kernels since 6.16 go by the name.
func (t *Table) hook(index int, device string) error {
	switch t.hooks[index] {
	case device:
		return nil
	case "":
	default:
		if err := t.unhook(index); err != nil {
			return err
		}
	}
	var b batch
	b.addHook(hookName(index), device)
	b.addRules(hookName(index), entrance())
	if err := t.commit(&b); err != nil {
		return fmt.Errorf("attach by nftables: %w", err)
	}
	t.hooks[index] = device
	return nil
}

// unhook removes the chain of a device. Its kernel may have done so when the device left.
func (t *Table) unhook(index int) error {
	delete(t.hooks, index)
	var b batch
	b.dropRules(hookName(index))
	b.dropChain(hookName(index))
	if err := t.commit(&b); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("detach from an interface: %w", err)
	}
	return nil
}

func hookName(index int) string { return fmt.Sprintf("in%d", index) }

// Close removes the table.
func (t *Table) Close() error { return t.conn.Close() }
