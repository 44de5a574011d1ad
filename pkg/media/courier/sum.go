package courier

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"
)

// maxPatches bounds what is written over a file: 24 bytes for each second of a day, and more.
const maxPatches = 4 << 20

// patch is what is written over a place of a file.
type patch struct {
	At   int64  `json:"at"`
	Data []byte `json:"data"`
}

var errPatch = errors.New("written over a file where it has nothing, or too much")

// summer counts and hashes what is written, and passes it on in blocks.
type summer struct {
	w    *bufio.Writer
	hash hash.Hash
	size int64
	over []patch
	room int // bytes that may still be written over
}

func newSummer(w io.Writer) *summer {
	return &summer{w: bufio.NewWriterSize(w, fileBlock), hash: sha256.New(), room: maxPatches}
}

// Write writes p.
func (s *summer) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.hash.Write(p[:n])
	s.size += int64(n)
	return n, err
}

// WriteAt writes over what was written.
func (s *summer) WriteAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > s.size || len(p) > s.room {
		return 0, errPatch
	}
	s.room -= len(p)
	s.over = append(s.over, patch{at, slices.Clone(p)})
	return len(p), nil
}

// sorted returns the patches in the order of their places.
func (s *summer) sorted() []patch {
	slices.SortStableFunc(s.over, func(a, b patch) int { return cmp.Compare(a.At, b.At) })
	return s.over
}

// patched reads a file with its patches, which do not overlap.
type patched struct {
	r       io.Reader
	at      int64
	patches []patch // from the one at hand on
}

// Read reads.
func (p *patched) Read(b []byte) (n int, err error) {
	n, err = p.r.Read(b)
	end := p.at + int64(n)
	for i := range p.patches {
		o := &p.patches[i]
		if o.At >= end {
			break
		}
		from := max(o.At, p.at)
		if last := o.At + int64(len(o.Data)); from < last {
			copy(b[from-p.at:n], o.Data[from-o.At:])
		}
	}
	for len(p.patches) > 0 && p.patches[0].At+int64(len(p.patches[0].Data)) <= end {
		p.patches = p.patches[1:]
	}
	p.at = end
	return n, err
}
