package account

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/platform/store"
	"github.com/coraltele/sanchar/pkg/sip/digest"
)

const (
	usersBucket    = "users"
	settingsBucket = "settings"
	domainKey      = "domain"
	nonceKey       = "nonce-secret"
)

// Directory holds all accounts: on disk in state.db, in memory for every request.
type Directory struct {
	db    *store.DB
	key   *seal.Key
	watch func(id string) // told of each change

	edit    sync.Mutex   // one editor at a time: it may read what follows without mu
	mu      sync.RWMutex // guards what follows; held for microseconds, never over a commit
	domain  string
	secret  []byte // of nonces
	byID    map[string]*Account
	byName  map[string]*Account // names and numbers: what can be dialled
	byLogin map[string]*Account // of devices
	md5Only int                 // accounts without an HA1 of SHA-256
}

// Open opens the accounts kept in dir. Their key is wrapped under that of the security chip, unless that
// is nil.
func Open(dir string, under *seal.Key) (*Directory, error) {
	db, err := store.Open(filepath.Join(dir, "state.db"), store.Options{Buckets: []string{usersBucket, settingsBucket}})
	if err != nil {
		return nil, err
	}
	d := &Directory{db: db, byID: map[string]*Account{}, byName: map[string]*Account{}, byLogin: map[string]*Account{}, watch: func(string) {}}
	if err := d.load(dir, under); err != nil {
		_ = db.Close() // the error of load says what is wrong
		return nil, fmt.Errorf("load accounts: %w", err)
	}
	return d, nil
}

func (d *Directory) load(dir string, under *seal.Key) error {
	err := d.db.View(func(tx *bbolt.Tx) error {
		if _, err := store.Get(tx.Bucket([]byte(settingsBucket)), domainKey, &d.domain); err != nil {
			return err
		}
		return tx.Bucket([]byte(usersBucket)).ForEach(func(k, v []byte) error {
			a := new(Account)
			if err := json.Unmarshal(v, a); err != nil {
				return fmt.Errorf("user %s: %w", k, err)
			}
			d.putLocked(a)
			return nil
		})
	})
	if err != nil {
		return err
	}
	if d.key, err = seal.Load(filepath.Join(dir, "seal.key"), len(d.byID) > 0, under); err != nil {
		return err
	}
	return d.loadNonceSecret()
}

// loadNonceSecret keeps nonces good across a restart.
func (d *Directory) loadNonceSecret() error {
	owner := seal.Owner(nil, nonceKey)
	return d.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(settingsBucket))
		if sealed := b.Get([]byte(nonceKey)); sealed != nil {
			if secret, err := d.key.Open(nil, sealed, owner); err == nil {
				d.secret = secret
				return nil
			}
		}
		d.secret = make([]byte, 32)
		rand.Read(d.secret)
		return b.Put([]byte(nonceKey), d.key.Seal(nil, d.secret, owner))
	})
}

// Close closes the file.
func (d *Directory) Close() error { return d.db.Close() }

// Watch sets who is told the id of every account that changes. It is called before Run.
func (d *Directory) Watch(f func(id string)) { d.watch = f }

func (d *Directory) putLocked(a *Account) {
	d.dropLocked(d.byID[a.ID])
	d.byID[a.ID] = a
	d.byName[a.Name] = a
	for _, n := range a.Numbers {
		d.byName[n] = a
	}
	for i := range a.Devices {
		d.byLogin[a.Devices[i].Login] = a
	}
	if a.Sealed[digest.SHA256] == nil {
		d.md5Only++
	}
}

func (d *Directory) dropLocked(a *Account) {
	if a == nil {
		return
	}
	delete(d.byID, a.ID)
	delete(d.byName, a.Name)
	for _, n := range a.Numbers {
		delete(d.byName, n)
	}
	for i := range a.Devices {
		delete(d.byLogin, a.Devices[i].Login)
	}
	if a.Sealed[digest.SHA256] == nil {
		d.md5Only--
	}
}

// Domain returns the realm of all accounts, "" before set-up.
func (d *Directory) Domain() string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.domain
}

// SetDomain sets the realm. It is set once, since every HA1 contains it.
func (d *Directory) SetDomain(domain string) error {
	if err := problem.Fields("domain", domainFault(domain)); err != nil {
		return err
	}
	d.edit.Lock()
	defer d.edit.Unlock()
	switch d.domain {
	case domain:
		return nil
	case "":
	default:
		return problem.New(problem.Conflict, "domain.set", "the domain is "+d.domain+" already",
			"it can't be changed, since every password is kept for this domain; reset the box to start with another")
	}
	err := d.db.Update(func(tx *bbolt.Tx) error {
		return store.Put(tx.Bucket([]byte(settingsBucket)), domainKey, domain)
	})
	if err != nil {
		return fmt.Errorf("set domain: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.domain = domain
	return nil
}

// Lookup finds the account with a name or a number; nil if there is none.
func (d *Directory) Lookup(name string) *Account {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byName[name]
}

// ByID finds an account; nil if there is none.
func (d *Directory) ByID(id string) *Account {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byID[id]
}

// Len returns how many accounts there are.
func (d *Directory) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.byID)
}

// pageLimit is the most users of one page.
const pageLimit = 500

// List returns a page of users in the order of their names.
func (d *Directory) List(q ctl.UserQuery) ctl.UserPage {
	if q.Limit <= 0 || q.Limit > pageLimit {
		q.Limit = pageLimit
	}
	text := strings.ToLower(q.Text)
	d.mu.RLock()
	found := make([]*Account, 0, len(d.byID))
	for _, a := range d.byID {
		if a.matches(text) {
			found = append(found, a)
		}
	}
	d.mu.RUnlock()
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	page := ctl.UserPage{Total: len(found), Users: []ctl.User{}}
	from := sort.Search(len(found), func(i int) bool { return found[i].Name > q.After })
	for _, a := range found[from:] {
		if len(page.Users) == q.Limit {
			page.Next = page.Users[q.Limit-1].Name
			break
		}
		page.Users = append(page.Users, a.User())
	}
	return page
}

func (a *Account) matches(text string) bool {
	if text == "" || strings.Contains(a.Name, text) || strings.Contains(strings.ToLower(a.DisplayName), text) || strings.Contains(strings.ToLower(a.Email), text) {
		return true
	}
	for _, n := range a.Numbers {
		if strings.Contains(n, text) {
			return true
		}
	}
	return false
}

// commit writes accounts in one transaction, then to memory. The caller holds edit.
func (d *Directory) commit(put []*Account, drop *Account) error {
	err := d.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(usersBucket))
		for _, a := range put {
			if err := store.Put(b, a.ID, a); err != nil {
				return err
			}
		}
		if drop != nil {
			return b.Delete([]byte(drop.ID))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write accounts: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range put {
		d.putLocked(a)
	}
	d.dropLocked(drop)
	return nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
