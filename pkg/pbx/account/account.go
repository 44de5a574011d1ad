// Package account owns the box's users: who they are, what they are called, and the HA1 by which
// they prove it. It answers for every request who sent it.
package account

import (
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/sip/digest"
)

// Account is one user. It is immutable: a change makes a new one.
type Account struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"` // user part of the address of record, in lower case
	Numbers     []string  `json:"numbers"`
	DisplayName string    `json:"display_name"`
	Email       string    `json:"email"`
	Phone       string    `json:"phone"`
	Disabled    bool      `json:"disabled"`
	Language    string    `json:"language,omitempty"`
	Volume      int       `json:"volume,omitempty"`
	Revision    uint64    `json:"revision"`
	Created     time.Time `json:"created"`
	Changed     time.Time `json:"changed"`
	Sealed      [2][]byte `json:"sealed"` // HA1 by digest.Algorithm; nil where it is not known
	Devices     []Device  `json:"devices,omitempty"`
}

// Device is a phone with a secret of its own: it can be locked out alone, and an account may have
// phones that nobody typed its password into.
type Device struct {
	Login   string    `json:"login"` // its user name in a digest; no account can have it
	Created time.Time `json:"created"`
	Sealed  [2][]byte `json:"sealed"` // HA1 by digest.Algorithm
}

// Owns reports whether name, a user part, is one of the account's: its name or a number.
func (a *Account) Owns(name string) bool { return a.Name == name || slices.Contains(a.Numbers, name) }

// Number returns what others dial, the first number, or "" if there is none.
func (a *Account) Number() string {
	if len(a.Numbers) == 0 {
		return ""
	}
	return a.Numbers[0]
}

// User returns what others may see.
func (a *Account) User() ctl.User {
	u := ctl.User{
		UserSpec: ctl.UserSpec{
			Name: a.Name, Numbers: slices.Clone(a.Numbers), DisplayName: a.DisplayName, Email: a.Email, Phone: a.Phone, Disabled: a.Disabled,
			Language: a.Language, Volume: a.Volume,
		},
		ID: a.ID, Revision: a.Revision, Created: a.Created, Changed: a.Changed,
	}
	if u.Numbers == nil {
		u.Numbers = []string{}
	}
	for _, alg := range []digest.Algorithm{digest.MD5, digest.SHA256} {
		if a.Sealed[alg] != nil {
			u.Algorithms = append(u.Algorithms, alg.String())
		}
	}
	return u
}

// ha1Owner binds a sealed HA1 to its user, realm and algorithm, so that none can be put in
// another's place.
func ha1Owner(dst []byte, name, domain string, alg digest.Algorithm) []byte {
	return seal.Owner(dst, "ha1", name, domain, alg.String())
}

// spec returns what an admin decides.
func (a *Account) spec() ctl.UserSpec { return a.User().UserSpec }

func (a *Account) with(s ctl.UserSpec, now time.Time) *Account {
	c := *a
	c.Name, c.Numbers, c.DisplayName, c.Email, c.Phone, c.Disabled = s.Name, s.Numbers, s.DisplayName, s.Email, s.Phone, s.Disabled
	c.Language, c.Volume = s.Language, s.Volume
	c.Revision++
	c.Changed = now
	return &c
}
