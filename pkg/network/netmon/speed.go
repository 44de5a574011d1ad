package netmon

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolCommand is struct ethtool_cmd of linux/ethtool.h, for ETHTOOL_GSET, which every driver answers.
type ethtoolCommand struct {
	cmd, supported, advertising                       uint32
	speed                                             uint16
	duplex, port, phy, transceiver, autoneg, support2 uint8
	maxTx, maxRx                                      uint32
	speedHigh                                         uint16
	tpMDIX, reserved2                                 uint8
	partner                                           uint32
	reserved                                          [2]uint32
}

// speed asks the driver of a link for megabits a second and duplex; 0 and "" are unknown.
func speed(link string) (mbit int, duplex string) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, ""
	}
	defer unix.Close(fd)
	cmd := ethtoolCommand{cmd: unix.ETHTOOL_GSET}
	req, err := unix.NewIfreq(link)
	if err != nil {
		return 0, ""
	}
	// An ifreq with a pointer: the name, then where the answer goes (netdevice(7)).
	var raw struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [24 - unsafe.Sizeof(uintptr(0))]byte
	}
	copy(raw.name[:], req.Name())
	raw.data = unsafe.Pointer(&cmd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&raw))); errno != 0 {
		return 0, "" // a kind of link without a speed
	}
	mbit = int(uint32(cmd.speedHigh)<<16 | uint32(cmd.speed))
	if mbit < 0 || mbit > 1<<24 { // SPEED_UNKNOWN is -1
		mbit = 0
	}
	switch cmd.duplex {
	case 0:
		duplex = "half"
	case 1:
		duplex = "full"
	}
	return mbit, duplex
}
