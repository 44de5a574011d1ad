package image

import (
	"os/exec"
	"strconv"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/swtpm"
)

func TestTheSecurityChipHoldsTheKeys(t *testing.T) {
	long(t)
	tools(t, "qemu-system-x86_64", "mksquashfs", "mkfs.vfat", "mcopy", "swtpm", "mkfs.ext4")
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
	m.newIdentity() // the disk's data is of a box with another serial number now
	m.on()
	m.until("the box takes no calls: the data on this disk is another box's.*adopt", 2*patience)
}

// newIdentity gives a machine that is off an empty identity partition.
func (m *machine) newIdentity() {
	m.t.Helper()
	const at = 1537 << 20 // behind the boot partition and two roots
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "offset="+strconv.Itoa(at), m.disk, "16m").CombinedOutput(); err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
}
