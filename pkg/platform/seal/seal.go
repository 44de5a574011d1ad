// Package seal encrypts small secrets at rest with AES-256-GCM under the box's key file, each bound
// to what it belongs to, so that a stolen disk without the key tells nothing and a value cannot be
// moved to another user. Key files themselves are wrapped where the box has a security chip.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// A sealed value of format 1: the format (1 byte), the key's id, nonce (12), ciphertext, tag (16).
// The nonce is random: 96 bits allow 2^32 seals under one key (NIST SP 800-38D §8.3), and a box
// seals some hundred thousand.
const (
	format1   = 1
	idBytes   = 4
	headBytes = 1 + idBytes
	gcmBytes  = 12 + 16
	keyBytes  = 32
)

// Overhead is how much longer a sealed value is than what it hides.
const Overhead = headBytes + gcmBytes

// What Open finds wrong.
var (
	ErrFormat   = errors.New("sealed value: unknown format")
	ErrOtherKey = errors.New("sealed value: made under another key file")
	ErrDamaged  = errors.New("sealed value: changed, or not of this owner")
)

// Key seals and opens. Its methods may be called from any goroutine.
type Key struct {
	id   [idBytes]byte
	aead cipher.AEAD
}

// Load reads the key file at path, which is wrapped under the chip's key if that is not nil. When there
// is none it makes one, unless sealed data exists already: a new key would make that unreadable for good.
func Load(path string, dataExists bool, under *Key) (*Key, error) {
	raw, err := ReadFile(path, under)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !dataExists:
		raw, err = makeKeyFile(path, under)
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem.New(problem.Missing, "seal.key.missing", "the key file "+path+" is gone, but there are secrets sealed with it",
			"restore the key file from a backup; without it every secret must be set anew")
	}
	if err != nil {
		return nil, fmt.Errorf("load key %s: %w", path, err)
	}
	defer clear(raw)
	return newKey(path, raw)
}

func makeKeyFile(path string, under *Key) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	raw := make([]byte, keyBytes)
	rand.Read(raw)
	return raw, WriteFile(path, raw, under)
}

// checkMode refuses a key that other users can read: what they read stays with them.
func checkMode(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return problem.New(problem.Invalid, "seal.key.mode", fmt.Sprintf("other users can read the key file %s (mode %04o)", path, st.Mode().Perm()),
			"chmod 600 "+path)
	}
	return nil
}

func newKey(path string, raw []byte) (*Key, error) {
	if len(raw) != keyBytes {
		return nil, problem.New(problem.Invalid, "seal.key.size", fmt.Sprintf("the key file %s holds %d bytes, not %d", path, len(raw), keyBytes),
			"restore the key file from a backup")
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	k := &Key{aead: aead}
	sum := sha256.Sum256(raw) // 4 bytes of it tell keys apart and nothing about the key
	copy(k.id[:], sum[:])
	return k, nil
}

// Seal appends plaintext, sealed for owner, to dst. Owner is not stored; Open needs the same.
func (k *Key) Seal(dst, plaintext, owner []byte) []byte {
	dst = append(dst, format1)
	dst = append(dst, k.id[:]...)
	return k.aead.Seal(dst, nil, plaintext, owner)
}

// Open appends what was sealed for owner to dst. It allocates nothing when dst has room.
func (k *Key) Open(dst, sealed, owner []byte) ([]byte, error) {
	switch {
	case len(sealed) < Overhead || sealed[0] != format1:
		return dst, ErrFormat
	case [idBytes]byte(sealed[1:headBytes]) != k.id:
		return dst, ErrOtherKey
	}
	out, err := k.aead.Open(dst, nil, sealed[headBytes:], owner)
	if err != nil {
		return dst, ErrDamaged
	}
	return out, nil
}

// Owner appends parts (for instance "ha1", user, realm, algorithm) to dst so that no two lists of
// parts give the same bytes.
func Owner(dst []byte, parts ...string) []byte {
	for _, p := range parts {
		dst = binary.AppendUvarint(dst, uint64(len(p)))
		dst = append(dst, p...)
	}
	return dst
}
