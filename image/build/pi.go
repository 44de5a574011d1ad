package main

import (
	"errors"
	"os"

	"github.com/coraltele/sanchar/image/disk"
	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

// pi boxes have a firmware that reads FAT partitions: it starts the kernel that config.txt names.
type pi struct{ *builder }

// config is what the firmware is told. Names of device trees are those of the kernel's makers, and the serial
// port on the pins is there at a fixed clock.
const config = `arm_64bit=1
upstream_kernel=1
enable_uart=1
kernel=vmlinuz
initramfs initrd followkernel
`

// fatLeastMB is above what a FAT32 file system needs with clusters of one block, whatever is in it.
const (
	fatLeastMB = 36
	fatSpareMB = 2
)

// files are those that start a kernel. The kernel is packed; the firmware knows that form. A start that was
// asked for by the name "tryboot" has its own settings with some versions of the firmware: they are the same.
func (p pi) files(initrd []byte, commandLine string) (map[string][]byte, error) {
	files := map[string][]byte{
		"config.txt": []byte(config), "tryboot.txt": []byte(config), "cmdline.txt": []byte(commandLine + "\n"), "initrd": initrd,
	}
	from := map[string]string{
		"start4.elf": "deb/usr/lib/raspi-firmware/start4.elf", "fixup4.dat": "deb/usr/lib/raspi-firmware/fixup4.dat",
		"copyright": "deb/usr/share/doc/raspi-firmware/copyright",
	}
	for name, tree := range p.kind.Trees {
		from[name] = "deb/usr/lib/linux-image-" + p.kind.Kernel.Release + "/broadcom/" + tree
	}
	var err error
	for name, path := range from {
		if files[name], err = os.ReadFile(p.path(path)); err != nil {
			return nil, err
		}
	}
	kernel, err := os.ReadFile(p.path("deb/boot/vmlinuz-" + p.kind.Kernel.Release))
	if err != nil {
		return nil, err
	}
	files["vmlinuz"], err = zip(kernel)
	return files, err
}

// slot makes the content of a slot's boot partition: a file system no larger than it must be, for it goes with
// each update.
func (p pi) slot(name string, initrd []byte, commandLine string) error {
	files, err := p.files(initrd, commandLine)
	if err != nil {
		return err
	}
	dir := "slot-" + name
	if err := p.write(dir, files); err != nil {
		return err
	}
	return disk.Boot(p.ctx, p.path(dir), p.path("uki-"+name), fat(sizeMB(files)), p.at)
}

func sizeMB(files map[string][]byte) int {
	size := 0
	for _, data := range files {
		size += len(data)
	}
	return max(fatLeastMB, size/layout.MB+1+fatSpareMB)
}

func (p pi) boot() error {
	text, err := install.Autoboot("a")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(p.path("boot/slots"), 0o755), p.write("boot", map[string][]byte{"autoboot.txt": text}))
}

func (p pi) place(parts disk.Parts) error {
	parts[layout.BootA] = p.path("uki-a")
	return p.write("boot", map[string][]byte{"slots/sanchar-" + p.version + "-a.efi": []byte("version " + p.version + "\n")})
}

func (p pi) medium(dir string, initrd []byte, commandLine string) error {
	files, err := p.files(initrd, commandLine)
	if err != nil {
		return err
	}
	return p.write(dir, files)
}
