package courier

import (
	"bufio"
	"crypto/sha256"
	"hash"
	"io"
)

// summer counts and hashes what is written, and passes it on in blocks.
type summer struct {
	w    *bufio.Writer
	hash hash.Hash
	size int64
}

func newSummer(w io.Writer) *summer {
	return &summer{w: bufio.NewWriterSize(w, fileBlock), hash: sha256.New()}
}

// Write writes p.
func (s *summer) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.hash.Write(p[:n])
	s.size += int64(n)
	return n, err
}
