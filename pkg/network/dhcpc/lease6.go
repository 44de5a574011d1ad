package dhcpc

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/coraltele/sanchar/pkg/base/fsx"
)

// kept6 is a lease on disk: the server's words, and when it said them.
type kept6 struct {
	Reply []byte    `json:"reply"`
	At    time.Time `json:"at"`
}

func (c *Clients) file6(link string) string { return filepath.Join(c.dir, link+".v6.json") }

func (c *Clients) save6(link string, held *held6) error {
	data, err := json.Marshal(kept6{held.reply.ToBytes(), held.at})
	if err != nil {
		return err
	}
	return fsx.WriteFile(c.file6(link), append(data, '\n'), 0o600)
}

// load6 returns the lease of before the restart, nil when there is none that can be read.
func (c *Clients) load6(link string) *held6 {
	data, err := os.ReadFile(c.file6(link))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var k kept6
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	var msg *dhcpv6.Message
	if err == nil {
		msg, err = dhcpv6.MessageFromBytes(k.Reply)
	}
	if err != nil {
		c.log.Warn("the old lease cannot be read", "err", describe(link, err))
		return nil
	}
	return &held6{msg, k.At}
}
