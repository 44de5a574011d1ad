package image

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

// pi is a machine with the disk of a Raspberry Pi. QEMU has no such box, and nobody has its firmware but the box:
// the kernel runs on another machine, and the test does what the firmware would do.
type pi struct {
	*machine
	dir string
}

func rpi() kind {
	return kind{
		"qemu-system-aarch64", "", "", "virtio-net-device", // on a bus of the chip, as the Pi's own port is
		[]string{"-M", "virt", "-accel", "tcg,thread=multi", "-cpu", "cortex-a72", "-m", "1024", "-no-reboot"},
	}
}

// file reads a file of a FAT partition.
func (p *pi) file(partition int, name string) string {
	p.t.Helper()
	l, err := layout.Of(layout.Pi)
	if err != nil {
		p.t.Fatal(err)
	}
	places, err := l.Places(int64(l.MB(1)) * layout.MB)
	if err != nil {
		p.t.Fatal(err)
	}
	at := places[l.Parts[partition-1].Name].At
	to := filepath.Join(p.dir, name)
	if out, err := exec.Command("mcopy", "-n", "-i", fmt.Sprintf("%s@@%d", p.disk, at), "::"+name, to).CombinedOutput(); err != nil {
		p.t.Fatalf("%s of partition %d: %v\n%s", name, partition, err, out)
	}
	return to
}

func (p *pi) text(partition int, name string) string {
	p.t.Helper()
	data, err := os.ReadFile(p.file(partition, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// start does what the firmware does: it starts the partition that it was asked for, or the one that starts by
// itself, and says which in the device tree.
func (p *pi) start(asked int) {
	p.t.Helper()
	partition := asked
	if asked == 0 {
		found := regexp.MustCompile(`(?m)^boot_partition=(\d)`).FindStringSubmatch(p.text(1, "autoboot.txt"))
		if found == nil {
			p.t.Fatal("autoboot.txt names no partition")
		}
		partition = int(found[1][0] - '0')
	}
	if !strings.Contains(p.text(partition, "config.txt"), "kernel=vmlinuz\ninitramfs initrd") {
		p.t.Fatal("config.txt names other files")
	}
	tree := filepath.Join(p.dir, "tree.dtb")
	args := append([]string{"-smp", "2", "-nodefaults", "-display", "none"}, p.kind.args...)
	for _, cmd := range []*exec.Cmd{
		exec.Command(p.kind.program, append(args, "-machine", "dumpdtb="+tree)...),
		exec.Command("fdtput", "-c", tree, "/chosen/bootloader"),
		exec.Command("fdtput", "-t", "i", tree, "/chosen/bootloader", "partition", strconv.Itoa(partition)),
		exec.Command("fdtput", "-t", "i", tree, "/chosen/bootloader", "tryboot", "0"),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			p.t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	p.more = []string{
		"-kernel", p.file(partition, "vmlinuz"), "-initrd", p.file(partition, "initrd"), "-dtb", tree,
		"-append", p.text(partition, "cmdline.txt") + " console=ttyAMA0",
	}
	p.on()
}

// ended waits until the box has restarted, which ends the machine.
func (p *pi) ended() {
	p.t.Helper()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("restart: %v", err)
	}
	p.cmd = nil
}

// TestTheDiskOfARaspberryPi looks at the partitions from outside, and updates the box twice: to a version that
// stays, and to one that does not start.
func TestTheDiskOfARaspberryPi(t *testing.T) {
	long(t)
	tools(t, "qemu-system-aarch64", "mksquashfs", "mkfs.vfat", "mcopy", "sgdisk", "fsck.fat", "fdtput")
	b := build(t, "rpi4", "1.0.0")
	p := &pi{flash(t, rpi(), b.image), t.TempDir()}
	p.sound(b.image)
	p.start(0)
	o := setUp(t, p.machine, p.setupCode())
	if line, err := p.options(patience); err != nil || line != "SIP/2.0 200 OK" {
		t.Errorf("OPTIONS: %q, %v", line, err)
	}
	o.install(build(t, "rpi4", "2.0.0").update)
	p.until("the version that was installed starts once.*partition=3", patience)
	p.ended()
	p.start(3)
	p.until("this version is on trial", 2*patience)
	p.until("this version is well and stays", 2*patience)
	p.off()
	p.start(0)
	p.until(`Page: +https://10\.0\.2\.15`, 2*patience)
	if st := o.state(); st.Version != "2.0.0" || st.Slot != "b" || st.Trial != nil || len(st.Images) != 2 {
		t.Fatalf("%+v", st)
	}
	o.install(build(t, "rpi4", "3.0.0", "-replace", "gokrazy/init=").update)
	p.until("the version that was installed starts once.*partition=2", patience)
	p.ended()
	p.start(2)
	p.until("cannot start", patience)
	p.ended()
	p.start(0)
	p.until("a version was given up.*3.0.0.*did not start", patience)
	p.until(`Page: +https://10\.0\.2\.15`, 2*patience)
	if st := o.state(); st.Version != "2.0.0" || st.Trial != nil || len(st.Failed) != 1 {
		t.Errorf("%+v", st)
	}
}

// sound checks tables and file systems with tools that others have made.
func (p *pi) sound(image string) {
	p.t.Helper()
	if out, err := exec.Command("sgdisk", "-v", image).CombinedOutput(); err != nil || !strings.Contains(string(out), "No problems found") {
		p.t.Errorf("table of partitions: %v\n%s", err, out)
	}
	l, err := layout.Of(layout.Pi)
	if err != nil {
		p.t.Fatal(err)
	}
	places, err := l.Places(int64(l.MB(1)) * layout.MB)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, name := range []string{layout.Boot, layout.BootA} {
		part, at := filepath.Join(p.dir, name), places[name]
		if out, err := exec.Command("dd", "if="+image, "of="+part, "bs=1M", fmt.Sprintf("skip=%d", at.At/layout.MB), fmt.Sprintf("count=%d", at.Size/layout.MB)).CombinedOutput(); err != nil {
			p.t.Fatalf("%v\n%s", err, out)
		}
		if out, err := exec.Command("fsck.fat", "-n", part).CombinedOutput(); err != nil {
			p.t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	for _, name := range []string{"start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb", "bcm2711-rpi-cm4.dtb"} {
		p.file(2, name)
	}
}
