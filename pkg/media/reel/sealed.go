// Package reel is the file that a recording is written to while its call lasts: packets as they came,
// encrypted, appended in blocks, so that a crash leaves all but the last block.
package reel

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// A sealed file begins with its magic and its own key, sealed under the box's key for the owner of the
// file. Blocks follow: length (4 bytes), ciphertext and tag. The nonce is the number of the block. A file
// is never appended to by another process than the one that made it, so no nonce comes twice.
const (
	magic     = "SncReel1"
	keySize   = 32
	headSize  = len(magic) + seal.Overhead + keySize
	lenSize   = 4
	tagSize   = 16
	nonceSize = 12
)

// MaxBlock is the longest block, without its tag: what a reader takes into memory.
const MaxBlock = 256 << 10

// ErrDamaged says that a block of a file is not whole. What came before it is.
var ErrDamaged = errors.New("the file is damaged or cut short")

// Sealer writes a sealed file. Each Write is a block of its own.
type Sealer struct {
	w     io.Writer
	aead  cipher.AEAD
	block uint64
	out   []byte
}

// NewSealer begins a file of owner.
func NewSealer(w io.Writer, key *seal.Key, owner []byte) (*Sealer, error) {
	own := make([]byte, keySize)
	defer clear(own)
	rand.Read(own)
	aead, err := newAEAD(own)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(key.Seal([]byte(magic), own, owner)); err != nil {
		return nil, fmt.Errorf("begin a sealed file: %w", err)
	}
	return &Sealer{w: w, aead: aead}, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Write writes p as blocks.
func (s *Sealer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), MaxBlock)]
		p = p[len(part):]
		s.out = binary.BigEndian.AppendUint32(s.out[:0], uint32(len(part)))
		s.out = s.aead.Seal(s.out, nonceOf(s.block), part, nil)
		s.block++
		if _, err := s.w.Write(s.out); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

func nonceOf(block uint64) []byte {
	nonce := make([]byte, nonceSize)
	binary.BigEndian.PutUint64(nonce[nonceSize-8:], block)
	return nonce
}

// Opener reads a sealed file.
type Opener struct {
	r     io.Reader
	aead  cipher.AEAD
	block uint64
	in    []byte
	plain []byte // of the block at hand, not yet read
}

// NewOpener opens a file of owner.
func NewOpener(r io.Reader, key *seal.Key, owner []byte) (*Opener, error) {
	head := make([]byte, headSize)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:len(magic)]) != magic {
		return nil, ErrDamaged
	}
	own, err := key.Open(nil, head[len(magic):], owner)
	if err != nil {
		return nil, err
	}
	defer clear(own)
	aead, err := newAEAD(own)
	if err != nil {
		return nil, err
	}
	return &Opener{r: r, aead: aead}, nil
}

// Block returns the next block, which is the Opener's until the call after. It returns io.EOF at the end
// and ErrDamaged where the file is torn.
func (o *Opener) Block() ([]byte, error) {
	var head [lenSize]byte
	if _, err := io.ReadFull(o.r, head[:]); err == io.EOF {
		return nil, io.EOF
	} else if err != nil {
		return nil, torn(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxBlock {
		return nil, ErrDamaged
	}
	if cap(o.in) < int(n)+tagSize {
		o.in = make([]byte, MaxBlock+tagSize)
	}
	o.in = o.in[:n+tagSize]
	if _, err := io.ReadFull(o.r, o.in); err != nil {
		return nil, torn(err)
	}
	plain, err := o.aead.Open(o.in[:0], nonceOf(o.block), o.in, nil)
	if err != nil {
		return nil, ErrDamaged
	}
	o.block++
	return plain, nil
}

// torn tells an end in the middle from a disk that fails.
func torn(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		return ErrDamaged
	}
	return err
}

// Read reads the blocks as one stream.
func (o *Opener) Read(p []byte) (n int, err error) {
	for len(o.plain) == 0 {
		if o.plain, err = o.Block(); err != nil {
			return 0, err
		}
	}
	n = copy(p, o.plain)
	o.plain = o.plain[n:]
	return n, nil
}
