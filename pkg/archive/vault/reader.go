package vault

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Reader reads a file from any place. It holds one segment. Only one goroutine may use it.
type Reader struct {
	ctl.StoredFile

	file  *os.File
	crypt segments
	at    int64
	buf   []byte // of the segment that was read last
	plain []byte // the same, opened
	n     int64  // its number; -1 is none
}

// Open opens a file for reading, if its time is not over.
func (v *Vault) Open(id string) (*Reader, error) {
	f, err := v.Stat(id)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(v.blobPath(id))
	if errors.Is(err, os.ErrNotExist) { // its description was just removed, or it is lost
		return nil, errMissing()
	}
	if err != nil {
		return nil, err
	}
	r := &Reader{StoredFile: f, file: file, n: -1}
	head := make([]byte, headBytes)
	if _, err = io.ReadFull(file, head); err == nil {
		r.crypt, err = openHead(v.key, id, head)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open file %s: %w", id, err), file.Close())
	}
	return r, nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }

// Seek sets where the next Read begins.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.Size
	}
	if offset < 0 {
		return r.at, errors.New("seek before the beginning of a file")
	}
	r.at = offset
	return offset, nil
}

// Read reads from where the last Read or Seek ended.
func (r *Reader) Read(p []byte) (int, error) {
	if r.at >= r.Size {
		return 0, io.EOF
	}
	if err := r.load(r.at / segmentBytes); err != nil {
		return 0, err
	}
	n := copy(p, r.plain[r.at%segmentBytes:])
	r.at += int64(n)
	return n, nil
}

// load opens the n-th segment.
func (r *Reader) load(n int64) error {
	if n == r.n {
		return nil
	}
	if r.buf == nil {
		r.buf = make([]byte, segmentBytes+tagBytes)
	}
	last := lastSegment(r.Size)
	length := int64(segmentBytes)
	if n == last {
		length = r.Size - n*segmentBytes
	}
	sealed := r.buf[:length+tagBytes]
	r.n = -1
	if _, err := r.file.ReadAt(sealed, segmentAt(n)); err != nil {
		return fmt.Errorf("read file %s: %w", r.ID, err)
	}
	plain, err := r.crypt.open(sealed, n, n == last)
	if err != nil {
		return fmt.Errorf("read file %s: %w", r.ID, err)
	}
	r.plain, r.n = plain, n
	return nil
}
