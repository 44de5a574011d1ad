// Command register is an init that asks the firmware of a Raspberry Pi for a partition, and shows what stands in the
// register then.
package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/firmware/early"
	"github.com/coraltele/sanchar/pkg/firmware/oneshot"
)

// Where a Raspberry Pi 3 has the register.
const (
	powerAt = 0x3f10_0000
	rstsAt  = 0x20
	page    = 4096
)

func main() {
	fmt.Println("mounted:", early.Mount())
	fmt.Println("asked:", oneshot.Ask(3), read())
	fmt.Println("cleared:", oneshot.Clear(), read())
	select {} // the test ends the machine
}

func read() string {
	f, err := os.Open("/dev/mem")
	if err != nil {
		return err.Error()
	}
	b, err := unix.Mmap(int(f.Fd()), powerAt, page, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%#x", atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[rstsAt]))))
}
