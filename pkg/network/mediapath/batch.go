package mediapath

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// TableName is the table's, of the family of devices.
const TableName = "sanchar_media"

// Flags and attributes that package unix lacks (linux/netfilter/nf_tables.h).
const (
	ownedTable = 2    // NFT_TABLE_F_OWNER: it goes with the socket that made it, Linux 5.12
	setExpr    = 0x11 // NFTA_SET_EXPR: each element gets its own
)

// integerType is how nft(8) shows keys and values: the kernel does not ask.
const integerType = 4

// batch is a transaction in the making.
type batch struct {
	messages []netlink.Message
	err      error
}

// add appends a message about the table.
func (b *batch) add(kind int, flags netlink.HeaderFlags, fill func(*netlink.AttributeEncoder)) {
	data, err := encode(fill)
	b.err = errors.Join(b.err, err)
	b.messages = append(b.messages, netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | flags},
		Data:   append([]byte{unix.NFPROTO_NETDEV, unix.NFNETLINK_V0, 0, 0}, data...),
	})
}

func (b *batch) addTable() {
	b.add(unix.NFT_MSG_NEWTABLE, netlink.Create|netlink.Excl, func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_TABLE_NAME, TableName)
		a.Uint32(unix.NFTA_TABLE_FLAGS, ownedTable)
	})
}

// addMap makes a map whose elements count.
func (b *batch) addMap(name string, id, keySize, valueSize, elements uint32) {
	b.add(unix.NFT_MSG_NEWSET, netlink.Create, func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_SET_TABLE, TableName)
		a.String(unix.NFTA_SET_NAME, name)
		a.Uint32(unix.NFTA_SET_FLAGS, unix.NFT_SET_MAP)
		a.Uint32(unix.NFTA_SET_KEY_TYPE, integerType)
		a.Uint32(unix.NFTA_SET_KEY_LEN, keySize)
		a.Uint32(unix.NFTA_SET_DATA_TYPE, integerType)
		a.Uint32(unix.NFTA_SET_DATA_LEN, valueSize)
		a.Uint32(unix.NFTA_SET_ID, id)
		a.Nested(unix.NFTA_SET_DESC, func(a *netlink.AttributeEncoder) error {
			a.Uint32(unix.NFTA_SET_DESC_SIZE, elements)
			return nil
		})
		a.Nested(setExpr, func(a *netlink.AttributeEncoder) error {
			a.String(unix.NFTA_EXPR_NAME, "counter")
			return nil
		})
	})
}

func (b *batch) addChain(name string) {
	b.add(unix.NFT_MSG_NEWCHAIN, netlink.Create, func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_CHAIN_TABLE, TableName)
		a.String(unix.NFTA_CHAIN_NAME, name)
	})
}

// addHook makes a chain that sees what comes in by a device.
func (b *batch) addHook(name, device string) {
	b.add(unix.NFT_MSG_NEWCHAIN, netlink.Create, func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_CHAIN_TABLE, TableName)
		a.String(unix.NFTA_CHAIN_NAME, name)
		a.Nested(unix.NFTA_CHAIN_HOOK, func(a *netlink.AttributeEncoder) error {
			a.Uint32(unix.NFTA_HOOK_HOOKNUM, unix.NF_NETDEV_INGRESS)
			a.Uint32(unix.NFTA_HOOK_PRIORITY, 0)
			a.String(unix.NFTA_HOOK_DEV, device)
			return nil
		})
		a.String(unix.NFTA_CHAIN_TYPE, "filter")
	})
}

func (b *batch) dropChain(name string) {
	b.add(unix.NFT_MSG_DELCHAIN, 0, func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_CHAIN_TABLE, TableName)
		a.String(unix.NFTA_CHAIN_NAME, name)
	})
}

func (b *batch) dropRules(chain string) {
	b.add(unix.NFT_MSG_DELRULE, 0, func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_RULE_TABLE, TableName)
		a.String(unix.NFTA_RULE_CHAIN, chain)
	})
}

func (b *batch) addRules(chain string, rules []rule) {
	for _, r := range rules {
		b.add(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, func(a *netlink.AttributeEncoder) {
			a.String(unix.NFTA_RULE_TABLE, TableName)
			a.String(unix.NFTA_RULE_CHAIN, chain)
			a.Nested(unix.NFTA_RULE_EXPRESSIONS, func(a *netlink.AttributeEncoder) error {
				for _, x := range r {
					a.Nested(unix.NFTA_LIST_ELEM, x.attributes)
				}
				return nil
			})
		})
	}
}

func (x expression) attributes(a *netlink.AttributeEncoder) error {
	a.String(unix.NFTA_EXPR_NAME, x.name)
	a.Nested(unix.NFTA_EXPR_DATA, func(a *netlink.AttributeEncoder) error {
		x.encode(a)
		return nil
	})
	return nil
}

// elements adds to a map, or with a flag of echo takes from it: then the kernel tells what they counted.
func (b *batch) elements(kind int, flags netlink.HeaderFlags, name string, elements []mapped) {
	b.add(kind, flags, func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_SET_ELEM_LIST_TABLE, TableName)
		a.String(unix.NFTA_SET_ELEM_LIST_SET, name)
		a.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(a *netlink.AttributeEncoder) error {
			for _, e := range elements {
				a.Nested(unix.NFTA_LIST_ELEM, func(a *netlink.AttributeEncoder) error {
					value(a, unix.NFTA_SET_ELEM_KEY, []byte(e.key))
					if e.value != nil {
						value(a, unix.NFTA_SET_ELEM_DATA, e.value)
					}
					return nil
				})
			}
			return nil
		})
	})
}

// mapped is an element as the kernel is told.
type mapped struct {
	key   string
	value []byte // none to take it
}

// commit sends the transaction and waits for its end. each gets what the kernel tells of it.
func (b *batch) commit(c *netlink.Conn, each func(netlink.Message) error) error {
	if b.err != nil || len(b.messages) == 0 {
		return b.err
	}
	frame := func(kind netlink.HeaderType) netlink.Message {
		data := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0}
		binary.BigEndian.PutUint16(data[2:], unix.NFNL_SUBSYS_NFTABLES)
		return netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request}, Data: data}
	}
	b.messages[len(b.messages)-1].Header.Flags |= netlink.Acknowledge // faults are told in any case
	all := append(append([]netlink.Message{frame(unix.NFNL_MSG_BATCH_BEGIN)}, b.messages...), frame(unix.NFNL_MSG_BATCH_END))
	sent, err := c.SendMessages(all)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return answers(c, sent[0].Header.Sequence, sent[len(sent)-2].Header.Sequence, each)
}

// answers reads until the last message is acknowledged. A fault of the whole transaction is told as one
// of its first message.
func answers(c *netlink.Conn, first, last uint32, each func(netlink.Message) error) error {
	var fault error
	for {
		messages, err := c.Receive()
		var refused *netlink.OpError
		if errors.As(err, &refused) && refused.Sequence != 0 {
			fault = errors.Join(fault, err)
			if refused.Sequence == first || refused.Sequence == last {
				return fault
			}
			continue
		}
		if err != nil {
			return errors.Join(fault, err)
		}
		for _, m := range messages {
			if m.Header.Type == netlink.Error && m.Header.Sequence == last {
				return fault
			}
			if m.Header.Type != netlink.Error {
				fault = errors.Join(fault, each(m))
			}
		}
	}
}
