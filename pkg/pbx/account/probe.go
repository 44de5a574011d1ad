package account

import (
	"errors"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	// probePrefix begins the names of accounts that are the box's own: it calls itself by them, to find out
	// whether it does what it is for. No user may have such a name.
	probePrefix = "sanchar-check-"
	// probeTime is how long they are good: a check takes less than a minute.
	probeTime  = 2 * time.Minute
	probeBytes = 8
)

// IsProbe reports whether a name is that of an account by which the box checks itself. Nobody sees such
// accounts, nor what they do: they are in no list, no log and no recording, and call each other only.
func IsProbe(name string) bool { return strings.HasPrefix(name, probePrefix) }

// MakeProbes makes two accounts for a check in the place of those of a check before. They are never on disk: what
// ends in the middle of a check leaves nothing.
func (d *Directory) MakeProbes() (made []ctl.Probe, err error) {
	d.edit.Lock()
	defer d.edit.Unlock()
	if d.domain == "" {
		return nil, errNoDomain()
	}
	fresh := make([]*Account, 2)
	for i := range fresh {
		a := &Account{ID: ids.Record(now()), Name: probePrefix + strings.ToLower(ids.Random(probeBytes)), DisplayName: "Self-test", Created: now()}
		p := ctl.Probe{Name: a.Name}
		p.Password, _ = d.setSecret(a, ctl.Secret{})
		fresh[i], made = a, append(made, p)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.probes = map[string]*Account{}
	for _, a := range fresh {
		d.probes[a.Name] = a
	}
	return made, nil
}

// DropProbes forgets the accounts of a check and returns their ids.
func (d *Directory) DropProbes() (gone []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.probes {
		gone = append(gone, a.ID)
	}
	d.probes = nil
	return gone
}

// probeLocked finds an account of a check by name or id.
func (d *Directory) probeLocked(is func(*Account) bool) *Account {
	for _, a := range d.probes {
		if is(a) && time.Since(a.Created) < probeTime {
			return a
		}
	}
	return nil
}

// dropStale forgets accounts that a version before this one kept on disk for its checks, if the power was cut in one.
func (d *Directory) dropStale(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return d.db.Update(func(tx *bbolt.Tx) error {
		var errs []error
		for _, id := range ids {
			errs = append(errs, tx.Bucket([]byte(usersBucket)).Delete([]byte(id)))
		}
		return errors.Join(errs...)
	})
}
