package account

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/digest"
)

func errNoUser(id string) error {
	return problem.New(problem.Missing, "user.missing", "there is no user "+id, "look at the list of users: it may have been removed")
}

func errNoDomain() error {
	return problem.New(problem.Conflict, "domain.missing", "the box has no domain yet", "finish the set-up first")
}

// Add makes an account. Without a secret one is generated and returned, this once.
func (d *Directory) Add(in ctl.NewUser) (u ctl.UserWithSecret, err error) {
	d.edit.Lock()
	u, err = d.add(in)
	d.edit.Unlock()
	if err == nil {
		d.watch(u.ID)
	}
	return u, err
}

func (d *Directory) add(in ctl.NewUser) (u ctl.UserWithSecret, err error) {
	in.UserSpec = normalize(in.UserSpec)
	if d.domain == "" {
		return u, errNoDomain()
	}
	fs := append(faults(in.UserSpec), secretFaults(in.Secret)...)
	fs = append(fs, d.taken(in.UserSpec, "")...)
	if err := problem.Fields("user", fs); err != nil {
		return u, err
	}
	if len(d.byID) >= maxUsers {
		return u, problem.New(problem.Full, "users.full", fmt.Sprintf("the box has %d users, the most it takes", maxUsers), "remove users that are gone")
	}
	a := (&Account{ID: ids.Record(now()), Created: now()}).with(in.UserSpec, now())
	u.Password, u.HA1 = d.setSecret(a, in.Secret)
	if err := d.commit([]*Account{a}, nil); err != nil {
		return u, err
	}
	u.User = a.User()
	return u, nil
}

// taken finds names and numbers of another account. A number may equal its own user's name.
func (d *Directory) taken(s ctl.UserSpec, id string) (fs []problem.Fault) {
	if other := d.byName[s.Name]; other != nil && other.ID != id {
		fs = append(fs, problem.Fault{Path: "name", Value: s.Name, Rule: "unique among names and numbers; " + other.Name + " has it", Cure: "choose another name"})
	}
	seen := map[string]bool{}
	for i, n := range s.Numbers {
		path := fmt.Sprintf("numbers[%d]", i)
		if other := d.byName[n]; other != nil && other.ID != id {
			fs = append(fs, problem.Fault{Path: path, Value: n, Rule: "unique among names and numbers; " + other.Name + " has it", Cure: "choose another number"})
		}
		if seen[n] {
			fs = append(fs, problem.Fault{Path: path, Value: n, Rule: "named once", Cure: "remove the double"})
		}
		seen[n] = true
	}
	return fs
}

// setSecret seals HA1s into a. What is generated is returned, in clear for the admin and as HA1 for
// provisioning; nothing else keeps it.
func (d *Directory) setSecret(a *Account, s ctl.Secret) (password, ha1 string) {
	a.Sealed = [2][]byte{}
	if s.HA1 != "" {
		raw, _ := hex.DecodeString(strings.ToLower(s.HA1)) // secretFaults has checked it
		d.sealHA1(a, digest.MD5, raw)
		return "", ""
	}
	password = s.Password
	if password == "" {
		password = ids.Secret()
	}
	md5 := digest.HA1(digest.MD5, a.Name, d.domain, password)
	d.sealHA1(a, digest.MD5, md5)
	d.sealHA1(a, digest.SHA256, digest.HA1(digest.SHA256, a.Name, d.domain, password))
	if s.Password != "" {
		return "", hex.EncodeToString(md5)
	}
	return password, hex.EncodeToString(md5)
}

func (d *Directory) sealHA1(a *Account, alg digest.Algorithm, ha1 []byte) {
	a.Sealed[alg] = d.key.Seal(nil, ha1, ha1Owner(nil, a.Name, d.domain, alg))
}

// Change replaces what an admin decides about the user, if its revision is still this one. A new
// name needs a new secret, since HA1 contains it: the user is then without one until ResetSecret.
func (d *Directory) Change(id string, revision uint64, in ctl.UserSpec) (u ctl.User, err error) {
	d.edit.Lock()
	u, err = d.change(id, revision, in)
	d.edit.Unlock()
	if err == nil {
		d.watch(u.ID)
	}
	return u, err
}

func (d *Directory) change(id string, revision uint64, in ctl.UserSpec) (u ctl.User, err error) {
	in = normalize(in)
	old := d.byID[id]
	switch {
	case old == nil:
		return u, errNoUser(id)
	case old.Revision != revision:
		return u, problem.New(problem.Conflict, "user.changed", "somebody else has changed "+old.Name+" meanwhile", "look at the user again, then repeat your change")
	}
	fs := append(faults(in), d.taken(in, id)...)
	if in.Name != old.Name && old.Name != "" {
		fs = append(fs, problem.Fault{
			Path: "name", Value: in.Name, Rule: "a user's name stays: the password is kept for " + old.Name,
			Cure: "add a user with the new name and remove the old one, or give this one another number",
		})
	}
	if err := problem.Fields("user", fs); err != nil {
		return u, err
	}
	a := old.with(in, now())
	if err := d.commit([]*Account{a}, nil); err != nil {
		return u, err
	}
	return a.User(), nil
}

// Remove removes an account.
func (d *Directory) Remove(id string) error {
	d.edit.Lock()
	err := d.remove(id)
	d.edit.Unlock()
	if err == nil {
		d.watch(id)
	}
	return err
}

func (d *Directory) remove(id string) error {
	a := d.byID[id]
	if a == nil {
		return errNoUser(id)
	}
	return d.commit(nil, a)
}

// ResetSecret gives the user a new secret; without one in s, the box makes it.
func (d *Directory) ResetSecret(id string, s ctl.Secret) (u ctl.UserWithSecret, err error) {
	d.edit.Lock()
	u, err = d.resetSecret(id, s)
	d.edit.Unlock()
	if err == nil {
		d.watch(u.ID)
	}
	return u, err
}

func (d *Directory) resetSecret(id string, s ctl.Secret) (u ctl.UserWithSecret, err error) {
	old := d.byID[id]
	if old == nil {
		return u, errNoUser(id)
	}
	if err := problem.Fields("user", secretFaults(s)); err != nil {
		return u, err
	}
	a := old.with(old.spec(), now())
	u.Password, u.HA1 = d.setSecret(a, s)
	if err := d.commit([]*Account{a}, nil); err != nil {
		return u, err
	}
	u.User = a.User()
	return u, nil
}
