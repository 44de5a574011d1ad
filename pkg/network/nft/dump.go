package nft

import (
	"fmt"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/ruleset"
)

// comments returns the comments of our table's rules by chain, "" for rules without. It looks at
// nothing else of them: the table may hold, by somebody's hand, what no library can read.
func (k *Kernel) comments() (map[string][]string, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: k.ns})
	if err != nil {
		return nil, fmt.Errorf("open the packet filter: %w", err)
	}
	defer c.Close()
	if err := socketOptions(c); err != nil {
		return nil, err
	}
	request, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: []byte(ruleset.Table + "\x00")}})
	if err != nil {
		return nil, err
	}
	messages, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE), Flags: netlink.Request | netlink.Dump},
		Data:   append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, request...),
	})
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	all := map[string][]string{}
	for _, m := range messages {
		chain, comment, err := commentOf(m)
		if err != nil {
			return nil, fmt.Errorf("read a rule: %w", err)
		}
		all[chain] = append(all[chain], comment)
	}
	return all, nil
}

// commentOf reads one rule; its attributes follow a header of four bytes.
func commentOf(m netlink.Message) (chain, comment string, err error) {
	const header = 4
	if len(m.Data) < header {
		return "", "", fmt.Errorf("%d bytes are no message of the packet filter", len(m.Data))
	}
	ad, err := netlink.NewAttributeDecoder(m.Data[header:])
	if err != nil {
		return "", "", err
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_RULE_CHAIN:
			chain = ad.String()
		case unix.NFTA_RULE_USERDATA:
			comment, _ = userdata.GetString(ad.Bytes(), userdata.TypeComment)
		}
	}
	return chain, comment, ad.Err()
}
