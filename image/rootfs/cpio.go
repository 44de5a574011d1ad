package rootfs

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
)

// File is a file of an archive or a tree.
type File struct {
	Mode uint32 // with its type, as stat(2) has it
	Data []byte // of a regular file, or where a link leads
}

// Types of files.
const (
	TypeDir  = 0o040000
	TypeFile = 0o100000
	TypeLink = 0o120000
)

// Cpio writes files as an initramfs in the "newc" form (Linux
// Documentation/driver-api/early-userspace/buffer-format.rst): in the order of their names, of the
// same time and owner, so that two builds are equal.
func Cpio(w io.Writer, files map[string]File) error {
	all := maps.Clone(files)
	for name := range files { // folders are needed before what is in them
		for d := path.Dir(name); d != "." && d != "/"; d = path.Dir(d) {
			if _, there := all[d]; !there {
				all[d] = File{Mode: TypeDir | 0o755}
			}
		}
	}
	var b bytes.Buffer
	for i, name := range slices.Sorted(maps.Keys(all)) {
		cpioEntry(&b, uint32(i+1), name, all[name])
	}
	cpioEntry(&b, 0, "TRAILER!!!", File{})
	_, err := b.WriteTo(w)
	return err
}

func cpioEntry(b *bytes.Buffer, inode uint32, name string, f File) {
	links := uint32(1)
	if f.Mode&TypeDir != 0 && f.Mode&TypeFile != TypeFile {
		links = 2
	}
	b.WriteString("070701")
	for _, v := range [...]uint32{inode, f.Mode, 0, 0, links, 0, uint32(len(f.Data)), 0, 0, 0, 0, uint32(len(name) + 1), 0} {
		fmt.Fprintf(b, "%08x", v)
	}
	b.WriteString(name)
	b.WriteByte(0)
	fill(b)
	b.Write(f.Data)
	fill(b)
}

// fill brings the archive to a multiple of four bytes.
func fill(b *bytes.Buffer) { b.Write(make([]byte, (4-b.Len()%4)%4)) }
