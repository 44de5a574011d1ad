package page

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
)

func TestMain(m *testing.M) {
	if err := loopbackUp(); err != nil {
		fmt.Fprintln(os.Stderr, "loopback:", err)
		os.Exit(1)
	}
	boxtest.Main(m, func() error { return nil }) // the browser's pipes end after the tests
}

// loopbackUp makes 127.0.0.1 usable in the namespace that the tests run in: the browser finds the
// page there.
func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil || lo.Attrs().Flags&net.FlagUp != 0 {
		return err
	}
	return netlink.LinkSetUp(lo)
}
