package image

import (
	"errors"
	"os/exec"
	"strconv"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/swtpm"
)

func TestTheSecurityChipHoldsTheKeys(t *testing.T) {
	long(t)
	tools(t, "qemu-system-x86_64", "mksquashfs", "mkfs.vfat", "mcopy", "swtpm", "debugfs")
	m := flash(t, x86(), build(t, "qemu", "0.1.0").image)
	m.chip = swtpm.New(t)
	m.on()
	m.until("the security chip holds the keys from now on", patience)
	o := setUp(t, m, m.setupCode())
	if st := o.state(); st.Keys != (ctl.BootKeys{Held: ctl.KeysChip}) {
		t.Errorf("at the first start: %+v", st.Keys)
	}

	m.off()
	m.on()
	m.until(`Page: +https://10\.0\.2\.15`, 2*patience)
	if st := o.state(); st.Keys != (ctl.BootKeys{Held: ctl.KeysChip}) {
		t.Errorf("at the second start: %+v", st.Keys)
	}
	if line, err := m.options(patience); err != nil || line != "SIP/2.0 200 OK" {
		t.Errorf("OPTIONS: %q, %v", line, err)
	}

	m.off()
	m.chip = swtpm.New(t) // the disk is in another box
	m.on()
	m.until("the box takes no calls: the keys were sealed by the security chip of another box.*recovery code", 2*patience)

	m.off()
	m.onDisk("rm /init/box") // as if the partition had been copied from a box that names none
	m.on()
	m.until("the box takes no calls: the data on this disk is another box's.*adopt", 2*patience)
}

// onDisk changes something on the data partition of a machine that is off.
func (m *machine) onDisk(do string) {
	m.t.Helper()
	const dataAt = 1553 << 20 // behind the boot partition, two roots and the identity
	part := m.disk + "?offset=" + strconv.Itoa(dataAt)
	_ = exec.Command("e2fsck", "-fy", part).Run() // once it has replayed the journal it forgets the offset
	out, err := exec.Command("e2fsck", "-fy", part).CombinedOutput()
	if code, ok := errors.AsType[*exec.ExitError](err); ok && code.ExitCode() <= 1 { // it was repaired: the power went
		err = nil
	}
	if err == nil {
		out, err = exec.Command("debugfs", "-w", "-R", do, part).CombinedOutput()
	}
	if err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
}
