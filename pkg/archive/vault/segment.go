package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// A file of format 1: magic, the file's key sealed for the file's id, then segments. Each segment is
// 64 KiB of the file, the last one less, encrypted with AES-256-GCM. Its nonce is its number and
// whether it is the last: nonces need not be random, for each file has a key of its own, and no
// segment can be moved, left out or cut off unseen.
const (
	magic        = "SNV1"
	keyBytes     = 32
	headBytes    = len(magic) + seal.Overhead + keyBytes
	segmentBytes = 64 << 10
	tagBytes     = 16
)

var errDamaged = errors.New("the file was changed or is damaged")

// segments seals and opens the segments of one file.
type segments struct{ aead cipher.AEAD }

func newSegments(key []byte) (segments, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return segments{}, err
	}
	aead, err := cipher.NewGCM(block)
	return segments{aead}, err
}

// newHead makes a file's key and the head that keeps it.
func newHead(box *seal.Key, id string) (head []byte, s segments, err error) {
	key := make([]byte, keyBytes)
	rand.Read(key)
	defer clear(key)
	s, err = newSegments(key)
	return box.Seal([]byte(magic), key, keyOwner(id)), s, err
}

// openHead reads a file's key.
func openHead(box *seal.Key, id string, head []byte) (segments, error) {
	if len(head) != headBytes || string(head[:len(magic)]) != magic {
		return segments{}, fmt.Errorf("head of file %s: %w", id, errDamaged)
	}
	key, err := box.Open(nil, head[len(magic):], keyOwner(id))
	if err != nil {
		return segments{}, fmt.Errorf("key of file %s: %w", id, err)
	}
	defer clear(key)
	return newSegments(key)
}

func keyOwner(id string) []byte { return seal.Owner(nil, "file key", id) }

func nonce(n int64, last bool) (b [12]byte) {
	binary.BigEndian.PutUint64(b[:8], uint64(n))
	if last {
		b[11] = 1
	}
	return b
}

// seal encrypts the n-th segment in place; the result is longer by tagBytes.
func (s segments) seal(plain []byte, n int64, last bool) []byte {
	at := nonce(n, last)
	return s.aead.Seal(plain[:0], at[:], plain, nil)
}

// open decrypts the n-th segment in place.
func (s segments) open(sealed []byte, n int64, last bool) ([]byte, error) {
	at := nonce(n, last)
	plain, err := s.aead.Open(sealed[:0], at[:], sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", n, errDamaged)
	}
	return plain, nil
}

// lastSegment is the number of the last segment of a file of this size; an empty file has one, too.
func lastSegment(size int64) int64 { return max(0, (size-1)/segmentBytes) }

// segmentAt is where the n-th segment begins on disk.
func segmentAt(n int64) int64 { return int64(headBytes) + n*(segmentBytes+tagBytes) }
