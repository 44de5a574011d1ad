package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/coraltele/sanchar/image/disk"
	"github.com/coraltele/sanchar/image/kernel"
	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

// bundleOnStick is the name of the update that a medium installs.
const bundleOnStick = "sanchar.update"

// keyboards are modules that somebody needs who answers the installer.
func keyboards() []string { return []string{"hid_generic", "usbhid"} }

// installer makes the image of a medium that installs: the update, and a program that writes it to a disk of the
// box. Where updates are signed off line the signed one is copied onto it later, and there is room for it.
func (b *builder) installer(m *kernel.Modules) error {
	if err := errors.Join(
		os.WriteFile(b.path("board"), []byte(b.board+"\n"), 0o644), os.WriteFile(b.path("update-keys"), []byte(b.sign.trusted), 0o644),
	); err != nil {
		return err
	}
	modules := append(append(append([]string(nil), b.kind.Boot...), b.kind.Watchdog...), keyboards()...)
	initrd, err := b.memory(m, modules, map[string]string{
		"init": "bin/installer", "board": "board", "update-keys": "update-keys",
		"empty.img.gz": "empty.img.gz", "data.img.gz": "data.img.gz", "identity.img.gz": "identity.img.gz",
	})
	if err != nil {
		return err
	}
	if err := b.starter().medium("stick", initrd, strings.Join(b.always(), " ")); err != nil {
		return err
	}
	base := filepath.Join(b.out, "sanchar-"+b.board+"-"+b.version)
	if b.sign.private == nil {
		b.say("copy the signed update onto the installer as %s", bundleOnStick)
	} else if err := b.copyOut(base+".update", "stick/"+bundleOnStick); err != nil {
		return err
	}
	return b.stick(base + "-installer.img")
}

// copyOut puts a file that was made already among those that are made into something else.
func (b *builder) copyOut(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(b.path(to), data, 0o644)
}

// stick makes the image of the medium: one FAT partition, with room for any update.
func (b *builder) stick(path string) error {
	const mb = 512
	if err := disk.Boot(b.ctx, b.path("stick"), b.path("stick.img"), disk.FAT{Label: "SANCHAR", MB: mb, Cluster: 4}, b.at); err != nil {
		return err
	}
	l := layout.Installer(b.layout.Firmware, mb)
	b.say("%s", path)
	return disk.Write(path, l, l.MB(0), disk.Parts{layout.Boot: b.path("stick.img")})
}
