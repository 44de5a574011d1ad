package push

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

// signed returns claims as a signed token in compact form (RFC 7515 §3.1).
func signed(key crypto.Signer, keyID string, claims any) (string, error) {
	header := map[string]string{"alg": "RS256"}
	if _, ec := key.(*ecdsa.PrivateKey); ec {
		header["alg"] = "ES256"
	}
	if keyID != "" {
		header["kid"] = keyID
	}
	head, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	signature, err := sign(key, sum[:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), err
}

func sign(key crypto.Signer, sum []byte) ([]byte, error) {
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return key.Sign(rand.Reader, sum, crypto.SHA256) // RFC 7515 §3.1: RS256
	}
	r, s, err := ecdsa.Sign(rand.Reader, ec, sum)
	if err != nil {
		return nil, err
	}
	const half = 32 // of ES256: both numbers at full length, one behind the other
	out := make([]byte, 2*half)
	r.FillBytes(out[:half])
	s.FillBytes(out[half:])
	return out, nil
}

// parseKey reads a private key in PEM: of P-256, or of RSA.
func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not a key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve.Params().BitSize == 256 {
			return k, nil
		}
	case *rsa.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("a key of type %T is not one of P-256 or RSA", key)
}
