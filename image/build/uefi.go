package main

import (
	"os"
	"strings"

	"github.com/coraltele/sanchar/image/disk"
)

// uefi boxes start systemd-boot, which starts a unified kernel image.
type uefi struct{ *builder }

// arch is as files of UEFI name it.
func (u uefi) arch() string { return map[string]string{"amd64": "x64", "arm64": "aa64"}[u.kind.Arch] }

func (u uefi) kernelImage(name string, initrd []byte, commandLine string) ([]byte, error) {
	stub, err := os.ReadFile(u.path("deb/usr/lib/systemd/boot/efi/linux" + u.arch() + ".efi.stub"))
	if err != nil {
		return nil, err
	}
	vmlinuz, err := os.ReadFile(u.path("deb/boot/vmlinuz-" + u.kind.Kernel.Release))
	if err != nil {
		return nil, err
	}
	return disk.UKI(stub, []disk.Section{
		{Name: ".osrel", Data: []byte("ID=sanchar\nPRETTY_NAME=\"Sanchar " + u.version + " (" + name + ")\"\nVERSION_ID=" + u.version + "\n")},
		{Name: ".cmdline", Data: []byte(commandLine)},
		{Name: ".initrd", Data: initrd},
		{Name: ".linux", Data: vmlinuz},
	})
}

func (u uefi) slot(name string, initrd []byte, commandLine string) error {
	image, err := u.kernelImage(name, initrd, commandLine)
	if err != nil {
		return err
	}
	return os.WriteFile(u.path("uki-"+name), image, 0o644)
}

func (u uefi) boot() error {
	loader, err := os.ReadFile(u.path("deb/usr/lib/systemd/boot/efi/systemd-boot" + u.arch() + ".efi"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(u.path("boot/EFI/Linux"), 0o755); err != nil {
		return err
	}
	return u.write("boot", map[string][]byte{
		"EFI/BOOT/BOOT" + strings.ToUpper(u.arch()) + ".EFI": loader, "loader/loader.conf": []byte("timeout 0\neditor no\n"),
	})
}

func (u uefi) place(disk.Parts) error {
	return u.builder.place("boot/EFI/Linux/sanchar-"+u.version+"-a.efi", "uki-a")
}

// medium is started by the firmware itself: there is nothing to choose.
func (u uefi) medium(dir string, initrd []byte, commandLine string) error {
	image, err := u.kernelImage("installer", initrd, commandLine)
	if err != nil {
		return err
	}
	return u.write(dir, map[string][]byte{"EFI/BOOT/BOOT" + strings.ToUpper(u.arch()) + ".EFI": image})
}
