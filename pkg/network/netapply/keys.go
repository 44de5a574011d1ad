package netapply

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// Keys are the secret keys of tunnels: made when they are first needed, kept sealed, one file for
// each. Its methods may be called from any goroutine.
type Keys struct {
	dir  string
	seal *seal.Key
	one  sync.Mutex // making a key
}

// OpenKeys opens the folder of the keys, which is made if it is not there. What seals them is wrapped
// under the key of the security chip, unless that is nil.
func OpenKeys(dir string, under *seal.Key) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := filepath.Glob(filepath.Join(dir, "*.sealed"))
	if err != nil {
		return nil, err
	}
	key, err := seal.Load(filepath.Join(dir, "seal.key"), len(entries) > 0, under)
	if err != nil {
		return nil, fmt.Errorf("open the keys of tunnels: %w", err)
	}
	return &Keys{dir: dir, seal: key}, nil
}

// Private returns the private key of a tunnel's own end.
func (k *Keys) Private(link string) (wgtypes.Key, error) {
	return k.key("private-"+link, wgtypes.GeneratePrivateKey)
}

// Preshared returns the key that a tunnel shares with one peer.
func (k *Keys) Preshared(link, publicKey string) (wgtypes.Key, error) {
	sum := sha256.Sum256([]byte(publicKey)) // base64 has characters that file names have not
	return k.key("preshared-"+link+"-"+hex.EncodeToString(sum[:8]), wgtypes.GenerateKey)
}

// Public returns what the peers of a tunnel must know.
func (k *Keys) Public(link string) (string, error) {
	private, err := k.Private(link)
	return private.PublicKey().String(), err
}

func (k *Keys) key(name string, generate func() (wgtypes.Key, error)) (key wgtypes.Key, err error) {
	k.one.Lock()
	defer k.one.Unlock()
	path, owner := filepath.Join(k.dir, name+".sealed"), seal.Owner(nil, "wireguard", name)
	sealed, err := os.ReadFile(path)
	if err == nil {
		raw, err := k.seal.Open(nil, sealed, owner)
		if err != nil {
			return key, fmt.Errorf("open key %s: %w", name, err)
		}
		return wgtypes.NewKey(raw)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = generate(); err != nil {
		return key, err
	}
	return key, fsx.WriteFile(path, k.seal.Seal(nil, key[:], owner), 0o600)
}
