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
	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

// starter makes what the firmware of a kind of box starts from.
type starter interface {
	// slot makes what starts a slot, as the file uki-SLOT: the part of that name of an update.
	slot(name string, initrd []byte, commandLine string) error
	// boot makes the boot partition as the folder boot: what it has whichever version there is.
	boot() error
	// place puts slot a into the image that is flashed.
	place(parts disk.Parts) error
	// medium makes the boot partition of a medium that installs, as a folder.
	medium(dir string, initrd []byte, commandLine string) error
}

func (b *builder) starter() starter {
	if b.layout.Firmware == layout.Pi {
		return pi{b}
	}
	return uefi{b}
}

// boot makes what starts each slot, and the boot partition.
func (b *builder) boot(initrd []byte, v rootfs.Verity) error {
	for _, slot := range [...]string{"a", "b"} {
		if err := b.starter().slot(slot, initrd, b.commandLine(slot, v)); err != nil {
			return err
		}
	}
	if err := b.starter().boot(); err != nil {
		return err
	}
	part, _ := b.layout.Find(layout.Boot)
	return errors.Join(disk.Boot(b.ctx, b.path("boot"), b.path("empty.img"), fat(part.MB), b.at), b.pack("empty.img", true))
}

// fat is the file system of a boot partition: the smallest clusters that bring it above FAT16 and leave its
// table small.
func fat(mb int) disk.FAT {
	return disk.FAT{Label: "BOOT", MB: mb, Cluster: max(1, mb/128)}
}

func (b *builder) place(at, from string) error {
	data, err := os.ReadFile(b.path(from))
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(b.path(at)), 0o755), os.WriteFile(b.path(at), data, 0o644))
}

// write puts files below a folder.
func (b *builder) write(dir string, files map[string][]byte) error {
	all := map[string]rootfs.File{}
	for name, data := range files {
		all[name] = rootfs.File{Mode: rootfs.TypeFile | 0o644, Data: data}
	}
	return rootfs.Write(b.path(dir), all)
}

// commandLine is the kernel's: what stage1 and the init must know, and what a fault does.
func (b *builder) commandLine(slot string, v rootfs.Verity) string {
	off, root := 1, b.layout.Number(layout.RootA)
	if slot == "b" {
		off, root = 2, b.layout.Number(layout.RootB)
	}
	line := []string{
		fmt.Sprintf("root=PARTUUID=%s/PARTNROFF=%d", layout.BootGUID, off),
		fmt.Sprintf("sanchar.verity=%s,%s,%d", hex.EncodeToString(v.Root[:]), hex.EncodeToString(v.Salt), v.Blocks),
	}
	if root != 1+off { // what gokrazy reads can name two partitions only
		line = append(line, fmt.Sprintf("sanchar.root=%d", root))
	}
	return strings.Join(append(line, b.always()...), " ")
}

// always is what each command line has.
func (b *builder) always() []string {
	line := []string{"panic=10", "oops=panic", "quiet", "loglevel=4"}
	if b.layout.Firmware == layout.Pi {
		line = append(line, "iomem=relaxed") // pkg/firmware/oneshot
	}
	for _, c := range b.kind.Console {
		line = append(line, "console="+c)
	}
	return line
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
	return errors.Join(b.pack("data.img", false), b.pack("identity.img", false))
}

// pack makes a file with a partition's content for a memory disk. Of a FAT file system what is behind the last
// byte in use is left out, for nobody reads it; of others nothing is: a journal must not find an older one.
func (b *builder) pack(name string, isFAT bool) error {
	plain, err := os.ReadFile(b.path(name))
	if err != nil {
		return err
	}
	if isFAT {
		used := len(bytes.TrimRight(plain, "\x00"))
		plain = plain[:min(len(plain), (used/layout.MB+2)*layout.MB)]
	}
	packed, err := zip(plain)
	if err != nil {
		return err
	}
	return os.WriteFile(b.path(name+".gz"), packed, 0o644)
}

func zip(data []byte) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	err = errors.Join(err, w.Close())
	return packed.Bytes(), err // which Close has completed
}

func (b *builder) image() error {
	parts := disk.Parts{layout.Boot: b.path("boot.img"), layout.RootA: b.path("root.img"), layout.Data: b.path("data.img"), layout.Identity: b.path("identity.img")}
	if err := b.starter().place(parts); err != nil {
		return err
	}
	part, _ := b.layout.Find(layout.Boot)
	if err := disk.Boot(b.ctx, b.path("boot"), b.path("boot.img"), fat(part.MB), b.at); err != nil {
		return err
	}
	path := filepath.Join(b.out, "sanchar-"+b.board+"-"+b.version+".img")
	if err := disk.Write(path, b.layout, b.layout.MB(dataMB), parts); err != nil {
		return err
	}
	b.say("%s", path)
	return nil
}
