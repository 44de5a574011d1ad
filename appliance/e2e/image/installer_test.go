package image

import (
	"os"
	"path/filepath"
	"testing"
)

// plug puts a stick into the machine, which starts from it, or takes it out.
func (m *machine) plug(stick string) {
	m.more = nil
	if stick != "" {
		m.more = []string{
			"-device", "qemu-xhci", "-drive", "if=none,id=stick,format=raw,snapshot=on,file=" + stick, "-device", "usb-storage,drive=stick,bootindex=0",
		}
	}
}

// install starts a stick and waits until it has written the disk by itself.
func (m *machine) install(stick, version string) {
	m.t.Helper()
	m.plug(stick)
	m.on()
	m.until("Press a key to stop that", patience)
	m.until("reading back: 100 %", 2*patience)
	m.until("Sanchar "+version+" is on vda", patience)
	m.until("The box switches off", patience)
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("switched off: %v", err)
	}
	m.cmd = nil
	m.plug("")
}

// TestTheInstallerWritesTheDisk installs on an empty disk, and once more over what is there, which is kept.
func TestTheInstallerWritesTheDisk(t *testing.T) {
	long(t)
	tools(t, "qemu-system-x86_64", "mksquashfs", "mkfs.vfat", "mcopy")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := flash(t, x86(), empty)
	m.install(build(t, "qemu", "1.0.0").installer, "1.0.0")
	m.on()
	number := m.until(`msg=box serial=\S+`, 2*patience)
	o := setUp(t, m, m.setupCode())
	if st := o.state(); st.Version != "1.0.0" || st.Slot != "a" || st.Trial != nil {
		t.Fatalf("%+v", st)
	}
	m.off()
	m.install(build(t, "qemu", "2.0.0").installer, "2.0.0")
	m.on()
	if again := m.until(`msg=box serial=\S+`, 2*patience); again != number {
		t.Errorf("the box's number is %q, was %q", again, number)
	}
	m.until(`Page: +https://10\.0\.2\.15`, patience)
	if st := o.state(); st.Version != "2.0.0" || len(st.Images) != 1 {
		t.Errorf("%+v", st)
	}
}
