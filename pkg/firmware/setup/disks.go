// Package setup puts the product onto the disk of a box that was started from another medium: which disks there
// are and what they hold, and how one is written and read back.
package setup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/firmware/early"
	"github.com/coraltele/sanchar/pkg/firmware/layout"
)

// Content is what a disk holds.
type Content int

// Contents.
const (
	Empty   Content = iota
	Ours            // a Sanchar, whose data can be kept
	Foreign         // anything else: it would be lost
)

const (
	sector = 512
	// dataLeastMB is the least that is worth calling a data partition.
	dataLeastMB = 256
)

// Disk is one that the product could be installed on, or that it must not be.
type Disk struct {
	Name    string // as the kernel names it
	Model   string
	Size    int64
	Content Content
	Unfit   string // why it is not to be written, "" if it may be
}

// Places are where the kernel shows disks.
type Places struct{ Sys, Dev string }

// Disks lists the disks of the box. boot is the one that it was started from: neither that nor any that can be
// pulled out is written.
func Disks(p Places, boot string, l layout.Layout) (all []Disk, err error) {
	entries, err := os.ReadDir(filepath.Join(p.Sys, "block"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !isDisk(e.Name()) {
			continue
		}
		d := Disk{Name: e.Name(), Model: p.text(e.Name(), "device/model")}
		if d.Model == "" {
			d.Model = p.text(e.Name(), "device/name") // cards and eMMC
		}
		d.Size = p.number(e.Name(), "size") * sector
		if d.Unfit = p.unfit(d, boot, l); d.Unfit == "" {
			if d.Content, err = content(filepath.Join(p.Dev, d.Name), l); err != nil {
				d.Unfit = "it cannot be read: " + err.Error()
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// isDisk leaves out what the kernel makes up, drives for optical disks and floppies, and the parts of an eMMC that
// are none of its user's.
func isDisk(name string) bool {
	for _, p := range [...]string{"loop", "ram", "dm-", "sr", "fd", "zram", "md", "nbd", "mtdblock"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return !strings.HasPrefix(name, "mmcblk") || !(strings.Contains(name, "boot") || strings.Contains(name, "rpmb"))
}

func (p Places) text(disk, file string) string {
	data, err := os.ReadFile(filepath.Join(p.Sys, "block", disk, file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (p Places) number(disk, file string) int64 {
	n, _ := strconv.ParseInt(p.text(disk, file), 10, 64) // what is not there is 0
	return n
}

func (p Places) unfit(d Disk, boot string, l layout.Layout) string {
	at, err := filepath.EvalSymlinks(filepath.Join(p.Sys, "block", d.Name))
	least := int64(l.MB(dataLeastMB)) * layout.MB
	switch {
	case d.Name == boot:
		return "the installer was started from it"
	case err != nil:
		return err.Error()
	case strings.Contains(at, "/usb"):
		return "it is on USB"
	case p.number(d.Name, "removable") != 0:
		return "it can be taken out"
	case p.number(d.Name, "ro") != 0:
		return "it can only be read"
	case d.Size < least:
		return fmt.Sprintf("it has %d MB, %d are needed", d.Size/layout.MB, least/layout.MB)
	}
	return ""
}

// content looks what a disk holds. A Sanchar whose partitions lie elsewhere counts as anything else.
func content(device string, l layout.Layout) (Content, error) {
	f, err := os.Open(device)
	if err != nil {
		return Foreign, err
	}
	defer func() { _ = f.Close() }() // only read
	if early.FirstGUID(device) == layout.BootGUID {
		if same, err := l.Same(f); err == nil && same {
			return Ours, nil
		}
		return Foreign, nil
	}
	head := make([]byte, layout.MB)
	if _, err := io.ReadFull(f, head); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Foreign, err
	}
	if len(bytes.Trim(head, "\x00")) == 0 {
		return Empty, nil
	}
	return Foreign, nil
}
