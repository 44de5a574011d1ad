// Package rootfs makes the root file system: a squashfs and the tree of hashes by which dm-verity
// checks each of its blocks when it is read.
package rootfs

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

// blockSize of data and hashes: a page.
const blockSize = 4096

// digestsPerBlock of the tree.
const digestsPerBlock = blockSize / sha256.Size

// Verity is what dm-verity must know of a file system.
type Verity struct {
	Root   [sha256.Size]byte // hash of all
	Salt   []byte
	Blocks int64 // of data; the tree follows them
}

// AppendVerity pads the file to whole blocks and appends its tree of hashes (Linux
// Documentation/admin-guide/device-mapper/verity.rst, version 1, SHA-256, without a superblock).
func AppendVerity(path string, salt []byte) (v Verity, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return v, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return v, err
	}
	v = Verity{Salt: salt, Blocks: (size + blockSize - 1) / blockSize}
	if err := f.Truncate(v.Blocks * blockSize); err != nil {
		return v, err
	}
	lowest, err := v.leaves(f)
	if err != nil {
		return v, err
	}
	levels := [][]byte{lowest}
	for len(levels[0]) > blockSize {
		levels = append([][]byte{v.above(levels[0])}, levels...)
	}
	v.Root = v.digest(levels[0])
	at := v.Blocks * blockSize
	for _, level := range levels { // the top one first
		if _, err := f.WriteAt(level, at); err != nil {
			return v, fmt.Errorf("hashes of %s: %w", path, err)
		}
		at += int64(len(level))
	}
	return v, f.Sync()
}

func (v *Verity) digest(block []byte) (d [sha256.Size]byte) {
	h := sha256.New()
	h.Write(v.Salt)
	h.Write(block)
	h.Sum(d[:0])
	return d
}

// leaves are the hashes of the data, in whole blocks.
func (v *Verity) leaves(f io.ReaderAt) ([]byte, error) {
	out := make([]byte, 0, v.Blocks*sha256.Size+blockSize)
	block := make([]byte, blockSize)
	for i := range v.Blocks {
		if _, err := f.ReadAt(block, i*blockSize); err != nil {
			return nil, err
		}
		d := v.digest(block)
		out = append(out, d[:]...)
	}
	return pad(out), nil
}

// above is the level of the tree over another.
func (v *Verity) above(level []byte) []byte {
	out := make([]byte, 0, len(level)/digestsPerBlock+blockSize)
	for ; len(level) > 0; level = level[blockSize:] {
		d := v.digest(level[:blockSize])
		out = append(out, d[:]...)
	}
	return pad(out)
}

func pad(b []byte) []byte {
	return append(b, make([]byte, (blockSize-len(b)%blockSize)%blockSize)...)
}
