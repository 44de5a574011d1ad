package main

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/coraltele/sanchar/image/disk"
	"github.com/coraltele/sanchar/image/rootfs"
)

// boot makes the boot partition: systemd-boot and a unified kernel image for slot A. The one for slot
// B goes with the update.
func (b *builder) boot(initrd []byte, v rootfs.Verity) error {
	efi := map[string]string{"amd64": "x64", "arm64": "aa64"}[b.kind.Arch]
	stub, err := os.ReadFile(b.path("deb/usr/lib/systemd/boot/efi/linux" + efi + ".efi.stub"))
	if err != nil {
		return err
	}
	vmlinuz, err := os.ReadFile(b.path("deb/boot/vmlinuz-" + b.kind.Kernel.Release))
	if err != nil {
		return err
	}
	for slot, number := range map[string]int{"a": 1, "b": 2} {
		image, err := disk.UKI(stub, []disk.Section{
			{Name: ".osrel", Data: []byte("ID=sanchar\nPRETTY_NAME=\"Sanchar " + b.version + " (" + slot + ")\"\nVERSION_ID=" + b.version + "\n")},
			{Name: ".cmdline", Data: []byte(b.commandLine(number, v))},
			{Name: ".initrd", Data: initrd},
			{Name: ".linux", Data: vmlinuz},
		})
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.path("uki-"+slot), image, 0o644); err != nil {
			return err
		}
	}
	return errors.Join(
		b.place("esp/EFI/BOOT/BOOT"+strings.ToUpper(efi)+".EFI", "deb/usr/lib/systemd/boot/efi/systemd-boot"+efi+".efi"),
		b.place("esp/EFI/Linux/sanchar-"+b.version+"-a.efi", "uki-a"),
		rootfs.Write(b.path("esp"), map[string]rootfs.File{"loader/loader.conf": {Mode: rootfs.TypeFile | 0o644, Data: []byte("timeout 0\neditor no\n")}}),
		disk.Boot(b.ctx, b.path("esp"), b.path("boot.img"), b.at),
	)
}

func (b *builder) place(at, from string) error {
	data, err := os.ReadFile(b.path(from))
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(b.path(at)), 0o755), os.WriteFile(b.path(at), data, 0o644))
}

// commandLine is the kernel's: what stage1 and the init must know, and what a fault does.
func (b *builder) commandLine(slot int, v rootfs.Verity) string {
	line := []string{
		fmt.Sprintf("root=PARTUUID=%s/PARTNROFF=%d", disk.BootGUID, slot),
		fmt.Sprintf("sanchar.verity=%s,%s,%d", hex.EncodeToString(v.Root[:]), hex.EncodeToString(v.Salt), v.Blocks),
		"panic=10", "oops=panic", "quiet", "loglevel=4",
	}
	for _, c := range b.kind.Console {
		line = append(line, "console="+c)
	}
	return strings.Join(line, " ")
}

// data makes the data partition, the identity partition, and the former once more, packed: a factory
// reset begins with it.
func (b *builder) data() error {
	if err := errors.Join(
		disk.Ext4(b.ctx, b.path("data.img"), "data", dataUUID, dataMB, b.at),
		disk.Ext4(b.ctx, b.path("identity.img"), "identity", identityUUID, 16, b.at),
	); err != nil {
		return err
	}
	plain, err := os.ReadFile(b.path("data.img"))
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = w.Write(plain)
	return errors.Join(err, w.Close(), os.WriteFile(b.path("data.img.gz"), packed.Bytes(), 0o644))
}

func (b *builder) image() error {
	path := filepath.Join(b.out, "sanchar-"+b.board+"-"+b.version+".img")
	if err := disk.Write(path, disk.Parts{
		Boot: b.path("boot.img"), RootA: b.path("root.img"), Data: b.path("data.img"), Identity: b.path("identity.img"), DataMB: dataMB,
	}); err != nil {
		return err
	}
	b.say("%s", path)
	return nil
}
