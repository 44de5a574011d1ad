package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/coraltele/sanchar/board"
	"github.com/coraltele/sanchar/image/kernel"
	"github.com/coraltele/sanchar/image/rootfs"
)

// TestThePisRegisterTakesAPartition runs the kernel of the image on a Raspberry Pi 3, which QEMU has, and whose power
// management is that of the 4: a driver of the kernel has the register, and yet we may write it.
func TestThePisRegisterTakesAPartition(t *testing.T) {
	long(t)
	tools(t, "qemu-system-aarch64")
	build(t, "rpi4", "1.0.0") // which fetches the kernel
	kind, err := board.Get("rpi4")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	deb, err := kernel.Fetch(t.Context(), kind.Kernel.Package, kind.Arch, filepath.Join(root, "build/cache"))
	if err == nil {
		err = kernel.Unpack(t.Context(), deb, dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "register"), "./appliance/e2e/image/testdata/register")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+kind.Arch)
	if out, err := outside(cmd).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "register"))
	if err != nil {
		t.Fatal(err)
	}
	initrd, err := os.Create(filepath.Join(dir, "initrd"))
	if err == nil {
		err = rootfs.Cpio(initrd, map[string]rootfs.File{"init": {Mode: rootfs.TypeFile | 0o755, Data: program}, "dev": {Mode: rootfs.TypeDir | 0o755}})
	}
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"iomem=relaxed": `asked: <nil> 0x1005\s+cleared: <nil> 0x1000`, "": "asked: the power management's registers: operation not permitted",
	} {
		out := &serial{changed: make(chan struct{}, 1)}
		cmd := exec.CommandContext(t.Context(), "qemu-system-aarch64", "-M", "raspi3b", "-display", "none", "-serial", "stdio",
			"-kernel", filepath.Join(dir, "boot/vmlinuz-"+kind.Kernel.Release), "-initrd", initrd.Name(), "-append", "console=ttyAMA0 quiet "+line,
			"-dtb", filepath.Join(dir, "usr/lib/linux-image-"+kind.Kernel.Release, "broadcom/bcm2837-rpi-3-b.dtb"))
		cmd.Stdout = out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.until(regexp.MustCompile(want), patience); err != nil {
			t.Errorf("%q: %v\n%s", line, err, out.text())
		}
		_ = cmd.Process.Kill() // the machine goes on
		_ = cmd.Wait()
	}
}
