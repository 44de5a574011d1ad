package secure

import (
	"crypto/aes"
	"crypto/cipher"
	"testing"
)

// gcm gives the session a key as it is, not derived.
func (s *session) gcm(t *testing.T, key []byte) {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		t.Fatal(err)
	}
}
