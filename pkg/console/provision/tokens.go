// Package provision lets a phone set itself up once, by an address that its user opens or scans:
// accounts reach the phone without anybody typing a password.
package provision

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/store"
)

const (
	// lifetime is how long an address can be opened: a printed sheet lasts a working day.
	lifetime = 24 * time.Hour
	// tokenBytes is what a stranger would have to guess: 256 bits.
	tokenBytes = 32
	// maxTokens bounds what waits to be opened: every user of a large box, twice.
	maxTokens = 20_000

	fileName = "provision.db"
	bucket   = "tokens" // SHA-256 of a token -> grant
)

// grant is what a token stands for. The credential can only be read with the token itself.
type grant struct {
	User      string    `json:"user"` // id
	Transport string    `json:"transport,omitempty"`
	Expires   time.Time `json:"expires"`
	Sealed    []byte    `json:"sealed"` // HA1, under a key that the token gives
}

// Switch is what is asked of switchd when a phone comes.
type Switch interface {
	Status(ctx context.Context) (ctl.SwitchStatus, error)
	User(ctx context.Context, id string) (ctl.User, error)
	AddDevice(ctx context.Context, id string) (ctl.DeviceSecret, error)
	RemoveDevice(ctx context.Context, id, login string) error
	CA(ctx context.Context) (ctl.Certificate, error)
}

// Fetch is how a phone took its settings.
type Fetch struct {
	Source netip.Addr
	Agent  string // what it calls itself
	MAC    string // of a desk phone; "" when it had an address of its own
	Plain  bool   // over HTTP, which others on the network can read
}

// Config says where tokens are kept and who knows the accounts.
type Config struct {
	Dir    string
	Switch Switch
	// Used is told that a phone took its settings; its error stops the answer.
	Used func(ctx context.Context, u ctl.User, f Fetch) error
	// Files tells where a phone that reached us at this host, with its port, sends files for
	// others; "" is nowhere.
	Files func(host string) string
	Log   *slog.Logger
}

// Provision holds the tokens that wait for a phone, and the desk phones that are bound.
type Provision struct {
	cfg    Config
	db     *store.DB
	misses *misses
}

// New opens what is kept in cfg.Dir. It must be closed.
func New(cfg Config) (*Provision, error) {
	db, err := store.Open(filepath.Join(cfg.Dir, fileName), store.Options{Buckets: []string{bucket, phonesBucket}, KeepFreelist: true})
	if err != nil {
		return nil, err
	}
	return &Provision{cfg: cfg, db: db, misses: newMisses()}, nil
}

// Close closes the file.
func (p *Provision) Close() error { return p.db.Close() }

// Issue makes a token by which a phone takes the account's settings once. ha1 is
// MD5(user:domain:password) (RFC 7616 §3.4.2); transport is "udp", "tcp", "tls", or "" for the
// safest that the box serves. Earlier tokens of the user end.
func (p *Provision) Issue(user, ha1, transport string) (token string, expires time.Time, err error) {
	token = ids.Random(tokenBytes)
	g := grant{User: user, Transport: transport, Expires: time.Now().Add(lifetime).UTC()}
	if g.Sealed, err = seal(token, user, ha1); err != nil {
		return "", time.Time{}, err
	}
	err = p.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		left, err := sweep(b, func(old grant) bool { return old.User == user || time.Now().After(old.Expires) })
		if err != nil {
			return err
		}
		if left >= maxTokens {
			return problem.New(problem.Full, "provision.limit", fmt.Sprintf("%d provisioning addresses wait to be opened", left), "wait until they are used or a day old")
		}
		return store.Put(b, hashOf(token), g)
	})
	if fsx.IsFull(err) {
		err = problem.Wrap(err, problem.Full, "provision.disk", "the disk is full: the address cannot be kept", "free disk space")
	}
	return token, g.Expires, err
}

// Revoke ends all tokens of a user who is gone, and forgets his phones.
func (p *Provision) Revoke(user string) error {
	return p.db.Update(func(tx *bbolt.Tx) error {
		_, err := sweep(tx.Bucket([]byte(bucket)), func(g grant) bool { return g.User == user })
		return errors.Join(err, dropPhones(tx, user))
	})
}

// sweep removes the grants that are over and counts the others.
func sweep(b *bbolt.Bucket, over func(grant) bool) (left int, err error) {
	var gone [][]byte
	err = b.ForEach(func(k, v []byte) error {
		var g grant
		if err := json.Unmarshal(v, &g); err != nil || over(g) {
			gone = append(gone, k)
		} else {
			left++
		}
		return nil
	})
	for _, k := range gone {
		err = errors.Join(err, b.Delete(k))
	}
	return left, err
}

func (p *Provision) find(token string) (g grant, err error) {
	err = p.db.View(func(tx *bbolt.Tx) error {
		ok, err := store.Get(tx.Bucket([]byte(bucket)), hashOf(token), &g)
		if err == nil && (!ok || time.Now().After(g.Expires)) {
			err = errOver()
		}
		return err
	})
	return g, err
}

// consume ends a token; of two phones that come at once one fails.
func (p *Provision) consume(token string) error {
	return p.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b.Get([]byte(hashOf(token))) == nil {
			return errOver()
		}
		return b.Delete([]byte(hashOf(token)))
	})
}

// errOver is the answer for what never was, too: a stranger learns nothing.
func errOver() error {
	return problem.New(problem.Missing, "provision.over", "this address was used already, or is too old", "ask your administrator for a new one")
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// gcm returns the cipher of a token. Each token has one key and seals one value.
func gcm(token string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(token), nil, "sanchar provisioning", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func seal(token, user, ha1 string) ([]byte, error) {
	c, err := gcm(token)
	if err != nil {
		return nil, err
	}
	return c.Seal(nil, nil, []byte(ha1), []byte(user)), nil
}

func unseal(token string, g grant) (ha1 string, err error) {
	c, err := gcm(token)
	if err != nil {
		return "", err
	}
	plain, err := c.Open(nil, nil, g.Sealed, []byte(g.User))
	return string(plain), err
}
